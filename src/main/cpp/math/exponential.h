// SPDX-License-Identifier: Apache-2.0
//
// The exponential function, the same bits on every backend: + - * and bit operations in one order, no table, no library.
//
//   x = n ln 2 + r with n an integer, |r| <= ln 2 / 2;  exp(x) = 2^n exp(r);  exp(r) by its Taylor series, to degree 8 in float and
//   13 in double, where the next term is below 0.01 and 0.05 ulp
//
// Error: less than 1 ulp, tested. exp(0) = 1, exp(-infinity) = 0, overflow gives infinity, results below the normal numbers are
// rounded once more, NaN stays NaN.
#pragma once
#include "number.h"
#include "types.h"

namespace steptuner {

template <class E>
struct Exponential;

// LN2_HIGH + LN2_LOW is ln 2, and LN2_HIGH times any n that occurs is exact. Adding ROUNDER to a small number rounds it to an integer,
// which then stands in the lowest bits. Beyond [LEAST, MOST] the result is 0 or infinity.
template <>
struct Exponential<float> {
  static constexpr float LEAST = -105, MOST = 90;
  static constexpr float INVERSE_LN2 = 0x1.715476p0f, LN2_HIGH = 0x1.62e4p-1f, LN2_LOW = 0x1.7f7d1cp-20f;
  static constexpr float ROUNDER = 0x1.8p23f;
  static constexpr int DEGREE = 8, FRACTION_BITS = 23, BIAS = 127;
};
template <>
struct Exponential<double> {
  static constexpr double LEAST = -750, MOST = 715;
  static constexpr double INVERSE_LN2 = 0x1.71547652b82fep0, LN2_HIGH = 0x1.62e42feep-1, LN2_LOW = 0x1.a39ef35793c76p-33;
  static constexpr double ROUNDER = 0x1.8p52;
  static constexpr int DEGREE = 13, FRACTION_BITS = 52, BIAS = 1023;
};

template <int K>
constexpr double INVERSE_FACTORIAL = INVERSE_FACTORIAL<K - 1> / K;
template <>
inline constexpr double INVERSE_FACTORIAL<0> = 1;

// 1/K! + r/(K+1)! + ... up to the degree.
template <int K, class E, class T>
STEPTUNER_HD T taylorFrom(T r) {
  constexpr E coefficient = static_cast<E>(INVERSE_FACTORIAL<K>);
  if constexpr (K == Exponential<E>::DEGREE)
    return T(coefficient);
  else
    return T(coefficient) + r * taylorFrom<K + 1, E>(r);
}

// 2^n for an integer n whose power is a normal number.
STEPTUNER_HD float powerOfTwo(float n) {
  using C = Exponential<float>;
  return bitCast<float>((bitCast<uint32_t>(n + C::ROUNDER) + uint32_t(C::BIAS)) << C::FRACTION_BITS);
}
STEPTUNER_HD double powerOfTwo(double n) {
  using C = Exponential<double>;
  return bitCast<double>((bitCast<uint64_t>(n + C::ROUNDER) + uint64_t(C::BIAS)) << C::FRACTION_BITS);
}

// T is E or a vector of E.
template <class E, class T>
STEPTUNER_HD T exponentialOf(T x) {
  using C = Exponential<E>;
  const T rounder = T(E(C::ROUNDER)), least = T(E(C::LEAST)), most = T(E(C::MOST));
  x = select(x < least, least, select(x > most, most, x));
  const T n = (x * T(E(C::INVERSE_LN2)) + rounder) - rounder;
  const T high = x - n * T(E(C::LN2_HIGH));
  const T low = n * T(E(C::LN2_LOW));
  const T r = high - low;
  const T power = T(E(1)) + (high + (r * r * taylorFrom<2, E>(r) - low));
  // In two steps: 2^n itself may be no normal number where the result is one, or is one of the subnormals.
  const T half = (n * T(E(0.5)) + rounder) - rounder;
  return power * powerOfTwo(half) * powerOfTwo(n - half);
}

STEPTUNER_HD float exponential(float x) { return exponentialOf<float>(x); }
STEPTUNER_HD double exponential(double x) { return exponentialOf<double>(x); }

}  // namespace steptuner
