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
// A rule whose state holds a point that lies where x lies, and not only steps and sums, says so, and how that point follows x. Otherwise
// its next steps would lead back to where the point is:
//
//   static constexpr bool TIED = true;
//   template <class T> static void rebase(T x, T* state, const T* c);   x has been written by others: the point goes there
//   static constexpr bool PACED = true;                   the point moves with the number of the step alone, also while x stays
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
  static constexpr bool TIED = false, PACED = false;
};

// Whether the rule's source is not the gradient: a sweep that needs both has one operand more.
template <class Rule>
constexpr bool SEPARATE_SOURCE = Rule::SOURCE.place != GRADIENT;

}  // namespace steptuner
