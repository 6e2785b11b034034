// SPDX-License-Identifier: Apache-2.0
//
// What lets one source be a C++ and a CUDA function.
#pragma once
#include <stdint.h>

#if defined(__CUDACC__)
#define STEPTUNER_HD __host__ __device__ __forceinline__
#else
#define STEPTUNER_HD inline __attribute__((always_inline))
#endif
