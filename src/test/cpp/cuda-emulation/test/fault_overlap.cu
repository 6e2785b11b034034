// SPDX-License-Identifier: Apache-2.0
//
// Fault: the parts of two neighbouring blocks overlap by one element. By then the grid has so many threads that
// ThreadSanitizer's contexts are in use for the third time.
#include "check.h"

__global__ void fill(int* out, int overlap) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = blockIdx.x;
  if (overlap && blockIdx.x == gridDim.x - 2 && threadIdx.x == blockDim.x - 1) out[i + overlap] = blockIdx.x;
}

int main(int, char** arguments) {
  constexpr unsigned BLOCKS = 7;
  constexpr unsigned THREADS = 256;
  Buffer<int> out(BLOCKS * THREADS);
  CHECK_EQUAL(launch(fill, {BLOCKS, THREADS}, out.get(), strcmp(arguments[1], "planted") == 0), cudaSuccess);
  CHECK_EQUAL(cudaDeviceSynchronize(), cudaSuccess);
  return failures != 0;
}
