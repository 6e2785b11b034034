// SPDX-License-Identifier: Apache-2.0
//
// GradaGrad: Defazio, Zhou and Xiao, "Grad-GradaGrad? A Non-Monotone Adaptive Stochastic Gradient Method" (2022): the O(d) half. The scalar
// form without momentum has no sweep of its own: hypergradient.h sums what it needs, and makes its step.
//
// Words per element: average 5, with the gradient kept 6; diagonal 9, with momentum 11.
#pragma once
#include "../core/lists.h"
#include "../rules/sgd.h"

namespace steptuner {

// The step of the scalar form with momentum as an average of iterates. first is 1 at the first step, where the point z is x:
//   z <- z - rate d with d = g + weightDecay x;  x <- x + intake (z - x)
// KEEPS: -d is kept in the slot direction, for the next step's <g, d>.
template <bool KEEPS>
struct GradaGradAverage : Kernel {
  static constexpr Name SWEEP = KEEPS ? "gradagrad_average" : "adagrad_norm_average", RULE = Sgd::NAME;
  enum { G, X, POINT, DIRECTION };
  static constexpr auto OPERANDS =
      operands(gradient(), parameter(READ_WRITE), state("point", READ_WRITE)) + when<KEEPS>(operands(state("direction", WRITE)));
  enum { GRADIENT_SCALE, WEIGHT_DECAY, RATE, INTAKE, FIRST };
  static constexpr auto COEFFICIENTS = names("gradientScale", "weightDecay", "learnedRate", "intake", "first");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T d = c[GRADIENT_SCALE] * r[G] + c[WEIGHT_DECAY] * r[X];
    const T z = select(c[FIRST] > T(0), r[X], r[POINT]) - c[RATE] * d;
    r[POINT] = z;
    if constexpr (KEEPS) r[DIRECTION] = -d;
    r[X] = r[X] + c[INTAKE] * (z - r[X]);
  }
};

// The diagonal form: everything by itself for each element. growth is gamma / gamma_0, which starts at 1 and never falls.
//   d = g + weightDecay x, held within +-1e15, whose square is a float32;  v = d (d - rho previous)
//   v >= 0: accumulator <- accumulator + v
//   v < 0:  growth <- growth sqrt(1 + min(-v, r accumulator) / accumulator), at most mostGrowth
//   x <- x - rate growth / sqrt(accumulator) d;  previous <- d
// An element whose accumulator is 0 makes no step. Sums growth, for the report, and 1. MOMENTUM: the step moves the slot point, z, and
// x <- x + intake (z - x).
template <bool MOMENTUM>
struct GradaGradDiagonal : Kernel {
  static constexpr Name SWEEP = MOMENTUM ? "gradagrad_diagonal_average" : "gradagrad_diagonal", RULE = Sgd::NAME;
  enum { G, X, ACCUMULATOR, GROWTH, PREVIOUS, POINT };
  static constexpr auto OPERANDS = operands(gradient(), parameter(READ_WRITE)) +
                                   states(names("accumulator", "growth", "previous"), READ_WRITE) +
                                   when<MOMENTUM>(operands(state("point", READ_WRITE)));
  enum { GRADIENT_SCALE, WEIGHT_DECAY, RATE, RHO, R, MOST_GROWTH, INTAKE, FIRST };
  static constexpr auto COEFFICIENTS =
      names("gradientScale", "weightDecay", "initialRate", "rho", "r", "mostGrowth") + when<MOMENTUM>(names("intake", "first"));
  enum { GROWTH_SUM, ELEMENTS };
  static constexpr auto SUMS = names("growth", "elements");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T zero = T(0);
    const T d = bounded(c[GRADIENT_SCALE] * r[G] + c[WEIGHT_DECAY] * r[X]);
    const T v = d * (d - c[RHO] * r[PREVIOUS]);
    const T before = r[ACCUMULATOR];
    const T most = c[R] * before;
    const T undone = select(v < zero, select(-v > most, most, -v), zero);
    const T after = before + select(v > zero, v, zero);
    const T grown = r[GROWTH] * squareRoot(T(1) + select(before > zero, undone / before, zero));
    const T growth = select(grown > c[MOST_GROWTH], c[MOST_GROWTH], grown);
    const T step = select(after > zero, c[RATE] * growth / squareRoot(after) * d, zero);
    r[ACCUMULATOR] = after;
    r[GROWTH] = growth;
    r[PREVIOUS] = d;
    if constexpr (MOMENTUM) {
      const T z = select(c[FIRST] > zero, r[X], r[POINT]) - step;
      r[POINT] = z;
      r[X] = r[X] + c[INTAKE] * (z - r[X]);
    } else {
      r[X] = r[X] - step;
    }
    s[GROWTH_SUM] = growth;
    s[ELEMENTS] = T(1);
  }
};

namespace families {
using gradagrad = List<GradaGradAverage<true>, GradaGradAverage<false>, GradaGradDiagonal<false>, GradaGradDiagonal<true>>;
}

}  // namespace steptuner
