// SPDX-License-Identifier: Apache-2.0
//
// The CUDA harness: any kernel of the table over all chunks of a plan. No formulas here, and no choice that could change a bit.
//
// A block of 8 warps takes a chunk at a time; a warp takes a strip of it, a thread 4 consecutive elements of each of its 4 rows: a
// 16-byte access in float32. Sums follow sweep/summation.h: a thread
// holds 4 lanes of its strip; lanes meet in shared memory, where one warp adds a sum; chunk sums go to memory, and the block that
// finishes last adds them (or a launch of its own, where there are many segments).
//
// The types of parameters and gradients are looked up at run time, once per operand and chunk, the same way for all threads of a block: memory
// is the bottleneck, and the table would otherwise be compiled for 16 combinations. State has one type and is aligned, which the compiler knows.
#pragma once
#include "../cpp/sweep/kernels.h"
#include "../cpp/sweep/plan.h"
#include "../cpp/sweep/summation.h"
#include "../cpp/sweep/types.h"
#include <cuda_runtime.h>

namespace steptuner {

constexpr int THREADS = 32 * STRIPS;
constexpr int STRIP_ROWS = STRIP / LANES;
// Coefficients up to this many doubles travel with the launch; more of them are copied to the device first.
constexpr int INLINE_COEFFICIENTS = 256;
// Up to this many segments are added by the last block.
constexpr int LAST_BLOCK_SEGMENTS = 16;
// Sums whose lanes are in shared memory at a time.
constexpr int SUM_BATCH = 4;

struct Arguments {
  const Tensor* tensors;
  const Chunk* chunks;
  const int32_t* list;  // the chunks of this launch, or null for all
  int64_t count;        // chunks of this launch
  const Segment* segments;
  int32_t segmentCount;
  int32_t operands;
  int32_t place[MAX_OPERANDS];
  char* slot[MAX_OPERANDS];
  const double* coefficientRows;  // null where they are inline
  double* chunkSums;
  double* sumRows;   // host memory
  unsigned* ticket;  // blocks that are done; 0 between launches
  bool backwards;
  bool finish;  // the last block adds the chunk sums
  double inlineRows[INLINE_COEFFICIENTS];
};

// How a chunk's operand is accessed.
struct Access4 {
  char* memory;
  int32_t type;
  bool aligned;  // every group of 4 elements starts at a multiple of its own size, or of 16 bytes
};

// 4 consecutive elements of an operand, as T gets them.
template <class T>
struct Four;

// In registers as they are in memory, so that a load need not wait for its conversion; float64 is converted on the way.
template <>
struct Four<float> {
  uint32_t word[4];

  __device__ __forceinline__ void load(const Access4& from, int i, int live) {
    const int bytes = bytesOf(from.type);
    const char* const at = from.memory + i * bytes;
    if (live == 4 && from.aligned && bytes == 4) {
      const uint4 four = *reinterpret_cast<const uint4*>(at);
      word[0] = four.x;
      word[1] = four.y;
      word[2] = four.z;
      word[3] = four.w;
    } else if (live == 4 && from.aligned && bytes == 2) {
      const uint2 two = *reinterpret_cast<const uint2*>(at);
      word[0] = two.x;
      word[1] = two.y;
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (bytes == 2)
          setHalf(j, j < live ? reinterpret_cast<const uint16_t*>(at)[j] : uint16_t(0));
        else
          word[j] = bitCast<uint32_t>(j >= live             ? 0.0f
                                      : from.type == FLOAT32 ? reinterpret_cast<const float*>(at)[j]
                                                             : static_cast<float>(reinterpret_cast<const double*>(at)[j]));
      }
    }
  }

  __device__ __forceinline__ float get(int32_t type, int j) const {
    const uint16_t half = static_cast<uint16_t>(word[j / 2] >> (j % 2 * 16));
    return type == BFLOAT16 ? fromBfloat16(half) : type == FLOAT16 ? fromFloat16(half) : bitCast<float>(word[j]);
  }

  // In the order j = 0 .. 3: a half is only overwritten when its element has been taken.
  __device__ __forceinline__ void put(int32_t type, int j, float value) {
    if (bytesOf(type) == 2)
      setHalf(j, type == BFLOAT16 ? toBfloat16(value) : toFloat16(value));
    else
      word[j] = bitCast<uint32_t>(value);
  }

