// SPDX-License-Identifier: Apache-2.0
//
// Mechanic: A Learning Rate Tuner, Cutkosky, Defazio and Mehta (2023), algorithm 1: the O(d) half. The scalars s, r, v, m are in Java.
//
//   x = reference + S Delta,  Delta <- Delta + u,  h = <Delta, g + c x>  (c: the decay term, a scalar times a vector)
//
// Delta is stored; `retention` multiplies it when it is read: 1, or S / (S + epsilon) where a release rebuilds Delta from x.
// Two arrangements of a step, with the words per element over AdamW (g 1, x 1, m v Delta 2 each when updated, reference 1):
//
//   observe 2, apply 9:      MechanicObserve, MechanicApply. Everything the scalar step needs is known before anything is written.
//   accumulate 8, scale 3:   MechanicAccumulate, MechanicScale. Needed where h involves the base's own step.
//
// Forms that keep no Delta are in mechanic_recomputed.h.
#pragma once
#include "../rules/rules.h"
#include "gradient_norm.h"

namespace steptuner {

// Sums |g|^2 and <Delta, g>.
struct MechanicObserve : Kernel {
  static constexpr Name SWEEP = "mechanic_observe";
  enum { G, DELTA };
  static constexpr auto OPERANDS = operands(gradient(), state("delta", READ));
  enum { GRADIENT_SQUARE, DELTA_GRADIENT };
  static constexpr auto SUMS = names("gradientSquare", "deltaGradient");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T* s) {
    s[GRADIENT_SQUARE] = r[G] * r[G];
    s[DELTA_GRADIENT] = r[DELTA] * r[G];
  }
};

// The base step and the new iterate in one pass: x is rebuilt from reference and Delta with the scale that made it, not read.
// Sums |x|^2 and <Delta, x> of the new x and Delta, which the next scalar step needs.
template <class Rule>
struct MechanicApply : Kernel {
  static constexpr Name SWEEP = "mechanic_apply", RULE = Rule::NAME;
  enum { SOURCE, DELTA, REFERENCE, X, STATE_BEGIN };
  static constexpr auto OPERANDS =
      operands(Rule::SOURCE, state("delta", READ_WRITE), state("reference", READ), parameter(WRITE)) + states(Rule::SLOTS, READ_WRITE);
  enum { GRADIENT_SCALE, OLD_SCALE, NEW_SCALE, RETENTION, RULE_BEGIN };
  static constexpr auto COEFFICIENTS = names("gradientScale", "oldScale", "newScale", "retention") + Rule::COEFFICIENTS;
  enum { PARAMETER_SQUARE, DELTA_PARAMETER };
  static constexpr auto SUMS = names("parameterSquare", "deltaParameter");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T x = r[REFERENCE] + c[OLD_SCALE] * r[DELTA];
    const T u = Rule::template update<T>(c[GRADIENT_SCALE] * r[SOURCE], x, r + STATE_BEGIN, c + RULE_BEGIN);
    const T delta = c[RETENTION] * r[DELTA] + u;
    const T next = r[REFERENCE] + c[NEW_SCALE] * delta;
    r[DELTA] = delta;
    r[X] = next;
    s[PARAMETER_SQUARE] = next * next;
    s[DELTA_PARAMETER] = delta * next;
  }
};

// The base step into Delta, x untouched. With q = x + u sums |g|^2, <Delta, g>, <Delta, q>, |q|^2 with the old Delta.
template <class Rule>
struct MechanicAccumulate : Kernel {
  static constexpr Name SWEEP = "mechanic_accumulate", RULE = Rule::NAME;
  enum { G, DELTA, X, STATE_BEGIN, SOURCE_AT = STATE_BEGIN + decltype(Rule::SLOTS)::SIZE };
  static constexpr auto OPERANDS = operands(gradient(), state("delta", READ_WRITE), parameter(READ)) + states(Rule::SLOTS, READ_WRITE) +
                                   when<SEPARATE_SOURCE<Rule>>(operands(Rule::SOURCE));
  enum { GRADIENT_SCALE, RETENTION, RULE_BEGIN };
  static constexpr auto COEFFICIENTS = names("gradientScale", "retention") + Rule::COEFFICIENTS;
  enum { GRADIENT_SQUARE, DELTA_GRADIENT, DELTA_TRIAL, TRIAL_SQUARE };
  static constexpr auto SUMS = names("gradientSquare", "deltaGradient", "deltaTrial", "trialSquare");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[GRADIENT_SCALE] * r[G];
    const T source = SEPARATE_SOURCE<Rule> ? r[SEPARATE_SOURCE<Rule> ? SOURCE_AT : G] : g;
    const T u = Rule::template update<T>(source, r[X], r + STATE_BEGIN, c + RULE_BEGIN);
    const T delta = c[RETENTION] * r[DELTA];
    const T trial = r[X] + u;
    r[DELTA] = delta + u;
    s[GRADIENT_SQUARE] = g * g;
    s[DELTA_GRADIENT] = delta * g;
    s[DELTA_TRIAL] = delta * trial;
    s[TRIAL_SQUARE] = trial * trial;
  }
};

// x = reference + newScale Delta. 3 words per element.
struct MechanicScale : Kernel {
  static constexpr Name SWEEP = "mechanic_scale";
  enum { DELTA, REFERENCE, X };
  static constexpr auto OPERANDS = operands(state("delta", READ), state("reference", READ), parameter(WRITE));
  enum { NEW_SCALE };
  static constexpr auto COEFFICIENTS = names("newScale");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    r[X] = r[REFERENCE] + c[NEW_SCALE] * r[DELTA];
  }
};

namespace families {
using mechanic = join<List<MechanicObserve, WithGradientL1<MechanicObserve>, MechanicScale>, over<MechanicApply, Rules>,
                      over<MechanicAccumulate, Rules>>;
}

}  // namespace steptuner
