// SPDX-License-Identifier: Apache-2.0
//
// Prints what a launch costs, so that the figures in the README can be measured again. Not a test.
#include "check.h"

#include <algorithm>
#include <chrono>
#include <initializer_list>

namespace {

__global__ void noBarrier(float* values) { values[blockIdx.x * blockDim.x + threadIdx.x] += 1; }

__global__ void fourBarriers(float* values) {
  __shared__ float shared[256];
  float value = values[blockIdx.x * blockDim.x + threadIdx.x];
  for (int i = 0; i < 2; ++i) {
    shared[threadIdx.x] = value;
    __syncthreads();
    value += shared[(threadIdx.x + 1) % blockDim.x];
    __syncthreads();
  }
  values[blockIdx.x * blockDim.x + threadIdx.x] = value;
}

// What a reduction does: five shuffles of a double, a barrier, five shuffles in one warp.
__global__ void reduction(float* values) {
  __shared__ double shared[32];
  double sum = values[blockIdx.x * blockDim.x + threadIdx.x];
  for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(0xffffffffu, sum, offset);
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x < 32) {
    sum = threadIdx.x < blockDim.x / 32 ? shared[threadIdx.x] : 0;
    for (int offset = 16; offset > 0; offset /= 2) sum += __shfl_down_sync(0xffffffffu, sum, offset);
    if (threadIdx.x == 0) values[blockIdx.x * blockDim.x] = static_cast<float>(sum);
  }
}

// The best of several, since other work may share the cores.
double microseconds(void (*kernel)(float*), unsigned blocks, unsigned threads, float* values) {
  const int launches = static_cast<int>(std::max(20u, 40000u / blocks / threads));
  double best = 1e30;
  for (int repetition = 0; repetition < 9; ++repetition) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < launches; ++i) launch(kernel, {blocks, threads}, values);
    const std::chrono::duration<double, std::micro> elapsed = std::chrono::steady_clock::now() - start;
    best = std::min(best, elapsed.count() / launches);
  }
  return best;
}

}  // namespace

int main() {
  Buffer<float> values(64 * 256);
  printf("microseconds a launch    no barrier  four barriers  reduction\n");
  for (unsigned blocks : {1u, 4u, 64u}) {
    for (unsigned threads : {1u, 32u, 256u}) {
      printf("%3u blocks of %3u threads %9.2f", blocks, threads, microseconds(noBarrier, blocks, threads, values.get()));
      printf("  %13.2f", microseconds(fourBarriers, blocks, threads, values.get()));
      printf("  %9.2f\n", microseconds(reduction, blocks, threads, values.get()));
    }
  }
  return failures != 0;
}
