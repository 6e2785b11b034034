// SPDX-License-Identifier: Apache-2.0
//
// Plain streams over float arrays, the yardstick of the machine, and data to fill arrays with.
#pragma once
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#define BENCH_API __attribute__((visibility("default")))

// to[i] = a[i]; with streaming stores where `bypass`. Addresses are multiples of 64.
BENCH_API void bench_copy(float* to, const float* a, int64_t count, int32_t threads, int32_t bypass);
// to[i] = a[i] + scale b[i]
BENCH_API void bench_triad(float* to, const float* a, const float* b, float scale, int64_t count, int32_t threads, int32_t bypass);

// Sets element i to scale * h(i + seed), where h is in [-1, 1): the data that every contender starts from (see Data.java). Type 0 is
// float32, 2 is bfloat16.
BENCH_API void bench_fill(void* to, int32_t type, int64_t count, int64_t seed, double scale);

#ifdef __cplusplus
}
#endif
