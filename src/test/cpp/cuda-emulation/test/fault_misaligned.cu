// SPDX-License-Identifier: Apache-2.0
//
// Fault: a vector load from an address that is only aligned for a scalar.
#include "check.h"

__global__ void sum(const float* in, int offset, float* out) {
  const float4 v = __ldg(reinterpret_cast<const float4*>(in + offset) + threadIdx.x);
  out[threadIdx.x] = v.x + v.y + v.z + v.w;
}

int main(int, char** arguments) {
  Buffer<float> in(64);
  Buffer<float> out(8);
  CHECK_EQUAL(launch(sum, {1, 8}, in.get(), strcmp(arguments[1], "planted") == 0 ? 3 : 4, out.get()), cudaSuccess);
  CHECK_EQUAL(out[7], 0.0f);
  return failures != 0;
}
