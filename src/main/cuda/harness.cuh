// SPDX-License-Identifier: Apache-2.0
//
// The CUDA harness: any kernel of the table over all chunks of a plan. No formulas here, and no choice that could change a bit.
//
// A block of 8 warps takes a chunk at a time; a warp takes a strip of it, a thread 4 consecutive elements of each of its 4 rows: a
// 16-byte access in float32. Sums follow core/summation.h: a thread holds 4 lanes of its strip; lanes meet in shared memory, where one
// warp adds a sum; chunk sums go to memory, and the block that finishes last adds them (or a launch of its own, where there are many
// segments).
#pragma once
#include "../cpp/core/kernel.h"
#include "access.cuh"
#include "sums.cuh"

namespace steptuner {

// Rows whose loads are issued together. Many operands keep enough loads in flight with one row, on a multiprocessor full of warps.
template <class K, class T>
constexpr int chooseRowsInFlight() {
  constexpr unsigned READS = READ_MASK<K>;
  int words = 0;
  for (int o = 0; o < OPERANDS<K>; ++o) words += (READS >> o & 1u) ? int(sizeof(T)) : 0;
  return words <= 8 ? 4 : words <= 16 ? 2 : 1;
}
template <class K, class T>
constexpr int ROWS_IN_FLIGHT = chooseRowsInFlight<K, T>();

// Of the 4 elements of a row, how many a thread has in registers at a time. Of 12 operands of float64 or more, 4 would spill, as they would
// if the loop over them were unrolled: the compiler loads ahead.
template <class K, class T>
constexpr int AT_A_TIME = OPERANDS<K> * sizeof(T) < 96 ? 4 : 2;

template <class K, class T>
__global__ void __launch_bounds__(THREADS, 1) sweepChunks(const __grid_constant__ Arguments a) {
  constexpr int BATCH = SUMS<K> < SUM_BATCH ? SUMS<K> : SUM_BATCH;
  constexpr unsigned READS = READ_MASK<K>, WRITES = WRITE_MASK<K>, STATES = STATE_MASK<K>, OWN_TYPE = OWN_TYPE_MASK<K, T>;
  constexpr int IN_FLIGHT = ROWS_IN_FLIGHT<K, T>, SOME = AT_A_TIME<K, T>;
  __shared__ T lanes[BATCH > 0 ? BATCH : 1][STRIPS][LANES];
  const int warp = threadIdx.x / 32;
  const int thread = threadIdx.x % 32;

  for (int64_t n = blockIdx.x; n < a.count; n += gridDim.x) {
    const int64_t place = a.backwards ? a.count - 1 - n : n;
    const int64_t c = a.list ? a.list[place] : place;
    const Chunk chunk = a.chunks[c];
    const Tensor& tensor = a.tensors[chunk.tensor];
    if (tensor.absent) {  // the same for the whole block
      for (int s = threadIdx.x; s < SUMS<K>; s += THREADS) a.chunkSums[c * SUMS<K> + s] = 0;
      continue;
    }
    Access4 access[OPERANDS<K>];
#pragma unroll
    for (int o = 0; o < OPERANDS<K>; ++o) {
      access[o] = accessOf(a, tensor, chunk, o);
      if (OWN_TYPE >> o & 1u) access[o].type = sizeof(T) == 8 ? FLOAT64 : FLOAT32;
      if (STATES >> o & 1u) access[o].aligned = true;  // slots are, and so are tensors and chunks in them
    }
    T coefficients[COEFFICIENTS<K> + 1];
    const int64_t coefficientRow = int64_t(tensor.segment) * COEFFICIENTS<K>;
#pragma unroll
    for (int i = 0; i < COEFFICIENTS<K>; ++i)
      coefficients[i] = static_cast<T>(a.coefficientRows ? a.coefficientRows[coefficientRow + i] : a.inlineRows[coefficientRow + i]);

    // Where the formula takes every period-th element: how far the chunk's first one is past such an element.
    [[maybe_unused]] uint32_t period = 1, past = 0;
    if constexpr (SELECTION_AT<K> >= 0) {
      period = periodOf(a.coefficientRows ? a.coefficientRows[coefficientRow + K::PERIOD] : a.inlineRows[coefficientRow + K::PERIOD]);
      past = static_cast<uint32_t>(chunk.begin % period);
    }

    T sum[SUMS<K> + 1][4];
#pragma unroll
    for (int s = 0; s < SUMS<K>; ++s)
#pragma unroll
      for (int j = 0; j < 4; ++j) sum[s][j] = T(0);

#pragma unroll 1
    for (int row = 0; row < STRIP_ROWS; row += IN_FLIGHT) {
#pragma unroll 1
      for (int part = 0; part < 4; part += SOME) {
        Elements<T, SOME> some[IN_FLIGHT][OPERANDS<K>];
#pragma unroll
        for (int u = 0; u < IN_FLIGHT; ++u) {
          const int i = warp * STRIP + (row + u) * LANES + 4 * thread + part;
#pragma unroll
          for (int o = 0; o < OPERANDS<K>; ++o)
            if (READS >> o & 1u) some[u][o].load(access[o], i, min(SOME, chunk.count - i));
        }
#pragma unroll
        for (int u = 0; u < IN_FLIGHT; ++u) {
          const int i = warp * STRIP + (row + u) * LANES + 4 * thread + part;
          const int live = min(SOME, chunk.count - i);
#pragma unroll
          for (int j = 0; j < SOME; ++j) {
            T r[OPERANDS<K>];
            T term[SUMS<K> + 1];
#pragma unroll
            for (int o = 0; o < OPERANDS<K>; ++o) r[o] = READS >> o & 1u ? some[u][o].get(access[o].type, j) : T(0);
            if constexpr (SELECTION_AT<K> >= 0) r[SELECTION_AT<K>] = (past + static_cast<uint32_t>(i + j)) % period == 0 ? T(1) : T(0);
            K::template apply<T>(r, coefficients, term);
#pragma unroll
            for (int s = 0; s < SUMS<K>; ++s)
#pragma unroll
              for (int k = 0; k < 4; k += SOME)  // registers have no index
                if (k == part && j < live) sum[s][k + j] = sum[s][k + j] + term[s];
#pragma unroll
            for (int o = 0; o < OPERANDS<K>; ++o)
              if (WRITES >> o & 1u) some[u][o].put(access[o].type, j, r[o]);
          }
#pragma unroll
          for (int o = 0; o < OPERANDS<K>; ++o)
            if (WRITES >> o & 1u) some[u][o].store(access[o], i, live);
        }
      }
    }

#pragma unroll
    for (int first = 0; first < SUMS<K>; first += SUM_BATCH) {
#pragma unroll
      for (int b = 0; b < BATCH; ++b)
        if (first + b < SUMS<K>)
#pragma unroll
          for (int j = 0; j < 4; ++j) lanes[b][warp][4 * thread + j] = sum[first + b][j];
      __syncthreads();
      if (warp < BATCH && first + warp < SUMS<K>) {
        T total[4] = {T(0), T(0), T(0), T(0)};
        for (int strip = 0; strip < STRIPS; ++strip)
#pragma unroll
          for (int k = 0; k < 4; ++k) total[k] = total[k] + lanes[warp][strip][thread + 32 * k];
        const double quarter = static_cast<double>(total[0]) + static_cast<double>(total[2]);
        const double other = static_cast<double>(total[1]) + static_cast<double>(total[3]);
        const double chunkSum = addAcrossWarp(quarter + other);
        if (thread == 0) a.chunkSums[c * SUMS<K> + first + warp] = chunkSum;
      }
      __syncthreads();
    }
  }

  if (SUMS<K> != 0 && a.finish) {
    __shared__ bool last;
    __shared__ double columns[COLUMNS];
    if (isLastBlock(a.ticket, last)) {
      for (int64_t row = 0; row < a.segmentCount; ++row) addSegment(a, row, SUMS<K>, columns);
      tellHost(a);
    }
  }
}

}  // namespace steptuner
