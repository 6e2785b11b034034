// SPDX-License-Identifier: Apache-2.0
//
// Prodigy: An Expeditiously Adaptive Parameter-Free Learner, Mishchenko and Defazio (2023), algorithm 4 (Adam): the O(d) half. The
// scalars d, d_max and the numerator are in Java.
//
// With g the gradient, to which a coupled decay has been added, and Adam's momentum m and square v of d g:
//
//   observe  <g, x0 - x>, |s'|_1 with s' = beta3 s + gain g, where `selected`      reads g, x, x0, s: 4 words per element
//   apply    s <- s';  m, v <- Adam's, for the old d;  x <- x - shrinkage x - rate m / (sqrt(v) + epsilon)      9 words (7 without m)
//
// s' is formed twice, from the same operands and so with the same bits: nothing is written before all is known, and a gradient that is
// not finite is seen for nothing. Writing s' in the first pass would cost as much, a guarding read of g included.
#pragma once
#include "rule.h"

namespace steptuner {

// SLICED: only every period-th element of a tensor counts in the two sums that the estimate is made of.
template <bool SLICED>
struct ProdigyObserve {
  static constexpr const char* SWEEP = SLICED ? "prodigy_observe_sliced" : "prodigy_observe";
  static constexpr const char* RULE = "adam";
  enum { G, X, REFERENCE, SUM, SELECTED, OPERANDS = SELECTED + (SLICED ? 1 : 0) };
  enum { GRADIENT_SCALE, COUPLED_DECAY, SUM_RETENTION, SUM_GAIN, PERIOD, COEFFICIENTS = PERIOD + (SLICED ? 1 : 0) };
  enum { GRADIENT_SQUARE, PROGRESS, SUM_NORM, SUMS };
  static constexpr Operand operand(int i) {
    return i == G           ? GRADIENT_OPERAND
           : i == X         ? Operand{"parameter", PARAMETER, READ}
           : i == REFERENCE ? Operand{"reference", STATE, READ}
           : i == SUM       ? Operand{"sum", STATE, READ}
                            : SELECTION_OPERAND;
  }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"gradientScale", "coupledDecay", "sumRetention", "sumGain", "period"};
    return names[i];
  }
  static constexpr const char* sum(int i) {
    constexpr const char* names[] = {"gradientSquare", "progress", "sumNorm"};
    return names[i];
  }

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
struct ProdigyApply {
  static constexpr const char* SWEEP = MOMENTUM ? "prodigy_apply" : "prodigy_apply_without_momentum";
  static constexpr const char* RULE = "adam";
  enum { G, X, SUM, SQUARE, AVERAGE, OPERANDS = AVERAGE + (MOMENTUM ? 1 : 0) };
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
    AVERAGE_GAIN,
    COEFFICIENTS = MOMENTUM ? AVERAGE_GAIN + 1 : AVERAGE_RETENTION
  };
  enum { SUMS = 0 };
  static constexpr Operand operand(int i) {
    return i == G        ? GRADIENT_OPERAND
           : i == X      ? Operand{"parameter", PARAMETER, READ_WRITE}
           : i == SUM    ? Operand{"sum", STATE, READ_WRITE}
           : i == SQUARE ? Operand{"square", STATE, READ_WRITE}
                         : Operand{"momentum", STATE, READ_WRITE};
  }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"gradientScale", "coupledDecay", "sumRetention", "sumGain",          "squareRetention", "squareGain",
                                     "rate",          "shrinkage",    "epsilon",      "averageRetention", "averageGain"};
    return names[i];
  }
  static constexpr const char* sum(int) { return ""; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T g = c[GRADIENT_SCALE] * r[G] + c[COUPLED_DECAY] * r[X];
    r[SUM] = c[SUM_RETENTION] * r[SUM] + c[SUM_GAIN] * g;
    const T square = c[SQUARE_RETENTION] * r[SQUARE] + c[SQUARE_GAIN] * g * g;
    r[SQUARE] = square;
    T direction = g;
    if constexpr (MOMENTUM) r[AVERAGE] = direction = c[AVERAGE_RETENTION] * r[AVERAGE] + c[AVERAGE_GAIN] * g;
    r[X] = r[X] - c[SHRINKAGE] * r[X] - c[RATE] * (direction / (squareRoot(square) + c[EPSILON]));
  }
};

}  // namespace steptuner
