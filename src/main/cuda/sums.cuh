// SPDX-License-Identifier: Apache-2.0
//
// The later steps of a sum, in the order of core/summation.h: across a warp, and over the chunks of a segment.
#pragma once
#include "arguments.cuh"
#include <cuda_runtime.h>

namespace steptuner {

// One store that the host may be reading meanwhile.
__device__ __forceinline__ void storeForHost(uint64_t* word, uint64_t value) {
#if defined(__CUDA_EMULATION__)
  cuda_emulation::storeForHost(word, value);  // sanitizers take a volatile store for any other
#else
  *static_cast<volatile uint64_t*>(word) = value;
#endif
}

// Whether this block is the last one of the grid to come here, and what the others wrote before is there for it. Called by all its threads.
__device__ __forceinline__ bool isLastBlock(unsigned* ticket, bool& last) {
  // The barrier hands what this block has written to its first thread, whose fence hands it on with the ticket; the last one to draw takes
  // that of all blocks by the second fence, and hands it to its block.
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;  // which makes it 0 again
    __threadfence();
  }
  __syncthreads();
  return last;
}

__device__ __forceinline__ double addAcrossWarp(double value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value = value + __shfl_down_sync(0xffffffffu, value, distance);
  return value;
}

// Adds the chunk sums of one segment with a warp; only for segments of at most 32 chunks.
__device__ __forceinline__ void addShortSegment(const Arguments& a, const Segment& segment, int64_t row, int sums, int thread) {
  for (int s = 0; s < sums; ++s) {
    const int64_t c = segment.begin + thread;
    const double column = c < segment.end ? 0.0 + __ldcg(a.chunkSums + c * sums + s) : 0.0;
    const double total = addAcrossWarp(column);
    if (thread == 0) a.sumRows[row * sums + s] = total;
  }
}

// Adds the chunk sums of one segment with the whole block.
__device__ __forceinline__ void addLongSegment(const Arguments& a, const Segment& segment, int64_t row, int sums, double* columns) {
  for (int s = 0; s < sums; ++s) {
    double column = 0.0;
    for (int64_t c = segment.begin + threadIdx.x; c < segment.end; c += COLUMNS) column = column + __ldcg(a.chunkSums + c * sums + s);
    columns[threadIdx.x] = column;
    __syncthreads();
    for (unsigned half = COLUMNS / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) columns[threadIdx.x] = columns[threadIdx.x] + columns[threadIdx.x + half];
      __syncthreads();
    }
    if (threadIdx.x == 0) a.sumRows[row * sums + s] = columns[0];
    __syncthreads();
  }
}

__device__ __forceinline__ void addSegment(const Arguments& a, int64_t row, int sums, double* columns) {
  const Segment segment = a.segments[row];
  if (segment.end - segment.begin > 32)
    addLongSegment(a, segment, row, sums, columns);
  else if (threadIdx.x < 32)
    addShortSegment(a, segment, row, sums, threadIdx.x);
}

// Tells the host that the sums are there. Called by a whole block that has written them, or knows by its ticket that others have.
__device__ __forceinline__ void tellHost(const Arguments& a) {
  if (!a.told) return;
  __syncthreads();
  if (threadIdx.x != 0) return;
  __threadfence_system();
  storeForHost(a.told, a.number);
}

}  // namespace steptuner
