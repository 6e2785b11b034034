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
// s' is formed twice, from the same operands and so with the same bits: nothing is written before all is known, and a gradient that is
// not finite is seen for nothing. Writing s' in the first pass would cost as much, a guarding read of g included.
//
// y is stored, and x rebuilt from it, or it is the difference of x0 and x, which in types of few bits is 0 for all small steps. Words
// per element, with a momentum (2 less without):
//
//   stored       observe g, y, s: 3, and x0 with a coupled decay: 4;  apply g, y, x0, x, s, v, m: 11
//   accumulated  observe g, y, s: 3;  apply g, y, x, s, v, m: 11, and no x0: y is a sum of steps, and x takes them too
//   recomputed   observe g, x, x0, s: 4;  apply g, x, s, v, m: 9
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
struct ProdigyObserveStored {
  static constexpr const char* SWEEP = SLICED ? COUPLED ? "prodigy_observe_stored_coupled_sliced" : "prodigy_observe_stored_sliced"
                                       : COUPLED ? "prodigy_observe_stored_coupled"
                                                 : "prodigy_observe_stored";
  static constexpr const char* RULE = "adam";
  enum { G, DISPLACEMENT, SUM, REFERENCE, SELECTED = REFERENCE + (COUPLED ? 1 : 0), OPERANDS = SELECTED + (SLICED ? 1 : 0) };
  using Plain = ProdigyObserve<SLICED>;
  enum { PERIOD = Plain::PERIOD, COEFFICIENTS = Plain::COEFFICIENTS, SUMS = Plain::SUMS };
  static constexpr Operand operand(int i) {
    return i == G                      ? GRADIENT_OPERAND
           : i == DISPLACEMENT         ? Operand{"displacement", STATE, READ}
           : i == SUM                  ? Operand{"sum", STATE, READ}
           : COUPLED && i == REFERENCE ? Operand{"reference", STATE, READ}
                                       : SELECTION_OPERAND;
  }
  static constexpr const char* coefficient(int i) { return Plain::coefficient(i); }
  static constexpr const char* sum(int i) { return Plain::sum(i); }

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
struct ProdigyApplyStored {
  static constexpr const char* SWEEP = MOMENTUM ? "prodigy_apply_stored" : "prodigy_apply_stored_without_momentum";
  static constexpr const char* RULE = "adam";
  enum { G, DISPLACEMENT, REFERENCE, X, SUM, SQUARE, AVERAGE, OPERANDS = AVERAGE + (MOMENTUM ? 1 : 0) };
  using Plain = ProdigyApply<MOMENTUM>;
  enum { COEFFICIENTS = Plain::COEFFICIENTS, SUMS = 0 };
  static constexpr Operand operand(int i) {
    return i == G              ? GRADIENT_OPERAND
           : i == DISPLACEMENT ? Operand{"displacement", STATE, READ_WRITE}
           : i == REFERENCE    ? Operand{"reference", STATE, READ}
           : i == X            ? Operand{"parameter", PARAMETER, WRITE}
           : i == SUM          ? Operand{"sum", STATE, READ_WRITE}
           : i == SQUARE       ? Operand{"square", STATE, READ_WRITE}
                               : Operand{"momentum", STATE, READ_WRITE};
  }
  static constexpr const char* coefficient(int i) { return Plain::coefficient(i); }
  static constexpr const char* sum(int) { return ""; }

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
struct ProdigyApplyAccumulated {
  static constexpr const char* SWEEP = MOMENTUM ? "prodigy_apply_accumulated" : "prodigy_apply_accumulated_without_momentum";
  static constexpr const char* RULE = "adam";
  using Plain = ProdigyApply<MOMENTUM>;
  enum { X = Plain::X, DISPLACEMENT = Plain::OPERANDS, OPERANDS };
  enum { COEFFICIENTS = Plain::COEFFICIENTS, SUMS = 0 };
  static constexpr Operand operand(int i) {
    return i == DISPLACEMENT ? Operand{"displacement", STATE, READ_WRITE} : Plain::operand(i);
  }
  static constexpr const char* coefficient(int i) { return Plain::coefficient(i); }
  static constexpr const char* sum(int) { return ""; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T towards = Plain::direction(r, c);
    const T step = c[Plain::SHRINKAGE] * r[X] + c[Plain::RATE] * towards;
    r[X] = r[X] - step;
    r[DISPLACEMENT] = r[DISPLACEMENT] + step;
  }
};

}  // namespace steptuner
