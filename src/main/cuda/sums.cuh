// SPDX-License-Identifier: Apache-2.0
//
// The later steps of a sum, in the order of core/summation.h: across a warp, and over the chunks of a segment.
#pragma once
#include "arguments.cuh"
#include <cuda_runtime.h>

namespace steptuner {

__device__ __forceinline__ double addAcrossWarp(double value) {
#pragma unroll
  for (int distance = 16; distance > 0; distance /= 2) value = value + __shfl_down_sync(0xffffffffu, value, distance);
  return value;
}

__device__ __forceinline__ bool isShort(const Segment& segment) { return segment.end - segment.begin <= 32; }

// Adds the chunk sums of one short segment with a warp.
__device__ __forceinline__ void addShortSegment(const Arguments& a, const Segment& segment, int64_t row, int sums, int thread) {
  const int64_t c = segment.begin + thread;
  for (int s = 0; s < sums; ++s) {
    const double column = c < segment.end ? 0.0 + __ldcg(a.chunkSums + c * sums + s) : 0.0;
    const double total = addAcrossWarp(column);
    if (thread == 0) a.sumRows[row * sums + s] = total;
  }
}

// Adds the chunk sums of one segment with a block of COLUMNS threads, of which each has a column, and then each warp a sum.
__device__ __forceinline__ void addLongSegment(const Arguments& a, const Segment& segment, int64_t row, int sums, double* columns) {
  const int column = static_cast<int>(threadIdx.x), warp = column / 32, thread = column % 32;
  for (int s = 0; s < sums; ++s) {
    double total = 0.0;
#pragma unroll 8
    for (int64_t c = segment.begin + column; c < segment.end; c += COLUMNS) total = total + __ldcg(a.chunkSums + c * sums + s);
    columns[s * COLUMNS + column] = total;
  }
  __syncthreads();
  for (int s = warp; s < sums; s += COLUMNS / 32) {
    const double* const at = columns + s * COLUMNS + thread;
    const double even = (at[0] + at[128]) + (at[64] + at[192]);
    const double odd = (at[32] + at[160]) + (at[96] + at[224]);
    const double total = addAcrossWarp(even + odd);
    if (thread == 0) a.sumRows[row * sums + s] = total;
  }
  __syncthreads();
}

// The same for any of the segments that came with the launch; `columns` has room for as many doubles for each sum.
__device__ __forceinline__ void addSegment(const Arguments& a, int row, int sums, double* columns) {
  const Segment segment = a.segment[row];
  if (!isShort(segment))
    addLongSegment(a, segment, row, sums, columns);
  else if (threadIdx.x < 32)
    addShortSegment(a, segment, row, sums, static_cast<int>(threadIdx.x));
}

// Draws a ticket of `count`; the last one comes after all that was done before the others were drawn, and makes the number 0 again.
__device__ __forceinline__ bool drawLastTicket(unsigned* ticket, unsigned count) {
#if defined(__CUDA_ARCH__)
  unsigned before;
  asm volatile("atom.acq_rel.gpu.global.inc.u32 %0, [%1], %2;" : "=r"(before) : "l"(ticket), "r"(count - 1) : "memory");
  return before == count - 1;
#else
  __threadfence();
  const bool last = atomicInc(ticket, count - 1) == count - 1;
  __threadfence();
  return last;
#endif
}

}  // namespace steptuner
