// SPDX-License-Identifier: Apache-2.0
//
// Mechanic (see mechanic.h) without a stored Delta: Delta = (x - reference) inverseScale. It saves a word of memory per element.
#pragma once
#include "mechanic.h"

namespace steptuner {

// Sums |g|^2, <Delta, g>, <Delta, q>, |q|^2, where q is x (trial = 0) or x plus the base's step, for which
// the rule's state is read but not written. Words over AdamW: 5.
template <class Rule>
struct MechanicObserveRecomputed : Kernel {
  static constexpr Name SWEEP = "mechanic_observe_recomputed", RULE = Rule::NAME;
  enum { G, X, REFERENCE, STATE_BEGIN, SOURCE_AT = STATE_BEGIN + decltype(Rule::SLOTS)::SIZE };
  static constexpr auto OPERANDS = operands(gradient(), parameter(READ), state("reference", READ)) + states(Rule::SLOTS, READ) +
                                   when<SEPARATE_SOURCE<Rule>>(operands(Rule::SOURCE));
  enum { GRADIENT_SCALE, INVERSE_SCALE, RULE_BEGIN };
  static constexpr auto COEFFICIENTS = names("gradientScale", "inverseScale") + Rule::COEFFICIENTS;
  enum { GRADIENT_SQUARE, DELTA_GRADIENT, DELTA_TRIAL, TRIAL_SQUARE };
  static constexpr auto SUMS = MechanicAccumulate<Rule>::SUMS;

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[GRADIENT_SCALE] * r[G];
    const T source = SEPARATE_SOURCE<Rule> ? r[SEPARATE_SOURCE<Rule> ? SOURCE_AT : G] : g;
    const T delta = (r[X] - r[REFERENCE]) * c[INVERSE_SCALE];
    const T trial = r[X] + Rule::template update<T>(source, r[X], r + STATE_BEGIN, c + RULE_BEGIN);
    s[GRADIENT_SQUARE] = g * g;
    s[DELTA_GRADIENT] = delta * g;
    s[DELTA_TRIAL] = delta * trial;
    s[TRIAL_SQUARE] = trial * trial;
  }
};

// The same where h takes x itself: sums |g|^2, <Delta, g>, <Delta, x>, |x|^2. 3 words per element.
struct MechanicObservePlain : Kernel {
  static constexpr Name SWEEP = "mechanic_observe_plain";
  enum { G, X, REFERENCE };
  static constexpr auto OPERANDS = operands(gradient(), parameter(READ), state("reference", READ));
  enum { INVERSE_SCALE };
  static constexpr auto COEFFICIENTS = names("inverseScale");
  enum { GRADIENT_SQUARE, DELTA_GRADIENT, DELTA_PARAMETER, PARAMETER_SQUARE };
  static constexpr auto SUMS = names("gradientSquare", "deltaGradient", "deltaParameter", "parameterSquare");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T delta = (r[X] - r[REFERENCE]) * c[INVERSE_SCALE];
    s[GRADIENT_SQUARE] = r[G] * r[G];
    s[DELTA_GRADIENT] = delta * r[G];
    s[DELTA_PARAMETER] = delta * r[X];
    s[PARAMETER_SQUARE] = r[X] * r[X];
  }
};

// x <- reference + newScale ((x - reference) inverseScale + u). Words over AdamW: 8.
template <class Rule>
struct MechanicApplyRecomputed : Kernel {
  static constexpr Name SWEEP = "mechanic_apply_recomputed", RULE = Rule::NAME;
  enum { SOURCE, X, REFERENCE, STATE_BEGIN };
  static constexpr auto OPERANDS =
      operands(Rule::SOURCE, parameter(READ_WRITE), state("reference", READ)) + states(Rule::SLOTS, READ_WRITE);
  enum { GRADIENT_SCALE, INVERSE_SCALE, NEW_SCALE, RULE_BEGIN };
  static constexpr auto COEFFICIENTS = names("gradientScale", "inverseScale", "newScale") + Rule::COEFFICIENTS;

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T delta = (r[X] - r[REFERENCE]) * c[INVERSE_SCALE];
    const T u = Rule::template update<T>(c[GRADIENT_SCALE] * r[SOURCE], r[X], r + STATE_BEGIN, c + RULE_BEGIN);
    r[X] = r[REFERENCE] + c[NEW_SCALE] * (delta + u);
  }
};

namespace families {
using mechanic_recomputed = join<List<MechanicObservePlain>, over<MechanicObserveRecomputed, Rules>, over<MechanicApplyRecomputed, Rules>>;
}

}  // namespace steptuner