  __device__ __forceinline__ void store(const Access4& to, int i, int live) const {
    const int bytes = bytesOf(to.type);
    char* const at = to.memory + i * bytes;
    if (live == 4 && to.aligned && bytes == 4) {
      *reinterpret_cast<uint4*>(at) = make_uint4(word[0], word[1], word[2], word[3]);
    } else if (live == 4 && to.aligned) {
      *reinterpret_cast<uint2*>(at) = make_uint2(word[0], word[1]);
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        if (j >= live) continue;
        if (bytes == 2)
          reinterpret_cast<uint16_t*>(at)[j] = static_cast<uint16_t>(word[j / 2] >> (j % 2 * 16));
        else
          reinterpret_cast<uint32_t*>(at)[j] = word[j];
      }
    }
  }

 private:
  __device__ __forceinline__ void setHalf(int j, uint16_t half) {
    word[j / 2] = j % 2 == 0 ? (word[j / 2] & 0xffff0000u) | half : (word[j / 2] & 0x0000ffffu) | uint32_t(half) << 16;
  }
};

template <>
struct Four<double> {
  double value[4];

  __device__ __forceinline__ void load(const Access4& from, int i, int live) {
    if (live == 4 && from.aligned && from.type == FLOAT64) {
      const double2* const at = reinterpret_cast<const double2*>(from.memory + i * 8);
      const double2 low = at[0], high = at[1];
      value[0] = low.x;
      value[1] = low.y;
      value[2] = high.x;
      value[3] = high.y;
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) value[j] = j < live ? steptuner::load<double>(from.memory, from.type, i + j) : 0.0;
    }
  }

  __device__ __forceinline__ double get(int32_t, int j) const { return value[j]; }

  __device__ __forceinline__ void put(int32_t, int j, double to) { value[j] = to; }

  // What a float64 computation writes is float64.
  __device__ __forceinline__ void store(const Access4& to, int i, int live) const {
    double* const at = reinterpret_cast<double*>(to.memory) + i;
    if (live == 4 && to.aligned) {
      reinterpret_cast<double2*>(at)[0] = make_double2(value[0], value[1]);
      reinterpret_cast<double2*>(at)[1] = make_double2(value[2], value[3]);
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j)
        if (j < live) at[j] = value[j];
    }
  }
};

// Rows whose loads are issued together. Many operands keep enough loads in flight with one row, on a multiprocessor full of warps.
template <class K, class T>
constexpr int chooseRowsInFlight() {
  int words = 0;
  for (int o = 0; o < K::OPERANDS; ++o) words += (READ_MASK<K> >> o & 1u) ? int(sizeof(T)) : 0;
  return words <= 8 ? 4 : words <= 16 ? 2 : 1;
}
template <class K, class T>
constexpr int ROWS_IN_FLIGHT = chooseRowsInFlight<K, T>();

