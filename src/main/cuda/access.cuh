// SPDX-License-Identifier: Apache-2.0
//
// How a thread of a CUDA sweep reaches consecutive elements of an operand.
//
// The types of parameters and gradients are looked up at run time, once per operand and chunk, the same way for all threads of a block:
// memory is the bottleneck, and the table would otherwise be compiled for 16 combinations. State has one type and is aligned, which the
// compiler knows.
#pragma once
#include "../cpp/math/types.h"
#include "arguments.cuh"
#include <cuda_runtime.h>

namespace steptuner {

// How a chunk's operand is accessed.
struct Access4 {
  char* memory;
  int32_t type;
  bool aligned;  // every group of 4 elements starts at a multiple of its own size, or of 16 bytes
};

// N consecutive elements of an operand, as T gets them.
template <class T, int N>
struct Elements;

// In registers as they are in memory, so that a load need not wait for its conversion; float64 is converted on the way.
template <>
struct Elements<float, 4> {
  uint32_t word[4];

  __device__ __forceinline__ void load(const Access4& from, int i, int live) {
    const int bytes = bytesOf(from.type);
    const char* const at = from.memory + i * bytes;
    if (live == 4 && from.aligned && bytes == 4) {
      const uint4 four = *reinterpret_cast<const uint4*>(at);
      word[0] = four.x;
      word[1] = four.y;
      word[2] = four.z;
      word[3] = four.w;
    } else if (live == 4 && from.aligned && bytes == 2) {
      const uint2 two = *reinterpret_cast<const uint2*>(at);
      word[0] = two.x;
      word[1] = two.y;
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (bytes == 2)
          setHalf(j, j < live ? reinterpret_cast<const uint16_t*>(at)[j] : uint16_t(0));
        else
          word[j] = bitCast<uint32_t>(j >= live              ? 0.0f
                                      : from.type == FLOAT32 ? reinterpret_cast<const float*>(at)[j]
                                                             : static_cast<float>(reinterpret_cast<const double*>(at)[j]));
      }
    }
  }

  __device__ __forceinline__ float get(int32_t type, int j) const {
    const uint16_t half = static_cast<uint16_t>(word[j / 2] >> (j % 2 * 16));
    return type == BFLOAT16 ? fromBfloat16(half) : type == FLOAT16 ? fromFloat16(half) : bitCast<float>(word[j]);
  }

  // In the order j = 0 .. 3: a half is only overwritten when its element has been taken.
  __device__ __forceinline__ void put(int32_t type, int j, float value) {
    if (bytesOf(type) == 2)
      setHalf(j, type == BFLOAT16 ? toBfloat16(value) : toFloat16(value));
    else
      word[j] = bitCast<uint32_t>(value);
  }

  __device__ __forceinline__ void store(const Access4& to, int i, int live) const {
    const int bytes = bytesOf(to.type);
    char* const at = to.memory + i * bytes;
    if (live == 4 && to.aligned && bytes == 4) {
      *reinterpret_cast<uint4*>(at) = make_uint4(word[0], word[1], word[2], word[3]);
    } else if (live == 4 && to.aligned) {
      *reinterpret_cast<uint2*>(at) = make_uint2(word[0], word[1]);
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (j >= live) continue;
        if (bytes == 2)
          reinterpret_cast<uint16_t*>(at)[j] = static_cast<uint16_t>(word[j / 2] >> (j % 2 * 16));
        else
          reinterpret_cast<uint32_t*>(at)[j] = word[j];
      }
    }
  }

 private:
  __device__ __forceinline__ void setHalf(int j, uint16_t half) {
    word[j / 2] = j % 2 == 0 ? (word[j / 2] & 0xffff0000u) | half : (word[j / 2] & 0x0000ffffu) | uint32_t(half) << 16;
  }
};

// N is even: an access is two of them.
template <int N>
struct Elements<double, N> {
  double value[N];

  __device__ __forceinline__ void load(const Access4& from, int i, int live) {
    if (live == N && from.aligned && from.type == FLOAT64) {
      const double2* const at = reinterpret_cast<const double2*>(from.memory + i * 8);
#pragma unroll
      for (int j = 0; j < N; j += 2) {
        const double2 two = at[j / 2];
        value[j] = two.x;
        value[j + 1] = two.y;
      }
    } else {
#pragma unroll
      for (int j = 0; j < N; ++j) value[j] = j < live ? steptuner::load<double>(from.memory, from.type, i + j) : 0.0;
    }
  }

  __device__ __forceinline__ double get(int32_t, int j) const { return value[j]; }

  __device__ __forceinline__ void put(int32_t, int j, double to) { value[j] = to; }

  // What a float64 computation writes is float64.
  __device__ __forceinline__ void store(const Access4& to, int i, int live) const {
    double* const at = reinterpret_cast<double*>(to.memory) + i;
    if (live == N && to.aligned) {
#pragma unroll
      for (int j = 0; j < N; j += 2) reinterpret_cast<double2*>(at)[j / 2] = make_double2(value[j], value[j + 1]);
    } else {
#pragma unroll
      for (int j = 0; j < N; ++j)
        if (j < live) at[j] = value[j];
    }
  }
};

__device__ __forceinline__ Access4 accessOf(const Arguments& a, const Tensor& tensor, const Chunk& chunk, int o) {
  char* base = a.slot[o] + tensor.stateOffset;
  int32_t type = tensor.stateType;
  if (a.place[o] == SELECTION) return {nullptr, type, false};
  if (a.place[o] == GRADIENT) {
    base = tensor.gradient;
    type = tensor.gradientType;
  } else if (a.place[o] == PARAMETER) {
    base = tensor.parameter;
    type = tensor.parameterType;
  } else if (a.place[o] == UPDATE) {
    base = tensor.update;
  }
  const int bytes = bytesOf(type);
  char* const memory = base + chunk.begin * bytes;
  // 32 bytes of float64 are two accesses of 16.
  const int unit = bytes == 8 ? 16 : 4 * bytes;
  return {memory, type, (reinterpret_cast<uintptr_t>(memory) & uintptr_t(unit - 1)) == 0};
}

}  // namespace steptuner
