// SPDX-License-Identifier: Apache-2.0
//
// Prodigy: An Expeditiously Adaptive Parameter-Free Learner, Mishchenko and Defazio (2023), algorithm 4 (Adam): the O(d) half. The
// scalars d, d_max and the numerator are in Java.
//
// With g the gradient, to which a coupled decay has been added, Adam's momentum m and square v of d g, and y = x0 - x:
//
//   observe  <g, y>, |s'|_1 with s' = beta3 s + gain g, where `selected`
//   apply    s <- s';  m, v <- Adam's, for the old d;  x <- x - shrinkage x - rate m / (sqrt(v) + epsilon)
//
// s' is formed twice, from the same operands and so with the same bits: nothing is written before all is known, so that a gradient that
// is not finite is noticed without a pass of its own. Writing s' in the first pass, after a guard's read of g, would move as many words.
//
// y is stored, and x rebuilt from it, or it is the difference of x0 and x, which in types of few bits is 0 for all small steps. Words
// per element, with a momentum (2 less without):
//
//   stored       observe g, y, s: 3, and x0 with a coupled decay: 4;  apply g, y, x0, x, s, v, m: 11
//   accumulated  observe g, y, s: 3;  apply g, y, x, s, v, m: 11, and no x0: y is a sum of steps, and x takes them too
//   recomputed   observe g, x, x0, s: 4;  apply g, x, s, v, m: 9
#pragma once
#include "gradient_norm.h"

namespace steptuner {

// SLICED: only every period-th element of a tensor counts in the two sums that the estimate is made of.
template <bool SLICED>
struct ProdigyObserve : Kernel {
  static constexpr Name SWEEP = SLICED ? "prodigy_observe_sliced" : "prodigy_observe", RULE = "adam";
  enum { G, X, REFERENCE, SUM, SELECTED };
  static constexpr auto OPERANDS =
      operands(gradient(), parameter(READ), state("reference", READ), state("sum", READ)) + when<SLICED>(operands(selection()));
  enum { GRADIENT_SCALE, COUPLED_DECAY, SUM_RETENTION, SUM_GAIN, PERIOD };
  static constexpr auto COEFFICIENTS = names("gradientScale", "coupledDecay", "sumRetention", "sumGain") + when<SLICED>(names("period"));
  enum { GRADIENT_SQUARE, PROGRESS, SUM_NORM };
  static constexpr auto SUMS = names("gradientSquare", "progress", "sumNorm");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[GRADIENT_SCALE] * r[G] + c[COUPLED_DECAY] * r[X];
    const T sum = c[SUM_RETENTION] * r[SUM] + c[SUM_GAIN] * g;
    const T progress = g * (r[REFERENCE] - r[X]);
    const T norm = absolute(sum);
    s[GRADIENT_SQUARE] = r[G] * r[G];
    if constexpr (SLICED) {
      s[PROGRESS] = select(r[SELECTED] > T(0), progress, T(0));
      s[SUM_NORM] = select(r[SELECTED] > T(0), norm, T(0));
    } else {
      s[PROGRESS] = progress;
      s[SUM_NORM] = norm;
    }
  }
};

// Without MOMENTUM (beta1 = 0) the step is taken along g itself.
template <bool MOMENTUM>
struct ProdigyApply : Kernel {
  static constexpr Name SWEEP = MOMENTUM ? "prodigy_apply" : "prodigy_apply_without_momentum", RULE = "adam";
  enum { G, X, SUM, SQUARE, AVERAGE };
  static constexpr auto SLOTS = names("sum", "square") + when<MOMENTUM>(names("momentum"));
  static constexpr auto OPERANDS = operands(gradient(), parameter(READ_WRITE)) + states(SLOTS, READ_WRITE);
  enum {
    GRADIENT_SCALE,
    COUPLED_DECAY,
    SUM_RETENTION,
    SUM_GAIN,
    SQUARE_RETENTION,
    SQUARE_GAIN,
    RATE,
    SHRINKAGE,
    EPSILON,
    AVERAGE_RETENTION,
    AVERAGE_GAIN
  };
  static constexpr auto COEFFICIENTS =
      names("gradientScale", "coupledDecay", "sumRetention", "sumGain", "squareRetention", "squareGain", "rate", "shrinkage", "epsilon") +
      when<MOMENTUM>(names("averageRetention", "averageGain"));

  // s, v and m brought up to date; returns Adam's direction.
  template <class T>
  STEPTUNER_HD static T direction(T* r, const T* c) {
    const T g = c[GRADIENT_SCALE] * r[G] + c[COUPLED_DECAY] * r[X];
    r[SUM] = c[SUM_RETENTION] * r[SUM] + c[SUM_GAIN] * g;
    const T square = c[SQUARE_RETENTION] * r[SQUARE] + c[SQUARE_GAIN] * g * g;
    r[SQUARE] = square;
    T direction = g;
    if constexpr (MOMENTUM) r[AVERAGE] = direction = c[AVERAGE_RETENTION] * r[AVERAGE] + c[AVERAGE_GAIN] * g;
    return direction / (squareRoot(square) + c[EPSILON]);
  }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T towards = direction(r, c);
    r[X] = r[X] - c[SHRINKAGE] * r[X] - c[RATE] * towards;
  }
};

