// SPDX-License-Identifier: Apache-2.0
//
// The words that CUDA adds to declarations.
#pragma once

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __launch_bounds__(...)
#define __forceinline__ __inline__ __attribute__((always_inline))

// The threads of a block are fibers of one OS thread, so a thread_local variable is shared by exactly them. Each declaration
// brings a guard: it fills the function's shared variables with the poison pattern when a block first comes by, and, under
// AddressSanitizer, is the red zone between two of them (which the sanitizer does not give to thread_local variables). One such
// declaration on a line.
#define __shared__                                                                                         \
  static thread_local cuda_emulation::SharedGuard CUDA_EMULATION_JOIN(cudaEmulationSharedGuard, __LINE__); \
  cuda_emulation::enterShared(CUDA_EMULATION_JOIN(cudaEmulationSharedGuard, __LINE__));                    \
  static thread_local

#define CUDA_EMULATION_JOIN(a, b) CUDA_EMULATION_JOIN_EXPANDED(a, b)
#define CUDA_EMULATION_JOIN_EXPANDED(a, b) a##b

// `extern __shared__ T name[]` cannot be declared so; this stands for it. T must need no more than 16-byte alignment.
#define CUDA_EMULATION_DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(cuda_emulation::dynamicShared())

namespace cuda_emulation {

struct alignas(8) SharedGuard {
  unsigned long long block;  // the last block that came by on this OS thread
  const void* function;      // what the runtime knows of the function's shared variables
#if defined(__SANITIZE_ADDRESS__)
  char redZone[112];
#endif
};

void enterShared(SharedGuard& guard);
void* dynamicShared();

}  // namespace cuda_emulation
