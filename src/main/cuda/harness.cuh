// SPDX-License-Identifier: Apache-2.0
//
// The CUDA harness: any kernel of the table over all chunks of a plan. No formulas here, and no choice that could change a bit.
//
// A block of 8 warps takes a chunk at a time. A warp takes a strip of it, a thread 4 consecutive elements of each of the strip's rows: a
// 16-byte access in float32. Of a short chunk, or where there are fewer chunks than the GPU has room for, a warp takes one row. Rows that
// are whole and aligned, in the usual types, are straight code; for what is left, a thread takes every 32nd element. Every kernel is there
// in three forms, so that what some types take costs the others nothing: no register, and no code that is passed by.
//
// Sums follow core/summation.h: a thread holds 4 lanes of its rows; lanes meet in shared memory, where one warp adds a sum; chunk sums go
// to memory, and the block that finishes last adds them (or a launch of its own, where there are many segments). Shared memory is there
// twice, so that the other warps go on with the next chunk meanwhile.
#pragma once
#include "launches.h"
#include "mixed.cuh"
#include "rows.cuh"
#include "sums.cuh"
#include <type_traits>

namespace steptuner {

template <Form FORM>
using TypeOf = typename std::conditional<FORM == WIDE, double, float>::type;

// Blocks that a multiprocessor must have room for. Sweeps that only sum over two words nearly fit by themselves; others would spill.
template <class K, Form FORM>
constexpr int BLOCKS = WRITE_MASK<K> == 0 && COEFFICIENTS<K> == 0 && bytesRead<K, float>() <= 8 && SUMS<K> <= 3 && FORM == PLAIN ? 4 : 1;

struct Task {
  Chunk chunk;
  int32_t number;  // of the chunk
  int part;
};

template <bool CAN_BE_IN_PARTS>
__device__ __forceinline__ Task take(const Arguments& a, int32_t n) {
  int32_t place = a.backwards ? a.count - 1 - n : n;
  Task task = {};
  if (CAN_BE_IN_PARTS && a.inParts) {
    task.part = static_cast<int>(place % PARTS);
    place /= PARTS;
  }
  task.number = a.list ? a.list[place] : place;
  if (a.inlineTensors == 0) {
    task.chunk = a.chunks[task.number];
    return task;
  }
  int t = 0;
  while (t + 1 < a.inlineTensors && task.number >= a.firstChunk[t + 1]) ++t;
  task.chunk.tensor = t;
  task.chunk.begin = int64_t(task.number - a.firstChunk[t]) * CHUNK;
  task.chunk.count = static_cast<int32_t>(min(int64_t(CHUNK), a.tensor[t].count - task.chunk.begin));
  return task;
}

__device__ __forceinline__ Tensor tensorOf(const Arguments& a, const Task& task) {
  return a.inlineTensors == 0 ? a.tensors[task.chunk.tensor] : a.tensor[task.chunk.tensor];
}

// Adds the lanes of a chunk with a warp. Its lines are strips, or rows, of which those of a strip are added first.
template <class T>
__device__ __forceinline__ double addLines(const T (*lanes)[LANES], int lines, bool areStrips, int thread) {
  T total[4] = {T(0), T(0), T(0), T(0)};
  if (areStrips) {
#pragma unroll
    for (int line = 0; line < STRIPS; ++line)
      if (line < lines)
#pragma unroll
        for (int k = 0; k < 4; ++k) total[k] = total[k] + lanes[line][thread + 32 * k];
  } else {
    for (int first = 0; first < lines; first += STRIP_ROWS)
#pragma unroll
      for (int k = 0; k < 4; ++k) {
        T strip = lanes[first][thread + 32 * k];
        for (int line = first + 1; line < min(first + STRIP_ROWS, lines); ++line) strip = strip + lanes[line][thread + 32 * k];
        total[k] = total[k] + strip;
      }
  }
  const double even = static_cast<double>(total[0]) + static_cast<double>(total[2]);
  const double odd = static_cast<double>(total[1]) + static_cast<double>(total[3]);
  return addAcrossWarp(even + odd);
}

__device__ __forceinline__ bool isAbsent(const Tensor& tensor) { return tensor.absent != 0; }

// What is fetched of a tensor ahead of its turn.
template <class K>
__device__ __forceinline__ void fetch(const Arguments& a, const Task& task, int, Tensor& ahead) {
  ahead = tensorOf(a, task);
}
template <class K>
__device__ __forceinline__ void fetch(const Arguments& a, const Task& task, int thread, Found& ahead) {
  ahead = find<K>(a, a.inlineTensors == 0 ? a.tensors[task.chunk.tensor] : a.tensor[task.chunk.tensor], thread);
}

template <class K, Form FORM>
__global__ void __launch_bounds__(THREADS, BLOCKS<K, FORM>) sweepChunks(const __grid_constant__ Arguments a) {
  using T = TypeOf<FORM>;
  using Ahead = typename std::conditional<FORM == MIXED, Found, Tensor>::type;
  // Sums whose lanes are in shared memory at a time: twice as many fit into what every GPU gives to a block.
  constexpr int ROOM = 40960 / 2 / (STRIPS * LANES * int(sizeof(T)));
  constexpr int BATCH = SUMS<K> < ROOM ? SUMS<K> : ROOM;
  union Shared {
    T lanes[2][BATCH > 0 ? BATCH : 1][STRIPS][LANES];
    double columns[SUMS<K> + 1][COLUMNS];
  };
  __shared__ Shared shared;
  // Of coefficients that are in memory, the row of one segment: chunks that follow each other mostly have the same.
  __shared__ T held[COEFFICIENTS<K> + 1];
  [[maybe_unused]] __shared__ uint32_t heldPeriod;
  [[maybe_unused]] __shared__ uint64_t places[STRIPS][PLACES<K>];
  int32_t heldSegment = -1;
  if (a.go && *a.go == 0) return;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int thread = static_cast<int>(threadIdx.x) % 32;
  // What the next chunk is, and where, is fetched while this one is worked on.
  Task next = {};
  Ahead nextTensor = {};
  const int32_t block = static_cast<int32_t>(blockIdx.x), blocks = static_cast<int32_t>(gridDim.x);
  if (block < a.count) {
    next = take<SUMS<K> == 0>(a, block);
    fetch<K>(a, next, thread, nextTensor);
  }
  int turn = 0;
#pragma unroll 1
  for (int32_t n = block; n < a.count; n += blocks) {
    const Task task = next;
    const Chunk chunk = task.chunk;
    const Ahead tensor = nextTensor;
    const bool more = n < a.count - blocks;
    if (more) next = take<SUMS<K> == 0>(a, n + blocks);
    if (isAbsent(tensor)) {  // the same for the whole block
      for (int s = static_cast<int>(threadIdx.x); s < SUMS<K>; s += THREADS) a.chunkSums[int64_t(task.number) * SUMS<K> + s] = 0;
      if (more) fetch<K>(a, next, thread, nextTensor);
      continue;
    }

    if (COEFFICIENTS<K> != 0 && a.coefficientRows && tensor.segment != heldSegment) {  // the same for the whole block
      __syncthreads();
      const int i = static_cast<int>(threadIdx.x);
      const double* const from = a.coefficientRows + int64_t(tensor.segment) * COEFFICIENTS<K>;
      if (i < COEFFICIENTS<K>) held[i] = static_cast<T>(__ldcg(from + i));
      if constexpr (SELECTION_AT<K> >= 0)
        if (i == 0) heldPeriod = periodOf(__ldcg(from + K::PERIOD));
      __syncthreads();
      heldSegment = tensor.segment;
    }

    T sum[SUMS<K> + 1][4];
#pragma unroll
    for (int s = 0; s < SUMS<K>; ++s)
#pragma unroll
      for (int j = 0; j < 4; ++j) sum[s][j] = T(0);
    bool strided = false;

    typename std::conditional<FORM == MIXED, Mixed<K>, Rows<K, T>>::type rows;
    rows.count = (SUMS<K> == 0 && a.inParts) || chunk.count <= STRIPS * LANES ? 1 : STRIP_ROWS;
    rows.first = (task.part * STRIPS + warp) * rows.count;
    rows.live = chunk.count;
    if (rows.first * LANES < chunk.count) {
      T coefficients[COEFFICIENTS<K> + 1];
      if (a.coefficientRows) {
#pragma unroll
        for (int i = 0; i < COEFFICIENTS<K>; ++i) coefficients[i] = held[i];
      } else {
#pragma unroll
        for (int i = 0; i < COEFFICIENTS<K>; ++i)
          coefficients[i] = reinterpret_cast<const T*>(a.inlineRows)[tensor.segment * COEFFICIENTS<K> + i];
      }
      rows.coefficients = coefficients;
      if constexpr (SELECTION_AT<K> >= 0) {
        rows.period = a.coefficientRows ? heldPeriod : periodFrom(coefficients[K::PERIOD]);
        rows.past = static_cast<uint32_t>(chunk.begin % rows.period);
      }
      if constexpr (FORM == MIXED) {
        placeIn(rows, a, tensor, chunk.begin, places[warp], thread);
      } else {
        rows.gradientType = tensor.gradientType;
        rows.parameter = tensor.parameter;
        rows.gradient = tensor.gradient;
        rows.update = tensor.update;
        rows.slot = a.slot;
        rows.offset = tensor.stateOffset[COMPUTED] + chunk.begin * int64_t(sizeof(T));
        rows.begin = chunk.begin;
      }
      strided = someRows(rows, thread, sum);
    }
    if (more) fetch<K>(a, next, thread, nextTensor);

    if constexpr (SUMS<K> != 0) {
      const int lines = min((chunk.count + rows.count * LANES - 1) / (rows.count * LANES), STRIPS);
#pragma unroll
      for (int begin = 0; begin < SUMS<K>; begin += BATCH) {
        // Those who add read one half while the others write the other one, and go through the next barrier before that one is read.
        const int buffer = turn & 1;
#pragma unroll
        for (int b = 0; b < BATCH; ++b)
          if (begin + b < SUMS<K>) {
            if (strided) {
#pragma unroll
              for (int j = 0; j < 4; ++j) shared.lanes[buffer][b][warp][thread + 32 * j] = sum[begin + b][j];
            } else {
#pragma unroll
              for (int j = 0; j < 4; ++j) shared.lanes[buffer][b][warp][4 * thread + j] = sum[begin + b][j];
            }
          }
        __syncthreads();
        // Another warp adds in every turn.
        const int which = (warp - turn * BATCH) & (STRIPS - 1);
        if (which < BATCH && begin + which < SUMS<K>) {
          const double chunkSum = addLines<T>(shared.lanes[buffer][which], lines, rows.count == STRIP_ROWS, thread);
          if (thread == 0) a.chunkSums[int64_t(task.number) * SUMS<K> + begin + which] = chunkSum;
        }
        ++turn;
      }
    }
  }

  if constexpr (SUMS<K> != 0) {
    if (a.finish) {
      __shared__ bool last;
      if (isLastBlock(a.ticket, last)) {
        addSegments(a.segment, a.segmentCount, {a.chunkSums, a.sumRows, SUMS<K>}, shared.columns[0]);
        tellHost(a);
      }
    }
  }
}

}  // namespace steptuner