// The observing sweep where y is stored. COUPLED: with a decay in the gradient, for which x is needed.
template <bool SLICED, bool COUPLED>
struct ProdigyObserveStored : Kernel {
  using Plain = ProdigyObserve<SLICED>;
  static constexpr Name SWEEP = Name("prodigy_observe_stored") + (COUPLED ? "_coupled" : "") + (SLICED ? "_sliced" : ""), RULE = "adam";
  enum { G, DISPLACEMENT, SUM, REFERENCE, SELECTED = REFERENCE + (COUPLED ? 1 : 0) };
  static constexpr auto OPERANDS = operands(gradient(), state("displacement", READ), state("sum", READ)) +
                                   when<COUPLED>(operands(state("reference", READ))) + when<SLICED>(operands(selection()));
  enum { PERIOD = Plain::PERIOD };
  static constexpr auto COEFFICIENTS = Plain::COEFFICIENTS;
  static constexpr auto SUMS = Plain::SUMS;

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    T g = c[Plain::GRADIENT_SCALE] * r[G];
    if constexpr (COUPLED) g = g + c[Plain::COUPLED_DECAY] * (r[REFERENCE] - r[DISPLACEMENT]);
    const T sum = c[Plain::SUM_RETENTION] * r[SUM] + c[Plain::SUM_GAIN] * g;
    const T progress = g * r[DISPLACEMENT];
    const T norm = absolute(sum);
    s[Plain::GRADIENT_SQUARE] = r[G] * r[G];
    if constexpr (SLICED) {
      s[Plain::PROGRESS] = select(r[SELECTED] > T(0), progress, T(0));
      s[Plain::SUM_NORM] = select(r[SELECTED] > T(0), norm, T(0));
    } else {
      s[Plain::PROGRESS] = progress;
      s[Plain::SUM_NORM] = norm;
    }
  }
};

// The applying sweep where y is stored: x is rebuilt, not read.
template <bool MOMENTUM>
struct ProdigyApplyStored : Kernel {
  using Plain = ProdigyApply<MOMENTUM>;
  static constexpr Name SWEEP = MOMENTUM ? "prodigy_apply_stored" : "prodigy_apply_stored_without_momentum", RULE = "adam";
  enum { G, DISPLACEMENT, REFERENCE, X, SUM, SQUARE, AVERAGE };
  static constexpr auto OPERANDS = operands(gradient(), state("displacement", READ_WRITE), state("reference", READ), parameter(WRITE)) +
                                   states(Plain::SLOTS, READ_WRITE);
  static constexpr auto COEFFICIENTS = Plain::COEFFICIENTS;

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T x = r[REFERENCE] - r[DISPLACEMENT];
    const T g = c[Plain::GRADIENT_SCALE] * r[G] + c[Plain::COUPLED_DECAY] * x;
    r[SUM] = c[Plain::SUM_RETENTION] * r[SUM] + c[Plain::SUM_GAIN] * g;
    const T square = c[Plain::SQUARE_RETENTION] * r[SQUARE] + c[Plain::SQUARE_GAIN] * g * g;
    r[SQUARE] = square;
    T direction = g;
    if constexpr (MOMENTUM) r[AVERAGE] = direction = c[Plain::AVERAGE_RETENTION] * r[AVERAGE] + c[Plain::AVERAGE_GAIN] * g;
    const T step = c[Plain::SHRINKAGE] * x + c[Plain::RATE] * (direction / (squareRoot(square) + c[Plain::EPSILON]));
    const T displacement = r[DISPLACEMENT] + step;
    r[DISPLACEMENT] = displacement;
    r[X] = r[REFERENCE] - displacement;
  }
};

// The applying sweep where y is stored and x0 is not: both take the same step.
template <bool MOMENTUM>
struct ProdigyApplyAccumulated : Kernel {
  using Plain = ProdigyApply<MOMENTUM>;
  static constexpr Name SWEEP = MOMENTUM ? "prodigy_apply_accumulated" : "prodigy_apply_accumulated_without_momentum", RULE = "adam";
  enum { X = Plain::X, DISPLACEMENT = steptuner::OPERANDS<Plain> };
  static constexpr auto OPERANDS = Plain::OPERANDS + operands(state("displacement", READ_WRITE));
  static constexpr auto COEFFICIENTS = Plain::COEFFICIENTS;

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T towards = Plain::direction(r, c);
    const T step = c[Plain::SHRINKAGE] * r[X] + c[Plain::RATE] * towards;
    r[X] = r[X] - step;
    r[DISPLACEMENT] = r[DISPLACEMENT] + step;
  }
};

namespace families {
using prodigy = List<ProdigyObserve<false>, ProdigyObserve<true>, ProdigyApply<true>, ProdigyApply<false>,
                     ProdigyObserveStored<false, false>, WithGradientL1<ProdigyObserveStored<false, false>>,
                     ProdigyObserveStored<false, true>, ProdigyObserveStored<true, false>, ProdigyObserveStored<true, true>,
                     ProdigyApplyStored<true>, ProdigyApplyStored<false>, ProdigyApplyAccumulated<true>, ProdigyApplyAccumulated<false>>;
}

}  // namespace steptuner
