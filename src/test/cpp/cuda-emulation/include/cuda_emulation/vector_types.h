// SPDX-License-Identifier: Apache-2.0
//
// dim3 and the vector types, with CUDA's alignments: a 16-byte type must be loaded from a multiple of 16, which UBSan then checks.
#pragma once

#define CUDA_EMULATION_VECTOR2(name, scalar, alignment) \
  struct alignas(alignment) name {                      \
    scalar x, y;                                        \
  };                                                    \
  inline name make_##name(scalar x, scalar y) { return {x, y}; }

#define CUDA_EMULATION_VECTOR3(name, scalar) \
  struct name {                              \
    scalar x, y, z;                          \
  };                                         \
  inline name make_##name(scalar x, scalar y, scalar z) { return {x, y, z}; }

#define CUDA_EMULATION_VECTOR4(name, scalar, alignment) \
  struct alignas(alignment) name {                      \
    scalar x, y, z, w;                                  \
  };                                                    \
  inline name make_##name(scalar x, scalar y, scalar z, scalar w) { return {x, y, z, w}; }

CUDA_EMULATION_VECTOR2(float2, float, 8)
CUDA_EMULATION_VECTOR2(double2, double, 16)
CUDA_EMULATION_VECTOR2(int2, int, 8)
CUDA_EMULATION_VECTOR2(uint2, unsigned, 8)
CUDA_EMULATION_VECTOR2(ushort2, unsigned short, 4)
CUDA_EMULATION_VECTOR2(longlong2, long long, 16)
CUDA_EMULATION_VECTOR2(ulonglong2, unsigned long long, 16)
CUDA_EMULATION_VECTOR3(float3, float)
CUDA_EMULATION_VECTOR3(int3, int)
CUDA_EMULATION_VECTOR3(uint3, unsigned)
CUDA_EMULATION_VECTOR4(float4, float, 16)
CUDA_EMULATION_VECTOR4(int4, int, 16)
CUDA_EMULATION_VECTOR4(uint4, unsigned, 16)
CUDA_EMULATION_VECTOR4(ushort4, unsigned short, 8)

#undef CUDA_EMULATION_VECTOR2
#undef CUDA_EMULATION_VECTOR3
#undef CUDA_EMULATION_VECTOR4

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};
