// SPDX-License-Identifier: Apache-2.0
//
// What tuners need that look at the loss along the base rule's step u, and not only at the gradient: Roulet, Agarwala, Grill, Swirszcz,
// Blondel and Pedregosa, "Stepping on the Edge: Curvature Aware Learning Rate Tuners" (2024); Retsinas, Sfikas, Filntisis and Maragos,
// "Newton-Based Trainable Learning Rate" (2023). The rates are found in Java; here are the passes over memory.
//
// Words per element: direction 3 (g, x, u) + 1 per slot of the rule, and 1 for an update of the caller's; newton_window 5. Trials along u
// are in vectors.h.
#pragma once
#include "../rules/rules.h"

namespace steptuner {

// u, the rule's step at the rate of its coefficients. The rule's state is read only: the sweep that makes the step forms u again, from the
// same operands and so with the same bits. Sums |g|^2 and <g, u> with the gradient as it is in memory, |u|^2, |x|^2.
template <class Rule>
struct Direction : Kernel {
  static constexpr Name SWEEP = "direction", RULE = Rule::NAME;
  enum { G, X, DIRECTION, STATE_BEGIN, SOURCE_AT = STATE_BEGIN + decltype(Rule::SLOTS)::SIZE };
  static constexpr int SOURCE = SEPARATE_SOURCE<Rule> ? SOURCE_AT : G;
  static constexpr auto OPERANDS = operands(gradient(), parameter(READ), state("direction", WRITE)) + states(Rule::SLOTS, READ) +
                                   when<SEPARATE_SOURCE<Rule>>(operands(Rule::SOURCE));
  enum { GRADIENT_SCALE, RULE_BEGIN };
  static constexpr auto COEFFICIENTS = names("gradientScale") + Rule::COEFFICIENTS;
  enum { GRADIENT_SQUARE, GRADIENT_DIRECTION, DIRECTION_SQUARE, PARAMETER_SQUARE };
  static constexpr auto SUMS = names("gradientSquare", "gradientDirection", "directionSquare", "parameterSquare");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T u = Rule::template update<T>(c[GRADIENT_SCALE] * r[SOURCE], r[X], r + STATE_BEGIN, c + RULE_BEGIN);
    r[DIRECTION] = u;
    s[GRADIENT_SQUARE] = r[G] * r[G];
    s[GRADIENT_DIRECTION] = r[G] * u;
    s[DIRECTION_SQUARE] = u * u;
    s[PARAMETER_SQUARE] = r[X] * r[X];
  }
};

// The way of a window of steps, u' = inverseRate (reference - x), beside that of the window before, u: sums <u, u'>, |u|^2, |u'|^2. Then
// u <- u' and reference <- x.
struct NewtonWindow : Kernel {
  static constexpr Name SWEEP = "newton_window";
  enum { X, REFERENCE, WAY };
  static constexpr auto OPERANDS = operands(parameter(READ), state("reference", READ_WRITE), state("way", READ_WRITE));
  enum { INVERSE_RATE };
  static constexpr auto COEFFICIENTS = names("inverseRate");
  enum { PRODUCT, BEFORE_SQUARE, NOW_SQUARE };
  static constexpr auto SUMS = names("product", "beforeSquare", "nowSquare");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T way = c[INVERSE_RATE] * (r[REFERENCE] - r[X]);
    s[PRODUCT] = r[WAY] * way;
    s[BEFORE_SQUARE] = r[WAY] * r[WAY];
    s[NOW_SQUARE] = way * way;
    r[REFERENCE] = r[X];
    r[WAY] = way;
  }
};

namespace families {
using directed = join<over<Direction, Rules>, List<NewtonWindow>>;
}

}  // namespace steptuner
