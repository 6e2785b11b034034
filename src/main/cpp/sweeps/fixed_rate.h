// SPDX-License-Identifier: Apache-2.0
//
// A rule used alone: x <- x + u(gradientScale g, x). gradientScale carries the caller's multiplier (an inverse loss scale) and the
// factor of global-norm clipping.
//
// Words per element: 1 (g) + 2 (x) + 2 per slot of the rule; AdamW 7, Lion 5, SGD 3.
#pragma once
#include "../rules/rules.h"

namespace steptuner {

template <class Rule>
struct FixedRate : Kernel {
  static constexpr Name SWEEP = "fixed_rate", RULE = Rule::NAME;
  enum { SOURCE, X, STATE_BEGIN };
  static constexpr auto OPERANDS = operands(Rule::SOURCE, parameter(READ_WRITE)) + states(Rule::SLOTS, READ_WRITE);
  enum { GRADIENT_SCALE, RULE_BEGIN };
  static constexpr auto COEFFICIENTS = names("gradientScale") + Rule::COEFFICIENTS;

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    r[X] = r[X] + Rule::template update<T>(c[GRADIENT_SCALE] * r[SOURCE], r[X], r + STATE_BEGIN, c + RULE_BEGIN);
  }
};

namespace families {
using fixed_rate = over<FixedRate, Rules>;
}

}  // namespace steptuner
