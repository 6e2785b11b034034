// SPDX-License-Identifier: Apache-2.0
//
// What a rule is: a base update formula. Given the gradient g at x and the rule's state it returns the step u, so that used alone the
// rule would move x to x + u, and it brings its state up to date:
//
//   static constexpr const char* NAME;
//   static constexpr Operand SOURCE;                            what g is read from: the gradient, or a caller's update buffer
//   static constexpr int SLOTS, COEFFICIENTS;
//   static constexpr const char* slot(int i), *coefficient(int i);
//   template <class T> static T update(T g, T x, T* state, const T* c);
//
// Every bias correction, schedule and decay factor that does not depend on the element is a coefficient, computed in double by the
// caller; the names below are those of the Java records that fill them.
#pragma once
#include "../sweep/kernel.h"
#include <math.h>

namespace steptuner {

constexpr Operand GRADIENT_OPERAND = {"gradient", GRADIENT, READ};
constexpr Operand UPDATE_OPERAND = {"update", UPDATE, READ};

// T is float or double, or a vector of them; these are all the functions of T beside + - * / and comparison.
STEPTUNER_HD float squareRoot(float a) { return sqrtf(a); }
STEPTUNER_HD double squareRoot(double a) { return sqrt(a); }

template <class T>
STEPTUNER_HD T select(bool condition, T a, T b) {
  return condition ? a : b;
}

template <class T>
STEPTUNER_HD T absolute(T a) {
  return select(a < T(0), -a, a);
}

// -1, 0 or 1; zeros keep their sign and NaN stays NaN.
template <class T>
STEPTUNER_HD T sign(T a) {
  return select(a > T(0), T(1), select(a < T(0), T(-1), a));
}

}  // namespace steptuner
