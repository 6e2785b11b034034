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

// Counts up to `most`, and then to 0 again. Who draws comes after all that was done before the others drew.
__device__ __forceinline__ unsigned drawTicket(unsigned* ticket, unsigned most) {
#if defined(__CUDA_ARCH__)
  unsigned before;
  asm volatile("atom.acq_rel.gpu.global.inc.u32 %0, [%1], %2;" : "=r"(before) : "l"(ticket), "r"(most) : "memory");
  return before;
#else
  __threadfence();
  const unsigned before = atomicInc(ticket, most);
  __threadfence();
  return before;
#endif
}

// Whether this block is the last one of the grid to come here, and what the others wrote before is there for it. Called by all its threads.
__device__ __forceinline__ bool isLastBlock(unsigned* ticket, bool& last) {
  // The barrier hands what this block has written to its first thread, which hands it on with the ticket; the last one to draw takes that of
  // all blocks, and hands it to its block.
  __syncthreads();
  if (threadIdx.x == 0) last = drawTicket(ticket, gridDim.x - 1) == gridDim.x - 1;
  __syncthreads();
  return last;
}

__device__ __forceinline__ double addAcrossWarp(double value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value = value + __shfl_down_sync(0xffffffffu, value, distance);
  return value;
}

__device__ __forceinline__ bool isShort(const Segment& segment) { return segment.end - segment.begin <= 32; }

// Where sums come from and go to: [chunks][count] and [segments][count].
struct SumsOfSegments {
  const double* chunkSums;
  double* rows;
  int count;
};

// Adds up one sum over the chunks of a short segment with a warp.
__device__ __forceinline__ void addShortSum(const Segment& segment, int64_t row, int sum, const SumsOfSegments& sums, int thread) {
  const int64_t c = segment.begin + thread;
  const double column = c < segment.end ? 0.0 + __ldcg(sums.chunkSums + c * sums.count + sum) : 0.0;
  const double total = addAcrossWarp(column);
  if (thread == 0) sums.rows[row * sums.count + sum] = total;
}

// Adds the chunk sums of one segment with a block of COLUMNS threads, of which each has a column, and then each warp a sum. `columns` has
// room for COLUMNS doubles for each sum.
__device__ __forceinline__ void addLongSegment(const Segment& segment, int64_t row, const SumsOfSegments& sums, double* columns) {
  const int column = static_cast<int>(threadIdx.x), warp = column / 32, thread = column % 32;
  for (int s = 0; s < sums.count; ++s) {
    double total = 0.0;
#pragma unroll 8
    for (int64_t c = segment.begin + column; c < segment.end; c += COLUMNS) total = total + __ldcg(sums.chunkSums + c * sums.count + s);
    columns[s * COLUMNS + column] = total;
  }
  __syncthreads();
  for (int s = warp; s < sums.count; s += COLUMNS / 32) {
    const double* const at = columns + s * COLUMNS + thread;
    const double even = (at[0] + at[128]) + (at[64] + at[192]);
    const double odd = (at[32] + at[160]) + (at[96] + at[224]);
    const double total = addAcrossWarp(even + odd);
    if (thread == 0) sums.rows[row * sums.count + s] = total;
  }
  __syncthreads();
}

// Adds those of a few segments with one block: the short ones with a warp for each sum, so that no sum waits for the loads of another.
__device__ __forceinline__ void addSegments(const Segment* segments, int count, const SumsOfSegments& sums, double* columns) {
  const int warp = static_cast<int>(threadIdx.x) / 32, thread = static_cast<int>(threadIdx.x) % 32;
  for (int each = warp; each < count * sums.count; each += COLUMNS / 32) {
    const int row = each / sums.count;
    const Segment segment = segments[row];
    if (isShort(segment)) addShortSum(segment, row, each % sums.count, sums, thread);
  }
  for (int row = 0; row < count; ++row) {
    const Segment segment = segments[row];
    if (!isShort(segment)) addLongSegment(segment, row, sums, columns);
  }
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
