// SPDX-License-Identifier: Apache-2.0
//
// Fault: a sum in shared memory reads one element too many, through a pointer, where the compiler no longer knows the array's size.
#include "check.h"

// Not inlined, lest the optimiser see the array after all.
__attribute__((noinline)) __device__ float sumOf(const float* values, int count) {
  float sum = 0;
  for (int i = 0; i < count; ++i) sum += values[i];
  return sum;
}

template <int N>
__global__ void sumStatic(float* out, int excess) {
  __shared__ float values[N];
  __shared__ float others[N];
  values[threadIdx.x] = 1;
  others[threadIdx.x] = 2;
  __syncthreads();
  if (threadIdx.x == 0) *out = sumOf(values, N + excess) + sumOf(others, N);
}

__global__ void sumDynamic(float* out, int excess) {
  DYNAMIC_SHARED(float, values);
  values[threadIdx.x] = 3;
  __syncthreads();
  if (threadIdx.x == 0) *out = sumOf(values, blockDim.x + excess);
}

int main(int, char** arguments) {
  constexpr int N = 33;
  Buffer<float> out(1);
  CHECK_EQUAL(launch(sumStatic<N>, {2, N}, out.get(), strcmp(arguments[1], "static") == 0), cudaSuccess);
  CHECK_EQUAL(out[0], 3.0f * N);
  CHECK_EQUAL(launch(sumDynamic, {2, N, N * sizeof(float)}, out.get(), strcmp(arguments[1], "dynamic") == 0), cudaSuccess);
  CHECK_EQUAL(out[0], 3.0f * N);
  return failures != 0;
}
