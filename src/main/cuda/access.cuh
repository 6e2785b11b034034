// SPDX-License-Identifier: Apache-2.0
//
// How a thread of a CUDA sweep reaches elements of an operand: four consecutive ones of a known type in one access, or any one at a time.
//
// Loads stay where they are written: left to itself, the compiler moves some of them to their first use, and fewer are under way. Hints
// that what is read once shall leave the caches first were tried on an H200, and cost 1 to 4 % of large sweeps.
#pragma once
#include "../cpp/math/types.h"
#include <cuda_runtime.h>

namespace steptuner {

__device__ __forceinline__ void loadVector(uint4& value, const char* at) {
#if defined(__CUDA_ARCH__)
  asm volatile("ld.global.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w) : "l"(at));
#else
  value = *reinterpret_cast<const uint4*>(at);
#endif
}

// Two words where `half` says so, and nothing into the others. Loads of both kinds then follow each other without a branch.
__device__ __forceinline__ void loadVector(uint4& value, const char* at, bool half) {
#if defined(__CUDA_ARCH__)
  asm volatile(
      "{\n.reg .pred half;\nsetp.ne.u32 half, %5, 0;\n"
      "@half ld.global.v2.u32 {%0, %1}, [%4];\n@!half ld.global.v4.u32 {%0, %1, %2, %3}, [%4];\n}"
      : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
      : "l"(at), "r"(static_cast<unsigned>(half)));
#else
  if (half) {
    const uint2 two = *reinterpret_cast<const uint2*>(at);
    value = make_uint4(two.x, two.y, 0, 0);
  } else {
    value = *reinterpret_cast<const uint4*>(at);
  }
#endif
}

// Two words into the last ones where `there` says so.
__device__ __forceinline__ void loadBehind(uint4& value, const char* at, bool there) {
#if defined(__CUDA_ARCH__)
  asm volatile("{\n.reg .pred there;\nsetp.ne.u32 there, %3, 0;\n@there ld.global.v2.u32 {%0, %1}, [%2];\n}"
               : "+r"(value.z), "+r"(value.w)
               : "l"(at), "r"(static_cast<unsigned>(there)));
#else
  if (there) {
    const uint2 two = *reinterpret_cast<const uint2*>(at);
    value.z = two.x;
    value.w = two.y;
  }
#endif
}

__device__ __forceinline__ void loadVector(double2& value, const char* at) {
#if defined(__CUDA_ARCH__)
  asm volatile("ld.global.v2.f64 {%0, %1}, [%2];" : "=d"(value.x), "=d"(value.y) : "l"(at));
#else
  value = *reinterpret_cast<const double2*>(at);
#endif
}

// Four consecutive elements of type E, in registers as they are in memory, so that a load need not wait for its conversion.
template <class E>
struct Four;

template <>
struct Four<float> {
  uint4 word;

  __device__ __forceinline__ void load(const char* at) { loadVector(word, at); }
  __device__ __forceinline__ void store(char* at) const { *reinterpret_cast<uint4*>(at) = word; }
  __device__ __forceinline__ float get(int j) const { return bitCast<float>(j == 0 ? word.x : j == 1 ? word.y : j == 2 ? word.z : word.w); }
  __device__ __forceinline__ void put(int j, float value) {
    (j == 0 ? word.x : j == 1 ? word.y : j == 2 ? word.z : word.w) = bitCast<uint32_t>(value);
  }
};

template <>
struct Four<double> {
  double2 low, high;

  __device__ __forceinline__ void load(const char* at) {
    loadVector(low, at);
    loadVector(high, at + 16);
  }
  __device__ __forceinline__ void store(char* at) const {
    reinterpret_cast<double2*>(at)[0] = low;
    reinterpret_cast<double2*>(at)[1] = high;
  }
  __device__ __forceinline__ double get(int j) const { return j == 0 ? low.x : j == 1 ? low.y : j == 2 ? high.x : high.y; }
  __device__ __forceinline__ void put(int j, double value) { (j == 0 ? low.x : j == 1 ? low.y : j == 2 ? high.x : high.y) = value; }
};

// The compiler then takes the accesses of global memory instead of generic ones.
__device__ __forceinline__ void assumeGlobal([[maybe_unused]] const void* memory) {
#if defined(__CUDA_ARCH__)
  __builtin_assume(__isGlobal(memory));
#endif
}

}  // namespace steptuner
