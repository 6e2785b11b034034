// SPDX-License-Identifier: Apache-2.0
//
// A rule used alone: x <- x + u(gradientScale g, x). gradientScale carries the caller's multiplier (an inverse loss scale) and the
// factor of global-norm clipping.
//
// Words per element: 1 (g) + 2 (x) + 2 per slot of the rule; AdamW 7, Lion 5, SGD 3.
#pragma once
#include "rule.h"

namespace steptuner {

template <class Rule>
struct FixedRate {
  static constexpr const char* SWEEP = "fixed_rate";
  static constexpr const char* RULE = Rule::NAME;
  enum { SOURCE, X, STATE_BEGIN, OPERANDS = STATE_BEGIN + Rule::SLOTS };
  enum { GRADIENT_SCALE, RULE_BEGIN, COEFFICIENTS = RULE_BEGIN + Rule::COEFFICIENTS };
  enum { SUMS = 0 };
  static constexpr Operand operand(int i) {
    return i == SOURCE ? Rule::SOURCE
           : i == X    ? Operand{"parameter", PARAMETER, READ_WRITE}
                       : Operand{Rule::slot(i - STATE_BEGIN), STATE, READ_WRITE};
  }
  static constexpr const char* coefficient(int i) { return i < RULE_BEGIN ? "gradientScale" : Rule::coefficient(i - RULE_BEGIN); }
  static constexpr const char* sum(int) { return ""; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    r[X] = r[X] + Rule::template update<T>(c[GRADIENT_SCALE] * r[SOURCE], r[X], r + STATE_BEGIN, c + RULE_BEGIN);
  }
};

// |g|^2, raw: what the non-finite guard and global-norm clipping need before a sweep that cannot be taken back. 1 word per element.
struct GradientNorm {
  static constexpr const char* SWEEP = "gradient_norm";
  static constexpr const char* RULE = "";
  enum { G, OPERANDS };
  enum { COEFFICIENTS = 0 };
  enum { GRADIENT_SQUARE, SUMS };
  static constexpr Operand operand(int) { return GRADIENT_OPERAND; }
  static constexpr const char* coefficient(int) { return ""; }
  static constexpr const char* sum(int) { return "gradientSquare"; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T* s) {
    s[GRADIENT_SQUARE] = r[G] * r[G];
  }
};

}  // namespace steptuner
