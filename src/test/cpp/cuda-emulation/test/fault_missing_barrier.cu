// SPDX-License-Identifier: Apache-2.0
//
// Faults: one of the barriers of a sum over a block is left out. In "warp" it is the __syncwarp of a sum over a warp, in the
// hope that a shuffle orders memory: it does not.
#include "check.h"

enum Fault { NONE, AFTER_WRITE, BEFORE_REUSE, WARP };

__device__ int sumOfBlock(int value, Fault fault) {
  __shared__ int values[64];
  if (fault != BEFORE_REUSE) __syncthreads();
  values[threadIdx.x] = value;
  if (fault != AFTER_WRITE) __syncthreads();
  int sum = 0;
  for (unsigned i = 0; i < blockDim.x; ++i) sum += values[i];
  return sum;
}

__device__ int neighbour(int value, Fault fault) {
  __shared__ int values[64];
  values[threadIdx.x] = value;
  if (fault == WARP) {
    value = __shfl_sync(0xffffffffu, value, 0);
  } else {
    __syncwarp();
  }
  return values[threadIdx.x ^ 1] + 0 * value;
}

__global__ void kernel(int* out, Fault fault) {
  const int first = sumOfBlock(threadIdx.x, fault);
  const int second = sumOfBlock(1, fault);
  const int third = neighbour(threadIdx.x, fault);
  if (threadIdx.x == 0) out[blockIdx.x] = first + second + third;
}

int main(int, char** arguments) {
  const char* names[] = {"sound", "after-write", "before-reuse", "warp"};
  int fault = 0;
  while (strcmp(arguments[1], names[fault]) != 0) ++fault;
  Buffer<int> out(2);
  CHECK_EQUAL(launch(kernel, {2, 64}, out.get(), static_cast<Fault>(fault)), cudaSuccess);
  if (fault == NONE) CHECK_EQUAL(out[1], 64 * 63 / 2 + 64 + 1);
  return failures != 0;
}