__device__ __forceinline__ Access4 accessOf(const Arguments& a, const Tensor& tensor, const Chunk& chunk, int o) {
  char* base;
  int32_t type;
  switch (a.place[o]) {
    case GRADIENT: base = tensor.gradient; type = tensor.gradientType; break;
    case PARAMETER: base = tensor.parameter; type = tensor.parameterType; break;
    case UPDATE: base = tensor.update; type = tensor.stateType; break;
    case SELECTION: return {nullptr, tensor.stateType, false};
    default: base = a.slot[o] + tensor.stateOffset; type = tensor.stateType; break;
  }
  const int bytes = bytesOf(type);
  char* const memory = base + chunk.begin * bytes;
  // 32 bytes of float64 are two accesses of 16.
  const int unit = bytes == 8 ? 16 : 4 * bytes;
  return {memory, type, (reinterpret_cast<uintptr_t>(memory) & uintptr_t(unit - 1)) == 0};
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

// The sums of all segments, a block for each: where there are many.
static __global__ void __launch_bounds__(COLUMNS) addSegments(const __grid_constant__ Arguments a, int sums) {
  __shared__ double columns[COLUMNS];
  for (int64_t row = blockIdx.x; row < a.segmentCount; row += gridDim.x) addSegment(a, row, sums, columns);
}

template <class K, class T>
__global__ void __launch_bounds__(THREADS, 1) sweepChunks(const __grid_constant__ Arguments a) {
  constexpr int SUMS = K::SUMS;
  constexpr int BATCH = SUMS < SUM_BATCH ? SUMS : SUM_BATCH;
  constexpr int IN_FLIGHT = ROWS_IN_FLIGHT<K, T>;
  __shared__ T lanes[BATCH > 0 ? BATCH : 1][STRIPS][LANES];
  const int warp = threadIdx.x / 32;
  const int thread = threadIdx.x % 32;

  for (int64_t n = blockIdx.x; n < a.count; n += gridDim.x) {
    const int64_t place = a.backwards ? a.count - 1 - n : n;
    const int64_t c = a.list ? a.list[place] : place;
    const Chunk chunk = a.chunks[c];
    const Tensor& tensor = a.tensors[chunk.tensor];
    Access4 access[K::OPERANDS];
#pragma unroll
    for (int o = 0; o < K::OPERANDS; ++o) {
      access[o] = accessOf(a, tensor, chunk, o);
      if (OWN_TYPE_MASK<K, T> >> o & 1u) access[o].type = sizeof(T) == 8 ? FLOAT64 : FLOAT32;
      if (STATE_MASK<K> >> o & 1u) access[o].aligned = true;  // slots are, and so are tensors and chunks in them
    }
    T coefficients[K::COEFFICIENTS + 1];
    const int64_t coefficientRow = int64_t(tensor.segment) * K::COEFFICIENTS;
#pragma unroll
    for (int i = 0; i < K::COEFFICIENTS; ++i)
      coefficients[i] = static_cast<T>(a.coefficientRows ? a.coefficientRows[coefficientRow + i] : a.inlineRows[coefficientRow + i]);

    // Where the formula takes every period-th element: how far the chunk's first one is past such an element.
    [[maybe_unused]] uint32_t period = 1, past = 0;
    if constexpr (SELECTION_AT<K> >= 0) {
      period = periodOf(a.coefficientRows ? a.coefficientRows[coefficientRow + K::PERIOD] : a.inlineRows[coefficientRow + K::PERIOD]);
      past = static_cast<uint32_t>(chunk.begin % period);
    }

    T sum[SUMS + 1][4];
#pragma unroll
    for (int s = 0; s < SUMS; ++s)
#pragma unroll
      for (int j = 0; j < 4; ++j) sum[s][j] = T(0);

#pragma unroll 1
    for (int row = 0; row < STRIP_ROWS; row += IN_FLIGHT) {
      Four<T> four[IN_FLIGHT][K::OPERANDS];
#pragma unroll
      for (int u = 0; u < IN_FLIGHT; ++u) {
        const int i = warp * STRIP + (row + u) * LANES + 4 * thread;
#pragma unroll
        for (int o = 0; o < K::OPERANDS; ++o)
          if (READ_MASK<K> >> o & 1u) four[u][o].load(access[o], i, min(4, chunk.count - i));
      }
#pragma unroll
      for (int u = 0; u < IN_FLIGHT; ++u) {
        const int i = warp * STRIP + (row + u) * LANES + 4 * thread;
        const int live = min(4, chunk.count - i);
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          T r[K::OPERANDS];
          T term[SUMS + 1];
#pragma unroll
          for (int o = 0; o < K::OPERANDS; ++o) r[o] = READ_MASK<K> >> o & 1u ? four[u][o].get(access[o].type, j) : T(0);
          if constexpr (SELECTION_AT<K> >= 0)
            r[SELECTION_AT<K>] = (past + static_cast<uint32_t>(i + j)) % period == 0 ? T(1) : T(0);
          K::template apply<T>(r, coefficients, term);
#pragma unroll
          for (int s = 0; s < SUMS; ++s)
            if (j < live) sum[s][j] = sum[s][j] + term[s];
#pragma unroll
          for (int o = 0; o < K::OPERANDS; ++o)
            if (WRITE_MASK<K> >> o & 1u) four[u][o].put(access[o].type, j, r[o]);
        }
#pragma unroll
        for (int o = 0; o < K::OPERANDS; ++o)
          if (WRITE_MASK<K> >> o & 1u) four[u][o].store(access[o], i, live);
      }
    }

#pragma unroll
    for (int first = 0; first < SUMS; first += SUM_BATCH) {
#pragma unroll
      for (int b = 0; b < BATCH; ++b)
        if (first + b < SUMS)
#pragma unroll
          for (int j = 0; j < 4; ++j) lanes[b][warp][4 * thread + j] = sum[first + b][j];
      __syncthreads();
      if (warp < BATCH && first + warp < SUMS) {
        T total[4] = {T(0), T(0), T(0), T(0)};
        for (int strip = 0; strip < STRIPS; ++strip)
#pragma unroll
          for (int k = 0; k < 4; ++k) total[k] = total[k] + lanes[warp][strip][thread + 32 * k];
        const double quarter = static_cast<double>(total[0]) + static_cast<double>(total[2]);
        const double other = static_cast<double>(total[1]) + static_cast<double>(total[3]);
        const double chunkSum = addAcrossWarp(quarter + other);
        if (thread == 0) a.chunkSums[c * SUMS + first + warp] = chunkSum;
      }
      __syncthreads();
    }
  }

  if (SUMS > 0 && a.finish) {
    __shared__ bool last;
    __shared__ double columns[COLUMNS];
    // The barrier hands the chunk sums of this block to its first thread, whose fence hands them on with the ticket; the last one to
    // draw takes those of all blocks by the second fence, and hands them to its block.
    __syncthreads();
    if (threadIdx.x == 0) {
      __threadfence();
      last = atomicInc(a.ticket, gridDim.x - 1) == gridDim.x - 1;  // which makes it 0 again
      __threadfence();
    }
    __syncthreads();
    if (last) {
      for (int64_t row = 0; row < a.segmentCount; ++row) addSegment(a, row, SUMS, columns);
    }
  }
}

}  // namespace steptuner
