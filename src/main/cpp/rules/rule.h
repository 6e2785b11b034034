// SPDX-License-Identifier: Apache-2.0
//
// What a rule is: a base update formula. Given the gradient g at x and the rule's state it returns the step u, so that used alone the
// rule would move x to x + u, and it brings its state up to date:
//
//   static constexpr Name NAME;
//   static constexpr Operand SOURCE;                      what g is read from: the gradient, or a caller's update buffer
//   static constexpr Row<Name, ...> SLOTS, COEFFICIENTS;
//   template <class T> static T update(T g, T x, T* state, const T* c);
//
// Every bias correction, schedule and decay factor that does not depend on the element is a coefficient, computed in double by the
// caller; their names are those of the Java records that fill them.
#pragma once
#include "../core/kernel.h"
#include "../math/number.h"

namespace steptuner {

// What a rule has that does not say otherwise.
struct GradientRule {
  static constexpr Operand SOURCE = gradient();
  static constexpr auto SLOTS = names();
};

// Whether the rule's source is not the gradient: a sweep that needs both has one operand more.
template <class Rule>
constexpr bool SEPARATE_SOURCE = Rule::SOURCE.place != GRADIENT;

}  // namespace steptuner
