// SPDX-License-Identifier: Apache-2.0
//
// What java.lang.Math does with doubles, to the bit, for scalars that are computed on either side. Only which NaN it is may differ.
#pragma once
#include "types.h"
#include <math.h>

namespace steptuner::java {

constexpr uint64_t SIGN = uint64_t(1) << 63;

STEPTUNER_HD bool isNan(double a) { return a != a; }

// Double.isFinite.
STEPTUNER_HD bool isFinite(double a) { return (bitCast<uint64_t>(a) & ~SIGN) < 0x7ff0000000000000u; }

// Math.abs: -0 becomes +0.
STEPTUNER_HD double abs(double a) { return bitCast<double>(bitCast<uint64_t>(a) & ~SIGN); }

// Math.max and Math.min: NaN if one is NaN; +0 is more than -0.
STEPTUNER_HD double max(double a, double b) {
  if (isNan(a)) return a;
  if (a == 0 && b == 0) return bitCast<double>(bitCast<uint64_t>(a) & bitCast<uint64_t>(b));
  return a >= b ? a : b;
}
STEPTUNER_HD double min(double a, double b) {
  if (isNan(a)) return a;
  if (a == 0 && b == 0) return bitCast<double>(bitCast<uint64_t>(a) | bitCast<uint64_t>(b));
  return a <= b ? a : b;
}

// Math.sqrt.
STEPTUNER_HD double sqrt(double a) { return ::sqrt(a); }

// Math.signum: zeros keep their sign, NaN stays NaN.
STEPTUNER_HD double signum(double a) { return a > 0 ? 1.0 : a < 0 ? -1.0 : a; }

// Math.nextDown.
STEPTUNER_HD double nextDown(double a) {
  if (isNan(a) || a == -HUGE_VAL) return a;
  if (a == 0) return -0x1p-1074;
  return bitCast<double>(a > 0 ? bitCast<uint64_t>(a) - 1 : bitCast<uint64_t>(a) + 1);
}

}  // namespace steptuner::java
