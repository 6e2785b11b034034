// SPDX-License-Identifier: Apache-2.0
//
// What a formula may do with a number beside + - * / and comparison, and beside the functions of exponential.h and cube_root.h. T is float or
// double, or a vector of them.
#pragma once
#include "../core/platform.h"
#include <math.h>

namespace steptuner {

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

template <class T>
STEPTUNER_HD T within(T value, T least, T most) {
  return select(value < least, least, select(value > most, most, value));
}

// Within what a float32 can square.
template <class T>
STEPTUNER_HD T bounded(T value) {
  return within(value, T(-1e15f), T(1e15f));
}

}  // namespace steptuner
