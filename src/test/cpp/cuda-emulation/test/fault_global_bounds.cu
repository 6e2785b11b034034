// SPDX-License-Identifier: Apache-2.0
//
// Fault: the guard of the last, partly filled block is missing, and a thread writes behind the end of an allocation.
#include "check.h"

__global__ void square(const float* in, float* out, int count, bool guarded) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const float value = in[i < count ? i : count - 1];
  if (i < count || !guarded) out[i] = value * value;
}

int main(int, char** arguments) {
  const bool sound = strcmp(arguments[1], "sound") == 0;
  constexpr int COUNT = 100;
  Buffer<float> in(COUNT);
  Buffer<float> out(COUNT);
  CHECK_EQUAL(launch(square, {4, 32}, in.get(), out.get(), COUNT, sound), cudaSuccess);
  CHECK_EQUAL(cudaDeviceSynchronize(), cudaSuccess);
  return failures != 0;
}
