// SPDX-License-Identifier: Apache-2.0
//
// Operands that the CPU harness does not use in place: they pass through a strip of staging in the L1 cache. Gradients of other types are
// converted there, outputs that bypass the caches are copied from there, and the selection is made there.
#pragma once
#include "../core/summation.h"
#include "../math/types.h"
#include <immintrin.h>
#include <string.h>

namespace steptuner {
namespace {

template <class T>
inline int32_t typeOf() {
  return sizeof(T) == 8 ? FLOAT64 : FLOAT32;
}

template <class T>
void widen(const char* memory, int32_t type, T* staged, int count) {
  switch (type) {
    case FLOAT64:
      for (int i = 0; i < count; ++i) staged[i] = static_cast<T>(reinterpret_cast<const double*>(memory)[i]);
      break;
    case FLOAT32:
      for (int i = 0; i < count; ++i) staged[i] = static_cast<T>(reinterpret_cast<const float*>(memory)[i]);
      break;
    case BFLOAT16:
      for (int i = 0; i < count; ++i) staged[i] = static_cast<T>(fromBfloat16(reinterpret_cast<const uint16_t*>(memory)[i]));
      break;
    default:
      for (int i = 0; i < count; ++i) staged[i] = static_cast<T>(fromFloat16(reinterpret_cast<const uint16_t*>(memory)[i]));
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

// The selection for elements [begin, begin + count) of a tensor.
template <class T>
void selectEvery(uint32_t period, int64_t begin, T* selected, int count) {
  for (int i = 0; i < count; ++i) selected[i] = 0;
  const int64_t past = begin % period;
  for (int64_t i = past == 0 ? 0 : period - past; i < count; i += period) selected[i] = 1;
}

}  // namespace
}  // namespace steptuner
