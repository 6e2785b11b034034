// SPDX-License-Identifier: Apache-2.0
//
// Faults: threads that wait for others which wait elsewhere, or not at all.
#include "check.h"

constexpr unsigned ALL = 0xffffffffu;

__global__ void sound(int* out) {
  __syncthreads();
  int value = __shfl_down_sync(ALL, static_cast<int>(threadIdx.x), 1);
  if (threadIdx.x % 32 < 16) value += __shfl_xor_sync(0x0000ffffu, value, 1);
  __syncthreads();
  out[threadIdx.x] = value;
}

__global__ void oneWarp(int* out) {
  if (threadIdx.x < 32) __syncthreads();
  out[threadIdx.x] = 1;
}

__global__ void twoBarriers(int* out) {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
  out[threadIdx.x] = 1;
}

__global__ void shuffleInABranch(int* out) {
  int value = threadIdx.x;
  if (threadIdx.x % 32 < 16) value = __shfl_down_sync(ALL, value, 1);
  __syncthreads();
  out[threadIdx.x] = value;
}

__global__ void differentMasks(int* out) {
  const unsigned mask = threadIdx.x % 2 ? ALL : ALL >> 1;
  out[threadIdx.x] = __shfl_xor_sync(mask, static_cast<int>(threadIdx.x), 1);
}

__global__ void notInMask(int* out) { out[threadIdx.x] = __any_sync(0x1u, threadIdx.x == 5); }

int main(int, char** arguments) {
  struct {
    const char* name;
    void (*kernel)(int*);
  } const variants[] = {{"sound", sound},          {"one-warp", oneWarp},     {"two-barriers", twoBarriers}, {"shuffle", shuffleInABranch},
                        {"masks", differentMasks}, {"not-in-mask", notInMask}};
  Buffer<int> out(64);
  for (const auto& variant : variants) {
    if (strcmp(arguments[1], variant.name) == 0) CHECK_EQUAL(launch(variant.kernel, {1, 64}, out.get()), cudaSuccess);
  }
  CHECK_EQUAL(cudaDeviceSynchronize(), cudaSuccess);
  return failures != 0;
}
