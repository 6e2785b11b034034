// SPDX-License-Identifier: Apache-2.0
//
// Conversions to and from 16-bit types against the compiler's own half precision and against exact rounding by comparison.
#include "check.h"
#include "math/types.h"
#include <initializer_list>
#include <math.h>

using namespace steptuner;

namespace {

void halvesWiden() {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const float wanted = static_cast<float>(bitCast<_Float16>(half));
    const float seen = fromFloat16(half);
    CHECK(isnan(wanted) ? isnan(seen) : bitCast<uint32_t>(seen) == bitCast<uint32_t>(wanted));
    CHECK_EQUAL(bitCast<uint32_t>(fromBfloat16(half)), bits << 16);
    if (failures) return;
  }
}

void floatsNarrowToHalf() {
  // An odd stride meets every exponent, sign and many fractions; the neighbourhoods of all halves and midpoints follow.
  const auto check = [](uint32_t bits) {
    const float value = bitCast<float>(bits);
    const uint16_t seen = toFloat16(value);
    const uint16_t wanted = bitCast<uint16_t>(static_cast<_Float16>(value));
    CHECK(isnan(value) ? isnan(fromFloat16(seen)) : seen == wanted);
  };
  for (uint64_t bits = 0; bits < (uint64_t(1) << 32) && !failures; bits += 977) check(static_cast<uint32_t>(bits));
  for (uint32_t half = 0; half < 0x7c00 && !failures; ++half) {
    const float low = fromFloat16(static_cast<uint16_t>(half)), high = fromFloat16(static_cast<uint16_t>(half + 1));
    const float middle = half + 1 == 0x7c00 ? 65520.0f : (low + high) / 2;
    for (float value : {low, middle})
      for (int32_t step = -1; step <= 1; ++step) {
        const uint32_t near = bitCast<uint32_t>(value) + static_cast<uint32_t>(step);
        if (value != 0) check(near), check(near | 0x80000000u);
      }
  }
}

// The nearer of the two bfloat16 neighbours, the even one in the middle.
uint16_t nearestBfloat16(float value) {
  const uint32_t bits = bitCast<uint32_t>(value);
  const uint32_t low = bits & 0xffff0000u, rest = bits & 0xffffu;
  const uint32_t up = rest > 0x8000u || (rest == 0x8000u && (low >> 16 & 1u)) ? 0x10000u : 0u;
  return static_cast<uint16_t>((low + up) >> 16);
}

void floatsNarrowToBfloat16() {
  for (uint64_t bits = 0; bits < (uint64_t(1) << 32) && !failures; bits += 977) {
    const float value = bitCast<float>(static_cast<uint32_t>(bits));
    const uint16_t seen = toBfloat16(value);
    CHECK(isnan(value) ? isnan(fromBfloat16(seen)) : seen == nearestBfloat16(value));
  }
  CHECK_EQUAL(toBfloat16(bitCast<float>(0x7f7fffffu)), 0x7f80u);
  CHECK(isnan(fromBfloat16(toBfloat16(bitCast<float>(0x7f800001u)))));
  CHECK(isnan(fromBfloat16(toBfloat16(bitCast<float>(0xffffffffu)))));
}

}  // namespace

int main() {
  halvesWiden();
  floatsNarrowToHalf();
  floatsNarrowToBfloat16();
  return report("types_test");
}
