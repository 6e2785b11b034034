// SPDX-License-Identifier: Apache-2.0
//
// The one cube root of the house: the same bits on every backend, from + - * /, comparisons and operations on bits alone. No math
// library takes part.
//
// The first guess divides the bits of the number, which are roughly its logarithm, by 3 (error below 3.6 %). Halley's iteration
// y <- y + y (r - y) / (2 y + r), r = a / y^2, cubes the error and neither overflows nor underflows for normal numbers; the correction
// of the last one is so small that its rounding hardly counts. Error: below 0.75 units in the last place (measured, both types).
#pragma once
#include "number.h"
#include "types.h"

namespace steptuner {

// A third of every integer, rounded down a little too far: 1/3 = 1/4 + 1/16 + 1/64 + ... For vectors of integers too.
template <class Integer>
STEPTUNER_HD Integer third(Integer i) {
  Integer a = (i >> 2) + (i >> 4);
  a = a + (a >> 4);
  a = a + (a >> 8);
  return a + (a >> 16);
}

constexpr uint32_t CUBE_ROOT_BIAS_32 = 0x2a508935u;
constexpr uint64_t CUBE_ROOT_BIAS_64 = 0x2a9f8a7be393b600u;

// The guess for positive normal numbers.
STEPTUNER_HD float cubeRootGuess(float a) { return bitCast<float>(third(bitCast<uint32_t>(a)) + CUBE_ROOT_BIAS_32); }
STEPTUNER_HD double cubeRootGuess(double a) { return bitCast<double>(third(bitCast<uint64_t>(a)) + CUBE_ROOT_BIAS_64); }

template <class T>
STEPTUNER_HD T halley(T a, T y) {
  const T ratio = a / (y * y);
  return y + y * (ratio - y) / (y + y + ratio);
}

// Odd; 0 (with its sign), infinities and NaN are their own cube roots. T computes in E, float or double.
template <class T, class E>
STEPTUNER_HD T cubeRootIn(T a) {
  constexpr bool wide = sizeof(E) == 8;
  constexpr E least = wide ? E(0x1p-1022) : E(0x1p-126);  // the least normal number
  constexpr E greatest = wide ? E(0x1.fffffffffffffp1023) : E(0x1.fffffep127);
  constexpr E up = wide ? E(0x1p54) : E(0x1p24);     // makes subnormal numbers normal
  constexpr E down = wide ? E(0x1p-18) : E(0x1p-8);  // its cube root, inverted
  const T size = absolute(a);
  const T normal = select(size < T(least), size * T(up), size);
  T y = cubeRootGuess(normal);
  y = halley(normal, y);
  y = halley(normal, y);
  if (wide) y = halley(normal, y);
  y = select(size < T(least), y * T(down), y);
  y = select(a < T(0), -y, y);
  return select(size > T(0), select(size > T(greatest), a, y), a);
}

STEPTUNER_HD float cubeRoot(float a) { return cubeRootIn<float, float>(a); }
STEPTUNER_HD double cubeRoot(double a) { return cubeRootIn<double, double>(a); }

}  // namespace steptuner
