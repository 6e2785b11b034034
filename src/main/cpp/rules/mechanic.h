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
// The forms with `Recomputed` keep no Delta: Delta = (x - reference) inverseScale. They save a word of memory per element.
#pragma once
#include "rule.h"

namespace steptuner {

// Sums |g|^2 and <Delta, g>.
struct MechanicObserve {
  static constexpr const char* SWEEP = "mechanic_observe";
  static constexpr const char* RULE = "";
  enum { G, DELTA, OPERANDS };
  enum { COEFFICIENTS = 0 };
  enum { GRADIENT_SQUARE, DELTA_GRADIENT, SUMS };
  static constexpr Operand operand(int i) { return i == G ? GRADIENT_OPERAND : Operand{"delta", STATE, READ}; }
  static constexpr const char* coefficient(int) { return ""; }
  static constexpr const char* sum(int i) { return i == GRADIENT_SQUARE ? "gradientSquare" : "deltaGradient"; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T* s) {
    s[GRADIENT_SQUARE] = r[G] * r[G];
    s[DELTA_GRADIENT] = r[DELTA] * r[G];
  }
};

// The base step and the new iterate in one pass: x is rebuilt from reference and Delta with the scale that made it, not read.
// Sums |x|^2 and <Delta, x> of the new x and Delta, which the next scalar step needs.
template <class Rule>
struct MechanicApply {
  static constexpr const char* SWEEP = "mechanic_apply";
  static constexpr const char* RULE = Rule::NAME;
  enum { SOURCE, DELTA, REFERENCE, X, STATE_BEGIN, OPERANDS = STATE_BEGIN + Rule::SLOTS };
  enum { GRADIENT_SCALE, OLD_SCALE, NEW_SCALE, RETENTION, RULE_BEGIN, COEFFICIENTS = RULE_BEGIN + Rule::COEFFICIENTS };
  enum { PARAMETER_SQUARE, DELTA_PARAMETER, SUMS };
  static constexpr Operand operand(int i) {
    return i == SOURCE      ? Rule::SOURCE
           : i == DELTA     ? Operand{"delta", STATE, READ_WRITE}
           : i == REFERENCE ? Operand{"reference", STATE, READ}
           : i == X         ? Operand{"parameter", PARAMETER, WRITE}
                            : Operand{Rule::slot(i - STATE_BEGIN), STATE, READ_WRITE};
  }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"gradientScale", "oldScale", "newScale", "retention"};
    return i < RULE_BEGIN ? names[i] : Rule::coefficient(i - RULE_BEGIN);
  }
  static constexpr const char* sum(int i) { return i == PARAMETER_SQUARE ? "parameterSquare" : "deltaParameter"; }

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

// Where the rule's source is not the gradient, the gradient is one more operand.
template <class Rule>
constexpr int SEPARATE_SOURCE = Rule::SOURCE.place == GRADIENT ? 0 : 1;

