// SPDX-License-Identifier: Apache-2.0
//
// Element types and their conversion. Conversions are integer arithmetic without branches, so that they vectorise on every
// instruction set and give the same bits on every backend. Narrowing rounds to nearest, ties to even; NaN stays NaN (quiet). rounding.h has
// other ways.
#pragma once
#include "../core/platform.h"
#include <string.h>

namespace steptuner {

enum Type : int32_t { FLOAT32 = 0, FLOAT64 = 1, BFLOAT16 = 2, FLOAT16 = 3, TYPES = 4 };

constexpr const char* nameOfType(int32_t type) {
  return type == FLOAT32 ? "FLOAT32" : type == FLOAT64 ? "FLOAT64" : type == BFLOAT16 ? "BFLOAT16" : "FLOAT16";
}

STEPTUNER_HD constexpr int bytesOf(int32_t type) { return type == FLOAT64 ? 8 : type == FLOAT32 ? 4 : 2; }

// The type that a tensor's state and arithmetic have.
STEPTUNER_HD constexpr Type computeType(int32_t parameterType) { return parameterType == FLOAT64 ? FLOAT64 : FLOAT32; }

template <class To, class From>
STEPTUNER_HD To bitCast(From from) {
  static_assert(sizeof(To) == sizeof(From), "bitCast keeps the size");
  To to;
  memcpy(&to, &from, sizeof(To));
  return to;
}

STEPTUNER_HD float fromBfloat16(uint16_t bits) { return bitCast<float>(static_cast<uint32_t>(bits) << 16); }

STEPTUNER_HD uint16_t toBfloat16(float value) {
  const uint32_t bits = bitCast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const uint32_t nan = (bits >> 16) | 0x40u;
  return static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

// Half precision: normal numbers move their exponent by 112; subnormal ones are made by (and undone by) a float addition whose
// rounding is the wanted one.
STEPTUNER_HD float fromFloat16(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = static_cast<uint32_t>(half & 0x7fffu) << 13;
  const uint32_t exponent = magnitude & 0x0f800000u;
  const uint32_t normal = magnitude + 0x38000000u;
  const uint32_t special = magnitude + 0x70000000u;
  const uint32_t subnormal = bitCast<uint32_t>(bitCast<float>(magnitude + 0x38800000u) - bitCast<float>(0x38800000u));
  const uint32_t value = exponent == 0x0f800000u ? special : exponent == 0u ? subnormal : normal;
  return bitCast<float>(sign | value);
}

STEPTUNER_HD uint16_t toFloat16(float value) {
  const uint32_t bits = bitCast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t normal = (magnitude - 0x38000000u + 0x0fffu + ((magnitude >> 13) & 1u)) >> 13;
  const uint32_t subnormal = bitCast<uint32_t>(bitCast<float>(magnitude) + 0.5f) - 0x3f000000u;
  const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
  const uint32_t infinite = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  return static_cast<uint16_t>(sign | (magnitude >= 0x477ff000u ? infinite : finite));
}

// One element of type `type` at index i of an array, as T, and back.
template <class T>
STEPTUNER_HD T load(const void* array, int32_t type, int64_t i) {
  switch (type) {
    case FLOAT64: return static_cast<T>(static_cast<const double*>(array)[i]);
    case FLOAT32: return static_cast<T>(static_cast<const float*>(array)[i]);
    case BFLOAT16: return static_cast<T>(fromBfloat16(static_cast<const uint16_t*>(array)[i]));
    default: return static_cast<T>(fromFloat16(static_cast<const uint16_t*>(array)[i]));
  }
}

template <class T>
STEPTUNER_HD void store(void* array, int32_t type, int64_t i, T value) {
  switch (type) {
    case FLOAT64: static_cast<double*>(array)[i] = static_cast<double>(value); break;
    case FLOAT32: static_cast<float*>(array)[i] = static_cast<float>(value); break;
    case BFLOAT16: static_cast<uint16_t*>(array)[i] = toBfloat16(static_cast<float>(value)); break;
    default: static_cast<uint16_t*>(array)[i] = toFloat16(static_cast<float>(value)); break;
  }
}

}  // namespace steptuner
