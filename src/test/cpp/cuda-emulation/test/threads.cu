// SPDX-License-Identifier: Apache-2.0
//
// Threads: who they are, barriers, shuffles, votes.
#include "check.h"

namespace {

constexpr unsigned ALL = 0xffffffffu;

__global__ void numbers(unsigned* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}

void everyThreadRunsOnce() {
  Buffer<unsigned> out(12 * 30);
  CHECK_EQUAL(launch(numbers, {dim3(2, 3, 2), dim3(5, 2, 3)}, out.get()), cudaSuccess);
  for (unsigned block = 0; block < 12; ++block) {
    for (unsigned thread = 0; thread < 30; ++thread) CHECK_EQUAL(out[block * 30 + thread], block * 1000 + thread);
  }
}

// Each round every thread reads what its neighbour wrote in the round before, so each of the barriers matters.
__global__ void rotate(int* out, int rounds) {
  __shared__ int values[96];
  const int i = threadIdx.x;
  const int n = blockDim.x;
  values[i] = i;
  for (int round = 0; round < rounds; ++round) {
    __syncthreads();
    const int next = values[(i + 1) % n];
    __syncthreads();
    values[i] = next;
  }
  out[blockIdx.x * n + i] = values[i];
}

void barriersHold() {
  constexpr int BLOCKS = 3;
  constexpr int ROUNDS = 5;
  for (int threads : {1, 7, 32, 96}) {
    Buffer<int> out(BLOCKS * threads);
    CHECK_EQUAL(launch(rotate, {BLOCKS, threads}, out.get(), ROUNDS), cudaSuccess);
    for (int i = 0; i < BLOCKS * threads; ++i) CHECK_EQUAL(out[i], (i % threads + ROUNDS) % threads);
  }
}

// A warp may leave before the others meet, so long as it is not the block that they meet in.
__global__ void oneWarpStays(int* out) {
  if (threadIdx.x >= 32) return;
  out[threadIdx.x] = __shfl_xor_sync(ALL, static_cast<int>(threadIdx.x), 1);
}

void warpsMayLeave() {
  Buffer<int> out(32);
  CHECK_EQUAL(launch(oneWarpStays, {1, 96}, out.get()), cudaSuccess);
  for (int i = 0; i < 32; ++i) CHECK_EQUAL(out[i], i ^ 1);
}

template <class T>
__global__ void shuffles(T* out) {
  const T mine = static_cast<T>(threadIdx.x) + static_cast<T>(0.5);
  T* row = out + 8 * threadIdx.x;
  row[0] = __shfl_sync(ALL, mine, 3);
  row[1] = __shfl_sync(ALL, mine, 35);
  row[2] = __shfl_sync(ALL, mine, 3, 8);
  row[3] = __shfl_up_sync(ALL, mine, 2);
  row[4] = __shfl_up_sync(ALL, mine, 2, 16);
  row[5] = __shfl_down_sync(ALL, mine, 20);
  row[6] = __shfl_down_sync(ALL, mine, 3, 8);
  row[7] = __shfl_xor_sync(ALL, mine, 5);
}

template <class T>
void shufflesMoveValues() {
  Buffer<T> out(64 * 8);
  CHECK_EQUAL(launch(shuffles<T>, {1, 64}, out.get()), cudaSuccess);
  for (int thread = 0; thread < 64; ++thread) {
    const int lane = thread % 32;
    const int sources[] = {3,
                           3,
                           lane / 8 * 8 + 3,
                           lane >= 2 ? lane - 2 : lane,
                           lane % 16 >= 2 ? lane - 2 : lane,
                           lane + 20 < 32 ? lane + 20 : lane,
                           lane % 8 + 3 < 8 ? lane + 3 : lane,
                           lane ^ 5};
    for (int k = 0; k < 8; ++k) CHECK_EQUAL(out[8 * thread + k], static_cast<T>(thread - lane + sources[k]) + static_cast<T>(0.5));
  }
}

// A lane that stands alone gets through as many shuffles as it likes while the others have not looked at the first one's result.
__global__ void unevenPartners(int* out) {
  const unsigned lane = threadIdx.x;
  int value = lane;
  if (lane < 2) value = __shfl_xor_sync(0x3u, value, 1);
  if (lane == 0 || lane == 2) {
    for (int i = 0; i < 3; ++i) value = __shfl_xor_sync(0x5u, value, 2);
  }
  out[lane] = value;
}

void masksAreIndependent() {
  Buffer<int> out(32);
  CHECK_EQUAL(launch(unevenPartners, {1, 32}, out.get()), cudaSuccess);
  CHECK_EQUAL(out[0], 2);
  CHECK_EQUAL(out[1], 0);
  CHECK_EQUAL(out[2], 1);
  CHECK_EQUAL(out[3], 3);
}

__global__ void votes(unsigned* out) {
  const unsigned lane = threadIdx.x % 32;
  const bool upper = lane >= 16;
  unsigned* row = out + 6 * threadIdx.x;
  row[0] = __ballot_sync(ALL, lane % 3 == 0);
  row[1] = __any_sync(ALL, lane == 31);
  row[2] = __any_sync(ALL, false);
  row[3] = __all_sync(ALL, lane < 32);
  row[4] = __all_sync(ALL, lane != 7);
  row[5] = upper ? __ballot_sync(0xffff0000u, 1) : __ballot_sync(0x0000ffffu, lane % 2);
}

void votesCount() {
  Buffer<unsigned> out(64 * 6);
  CHECK_EQUAL(launch(votes, {1, 64}, out.get()), cudaSuccess);
  for (unsigned thread = 0; thread < 64; ++thread) {
    const unsigned expected[] = {0x49249249u, 1, 0, 1, 0, thread % 32 >= 16 ? 0xffff0000u : 0xaaaau};
    for (unsigned k = 0; k < 6; ++k) CHECK_EQUAL(out[6 * thread + k], expected[k]);
  }
}

// Lane 31 writes last and is the first that the others read.
__global__ void throughSharedMemory(int* out) {
  __shared__ int values[32];
  const int lane = threadIdx.x;
  values[lane] = lane * lane;
  __syncwarp();
  out[lane] = values[31 - lane];
}

void warpBarrierHolds() {
  Buffer<int> out(32);
  CHECK_EQUAL(launch(throughSharedMemory, {1, 32}, out.get()), cudaSuccess);
  for (int i = 0; i < 32; ++i) CHECK_EQUAL(out[i], (31 - i) * (31 - i));
}

__global__ void partialWarp(unsigned* out) {
  unsigned* row = out + 2 * threadIdx.x;
  row[0] = __activemask();
  row[1] = __ballot_sync(__activemask(), 1);
}

void lastWarpMayBeSmall() {
  Buffer<unsigned> out(2 * 40);
  CHECK_EQUAL(launch(partialWarp, {1, 40}, out.get()), cudaSuccess);
  CHECK_EQUAL(out[2 * 31 + 1], ALL);
  CHECK_EQUAL(out[2 * 32], 0xffu);
  CHECK_EQUAL(out[2 * 39 + 1], 0xffu);
}

}  // namespace

int main() {
  everyThreadRunsOnce();
  barriersHold();
  warpsMayLeave();
  shufflesMoveValues<int>();
  shufflesMoveValues<unsigned long long>();
  shufflesMoveValues<float>();
  shufflesMoveValues<double>();
  masksAreIndependent();
  votesCount();
  warpBarrierHolds();
  lastWarpMayBeSmall();
  return failures != 0;
}