// The base step into Delta, x untouched. With q = x + u sums |g|^2, <Delta, g>, <Delta, q>, |q|^2 with the old Delta.
template <class Rule>
struct MechanicAccumulate {
  static constexpr const char* SWEEP = "mechanic_accumulate";
  static constexpr const char* RULE = Rule::NAME;
  enum { G, DELTA, X, STATE_BEGIN, SOURCE_AT = STATE_BEGIN + Rule::SLOTS, OPERANDS = SOURCE_AT + SEPARATE_SOURCE<Rule> };
  enum { SOURCE = SEPARATE_SOURCE<Rule> == 1 ? int(SOURCE_AT) : int(G) };
  enum { GRADIENT_SCALE, RETENTION, RULE_BEGIN, COEFFICIENTS = RULE_BEGIN + Rule::COEFFICIENTS };
  enum { GRADIENT_SQUARE, DELTA_GRADIENT, DELTA_TRIAL, TRIAL_SQUARE, SUMS };
  static constexpr Operand operand(int i) {
    return i == G           ? GRADIENT_OPERAND
           : i == DELTA     ? Operand{"delta", STATE, READ_WRITE}
           : i == X         ? Operand{"parameter", PARAMETER, READ}
           : i == SOURCE_AT ? Rule::SOURCE
                            : Operand{Rule::slot(i - STATE_BEGIN), STATE, READ_WRITE};
  }
  static constexpr const char* coefficient(int i) {
    return i == GRADIENT_SCALE ? "gradientScale" : i == RETENTION ? "retention" : Rule::coefficient(i - RULE_BEGIN);
  }
  static constexpr const char* sum(int i) {
    constexpr const char* names[] = {"gradientSquare", "deltaGradient", "deltaTrial", "trialSquare"};
    return names[i];
  }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[GRADIENT_SCALE] * r[G];
    const T source = SEPARATE_SOURCE<Rule> == 1 ? r[SOURCE] : g;
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
struct MechanicScale {
  static constexpr const char* SWEEP = "mechanic_scale";
  static constexpr const char* RULE = "";
  enum { DELTA, REFERENCE, X, OPERANDS };
  enum { NEW_SCALE, COEFFICIENTS };
  enum { SUMS = 0 };
  static constexpr Operand operand(int i) {
    return i == DELTA       ? Operand{"delta", STATE, READ}
           : i == REFERENCE ? Operand{"reference", STATE, READ}
                            : Operand{"parameter", PARAMETER, WRITE};
  }
  static constexpr const char* coefficient(int) { return "newScale"; }
  static constexpr const char* sum(int) { return ""; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    r[X] = r[REFERENCE] + c[NEW_SCALE] * r[DELTA];
  }
};

// reference <- x, once, before the first step.
struct MechanicReference {
  static constexpr const char* SWEEP = "mechanic_reference";
  static constexpr const char* RULE = "";
  enum { X, REFERENCE, OPERANDS };
  enum { COEFFICIENTS = 0, SUMS = 0 };
  static constexpr Operand operand(int i) {
    return i == X ? Operand{"parameter", PARAMETER, READ} : Operand{"reference", STATE, WRITE};
  }
  static constexpr const char* coefficient(int) { return ""; }
  static constexpr const char* sum(int) { return ""; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T*) {
    r[REFERENCE] = r[X];
  }
};

// Without a stored Delta: sums |g|^2, <Delta, g>, <Delta, q>, |q|^2, where q is x (trial = 0) or x plus the base's step, for which
// the rule's state is read but not written. Words over AdamW: 5.
template <class Rule>
struct MechanicObserveRecomputed {
  static constexpr const char* SWEEP = "mechanic_observe_recomputed";
  static constexpr const char* RULE = Rule::NAME;
  enum { G, X, REFERENCE, STATE_BEGIN, SOURCE_AT = STATE_BEGIN + Rule::SLOTS, OPERANDS = SOURCE_AT + SEPARATE_SOURCE<Rule> };
  enum { SOURCE = SEPARATE_SOURCE<Rule> == 1 ? int(SOURCE_AT) : int(G) };
  enum { GRADIENT_SCALE, INVERSE_SCALE, RULE_BEGIN, COEFFICIENTS = RULE_BEGIN + Rule::COEFFICIENTS };
  enum { GRADIENT_SQUARE, DELTA_GRADIENT, DELTA_TRIAL, TRIAL_SQUARE, SUMS };
  static constexpr Operand operand(int i) {
    return i == G           ? GRADIENT_OPERAND
           : i == X         ? Operand{"parameter", PARAMETER, READ}
           : i == REFERENCE ? Operand{"reference", STATE, READ}
           : i == SOURCE_AT ? Rule::SOURCE
                            : Operand{Rule::slot(i - STATE_BEGIN), STATE, READ};
  }
  static constexpr const char* coefficient(int i) {
    return i == GRADIENT_SCALE ? "gradientScale" : i == INVERSE_SCALE ? "inverseScale" : Rule::coefficient(i - RULE_BEGIN);
  }
  static constexpr const char* sum(int i) { return MechanicAccumulate<Rule>::sum(i); }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[GRADIENT_SCALE] * r[G];
    const T source = SEPARATE_SOURCE<Rule> == 1 ? r[SOURCE] : g;
    const T delta = (r[X] - r[REFERENCE]) * c[INVERSE_SCALE];
    const T trial = r[X] + Rule::template update<T>(source, r[X], r + STATE_BEGIN, c + RULE_BEGIN);
    s[GRADIENT_SQUARE] = g * g;
    s[DELTA_GRADIENT] = delta * g;
    s[DELTA_TRIAL] = delta * trial;
    s[TRIAL_SQUARE] = trial * trial;
  }
};

// The same where h takes x itself: sums |g|^2, <Delta, g>, <Delta, x>, |x|^2. 3 words per element.
struct MechanicObservePlain {
  static constexpr const char* SWEEP = "mechanic_observe_plain";
  static constexpr const char* RULE = "";
  enum { G, X, REFERENCE, OPERANDS };
  enum { INVERSE_SCALE, COEFFICIENTS };
  enum { GRADIENT_SQUARE, DELTA_GRADIENT, DELTA_PARAMETER, PARAMETER_SQUARE, SUMS };
  static constexpr Operand operand(int i) {
    return i == G   ? GRADIENT_OPERAND
           : i == X ? Operand{"parameter", PARAMETER, READ}
                    : Operand{"reference", STATE, READ};
  }
  static constexpr const char* coefficient(int) { return "inverseScale"; }
  static constexpr const char* sum(int i) {
    constexpr const char* names[] = {"gradientSquare", "deltaGradient", "deltaParameter", "parameterSquare"};
    return names[i];
  }

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
struct MechanicApplyRecomputed {
  static constexpr const char* SWEEP = "mechanic_apply_recomputed";
  static constexpr const char* RULE = Rule::NAME;
  enum { SOURCE, X, REFERENCE, STATE_BEGIN, OPERANDS = STATE_BEGIN + Rule::SLOTS };
  enum { GRADIENT_SCALE, INVERSE_SCALE, NEW_SCALE, RULE_BEGIN, COEFFICIENTS = RULE_BEGIN + Rule::COEFFICIENTS };
  enum { SUMS = 0 };
  static constexpr Operand operand(int i) {
    return i == SOURCE      ? Rule::SOURCE
           : i == X         ? Operand{"parameter", PARAMETER, READ_WRITE}
           : i == REFERENCE ? Operand{"reference", STATE, READ}
                            : Operand{Rule::slot(i - STATE_BEGIN), STATE, READ_WRITE};
  }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"gradientScale", "inverseScale", "newScale"};
    return i < RULE_BEGIN ? names[i] : Rule::coefficient(i - RULE_BEGIN);
  }
  static constexpr const char* sum(int) { return ""; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T delta = (r[X] - r[REFERENCE]) * c[INVERSE_SCALE];
    const T u = Rule::template update<T>(c[GRADIENT_SCALE] * r[SOURCE], r[X], r + STATE_BEGIN, c + RULE_BEGIN);
    r[X] = r[REFERENCE] + c[NEW_SCALE] * (delta + u);
  }
};

}  // namespace steptuner
