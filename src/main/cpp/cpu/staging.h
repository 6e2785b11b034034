// SPDX-License-Identifier: Apache-2.0
//
// Operands that the CPU harness does not use in place: they pass through a strip of staging in the L1 cache. Types that are seldom met, or
// seldom together, are converted there, outputs that bypass the caches are copied from there, and the selection is made there.
#pragma once
#include "../core/summation.h"
#include "../math/rounding.h"
#include <immintrin.h>
#include <string.h>

namespace steptuner {
namespace {

template <class T>
inline int32_t typeOf() {
  return sizeof(T) == 8 ? FLOAT64 : FLOAT32;
}

// An operand of any type.
struct Elements {
  char* memory;
  uint16_t* rest;  // null where the operand is not in parts
  int32_t type;
  bool stochastic;
  int place;     // among random bits
  uint32_t key;  // of element 0 of `memory`
};

// Elements from number `at` on, and back.
template <class T>
void widen(const Elements& from, int at, T* to, int count) {
  const uint16_t* const half = reinterpret_cast<const uint16_t*>(from.memory) + at;
  if (from.rest) {
    for (int i = 0; i < count; ++i) to[i] = static_cast<T>(bitCast<float>(ofParts(half[i], from.rest[at + i])));
    return;
  }
  switch (from.type) {
    case FLOAT64:
      for (int i = 0; i < count; ++i) to[i] = static_cast<T>(reinterpret_cast<const double*>(from.memory)[at + i]);
      break;
    case FLOAT32:
      for (int i = 0; i < count; ++i) to[i] = static_cast<T>(reinterpret_cast<const float*>(from.memory)[at + i]);
      break;
    case BFLOAT16:
      for (int i = 0; i < count; ++i) to[i] = static_cast<T>(fromBfloat16(half[i]));
      break;
    default:
      for (int i = 0; i < count; ++i) to[i] = static_cast<T>(fromFloat16(half[i]));
  }
}

// Copies past the caches: streaming stores for whole cache lines, plain ones before the first and after the last. A line that
// streaming stores fill in part costs more than a plain one. The caller fences.
inline void stream(char* memory, const char* staged, int64_t bytes) {
  const int64_t head = static_cast<int64_t>(-reinterpret_cast<uintptr_t>(memory) & 63);
  int64_t i = head < bytes ? head : bytes;
  __builtin_memcpy(memory, staged, static_cast<size_t>(i));
  for (; i + 64 <= bytes; i += 64)
    for (int j = 0; j < 64; j += 16)
      _mm_stream_si128(reinterpret_cast<__m128i*>(memory + i + j), _mm_loadu_si128(reinterpret_cast<const __m128i*>(staged + i + j)));
  __builtin_memcpy(memory + i, staged + i, static_cast<size_t>(bytes - i));
}

// To 16 bits. `past`: past the caches.
template <class T>
void narrow(const T* from, const Elements& to, int at, int count, bool past = false) {
  alignas(64) uint16_t half[STRIP];
  const uint32_t begin = to.key + static_cast<uint32_t>(at) * ELEMENT_STEP;
  const auto random = [&](int i) { return randomOf(wordOf(begin + static_cast<uint32_t>(i) * ELEMENT_STEP), to.place); };
  const auto bits = [&](int i) { return bitCast<uint32_t>(static_cast<float>(from[i])); };
  if (to.rest) {
    for (int i = 0; i < count; ++i) half[i] = upperPart(bits(i));
    for (int i = 0; i < count; ++i) to.rest[at + i] = restPart(bits(i));
  } else if (to.type == BFLOAT16 && to.stochastic) {
    for (int i = 0; i < count; ++i) half[i] = static_cast<uint16_t>(stochasticBfloat16(bits(i), random(i)) >> 16);
  } else if (to.type == BFLOAT16) {
    for (int i = 0; i < count; ++i) half[i] = toBfloat16(static_cast<float>(from[i]));
  } else if (to.stochastic) {
    for (int i = 0; i < count; ++i) half[i] = stochasticFloat16(static_cast<float>(from[i]), random(i));
  } else {
    for (int i = 0; i < count; ++i) half[i] = toFloat16(static_cast<float>(from[i]));
  }
  char* const memory = to.memory + int64_t(at) * int64_t(sizeof(uint16_t));
  const int64_t bytes = count * int64_t(sizeof(uint16_t));
  if (past)
    stream(memory, reinterpret_cast<const char*>(half), bytes);
  else
    __builtin_memcpy(memory, half, static_cast<size_t>(bytes));
}

// The selection for elements [begin, begin + count) of a tensor.
template <class T>
void selectEvery(uint32_t period, int64_t begin, T* selected, int count) {
  for (int i = 0; i < count; ++i) selected[i] = 0;
  const int64_t past = begin % period;
  for (int64_t i = past == 0 ? 0 : period - past; i < count; i += period) selected[i] = 1;
}

}  // namespace
}  // namespace steptuner
