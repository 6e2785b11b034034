// SPDX-License-Identifier: Apache-2.0
//
// The CUDA harness: any kernel of the table over all chunks of a plan. No formulas here, and no choice that could change a bit.
//
// A block of 8 warps takes a chunk at a time. A warp takes a strip of it, a thread 4 consecutive elements of each of the strip's rows: a
// 16-byte access in float32. Of a short chunk, or where there are fewer chunks than the GPU has room for, a warp takes one row. Rows that
// are whole and aligned, in the usual types, are straight code for their types; for what is left, a thread takes every 32nd element.
//
// Sums follow core/summation.h: a thread holds 4 lanes of its rows; lanes meet in shared memory, where one warp adds a sum; chunk sums go
// to memory, and the block that finishes last adds them (or a launch of its own, where there are many segments). Shared memory is there
// twice, so that the other warps go on with the next chunk meanwhile.
#pragma once
#include "../cpp/core/kernel.h"
#include "access.cuh"
#include "sums.cuh"

namespace steptuner {

template <class K>
constexpr unsigned GRADIENT_MASK = operandsAt<K>(GRADIENT);
template <class K>
constexpr unsigned PARAMETER_MASK = operandsAt<K>(PARAMETER);
template <class K>
constexpr unsigned UPDATE_MASK = operandsAt<K>(UPDATE);

template <class K, class T>
constexpr int bytesRead() {
  int bytes = 0;
  for (int o = 0; o < OPERANDS<K>; ++o) bytes += (READ_MASK<K> >> o & 1u) ? int(sizeof(T)) : 0;
  return bytes;
}

// Rows whose loads are issued together, so that enough of them are under way. More registers than that would be fewer blocks.
template <class K, class T>
constexpr int chooseRowsInFlight() {
  constexpr int bytes = bytesRead<K, T>();
  constexpr bool ONLY_READS = WRITE_MASK<K> == 0;
  return bytes <= (ONLY_READS ? 12 : 8) ? 4 : bytes <= (ONLY_READS ? 20 : 12) ? 2 : 1;
}
template <class K, class T>
constexpr int ROWS_IN_FLIGHT = chooseRowsInFlight<K, T>();

// Blocks that a multiprocessor must have room for. Sweeps that only sum over two words nearly fit by themselves; others would spill.
template <class K, class T>
constexpr int BLOCKS = sizeof(T) == 4 && WRITE_MASK<K> == 0 && COEFFICIENTS<K> == 0 && bytesRead<K, T>() <= 8 && SUMS<K> <= 3 ? 4 : 1;

// Of 12 operands in float64 or more, four elements at a time do not fit into the registers.
template <class K, class T>
constexpr bool FOUR_FIT = OPERANDS<K> * sizeof(T) < 96;

// What a warp works on: rows of a chunk.
template <class K, class T>
struct Rows {
  // Element 0 of the tensor in parameters, gradients and updates; of the chunk in the slots, which are laid out alike: the same offset leads
  // to it.
  char* parameter;
  char* gradient;
  char* update;
  char* const* slot;
  int64_t offset;
  int64_t begin;  // of the chunk in the tensor
  const T* coefficients;
  int first;  // row
  int count;  // of rows
  int live;   // elements of the chunk
  int32_t parameterType;
  int32_t gradientType;
  uint32_t period;  // where the formula takes every period-th element: how far element 0 is past such an element
  uint32_t past;
};

template <class K, class T>
__device__ __forceinline__ void applyTo(const Rows<K, T>& rows, T* r, int i, T* term) {
  if constexpr (SELECTION_AT<K> >= 0) r[SELECTION_AT<K>] = (rows.past + static_cast<uint32_t>(i)) % rows.period == 0 ? T(1) : T(0);
  K::template apply<T>(r, rows.coefficients, term);
}

// Stops the compiler from keeping what it could make of a value in more registers, instead of making it again.
__device__ __forceinline__ void forget([[maybe_unused]] int64_t& value) {
#if defined(__CUDA_ARCH__)
  asm volatile("" : "+l"(value));
#endif
}

// Whole aligned rows, parameters of type P and gradients of type G. sum[s][j] is that of lane 4 thread + j.
template <class K, class T, class P, class G, int IN_FLIGHT>
__device__ __forceinline__ void wholeRowsAtATime(const Rows<K, T>& rows, int thread, T (*sum)[4]) {
  constexpr unsigned GRADIENTS = GRADIENT_MASK<K>, PARAMETERS = PARAMETER_MASK<K>, UPDATES = UPDATE_MASK<K>, READS = READ_MASK<K>,
                     WRITES = WRITE_MASK<K>;
  const int first = rows.first * LANES + 4 * thread;
  char* parameter = rows.parameter + (rows.begin + first) * int(sizeof(P));
  const char* gradient = rows.gradient + (rows.begin + first) * int(sizeof(G));
  const char* update = rows.update + (rows.begin + first) * int(sizeof(T));
  assumeGlobal(parameter);
  int64_t offset = rows.offset + first * int(sizeof(T));
#pragma unroll 1
  for (int row = 0; row < rows.count; row += IN_FLIGHT) {
    if (STATE_MASK<K> != 0) forget(offset);
    Four<T> own[IN_FLIGHT][OPERANDS<K>];
    Four<P> p[IN_FLIGHT];
    Four<G> g[IN_FLIGHT];
#pragma unroll
    for (int u = 0; u < IN_FLIGHT; ++u)
#pragma unroll
      for (int o = 0; o < OPERANDS<K>; ++o)
        if (READS >> o & 1u) {
          if (GRADIENTS >> o & 1u)
            g[u].load(gradient + u * LANES * int(sizeof(G)));
          else if (PARAMETERS >> o & 1u)
            p[u].load(parameter + u * LANES * int(sizeof(P)));
          else
            own[u][o].load((UPDATES >> o & 1u ? update : rows.slot[o] + offset) + u * LANES * int(sizeof(T)));
        }
#pragma unroll
    for (int u = 0; u < IN_FLIGHT; ++u) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        T r[OPERANDS<K>];
        T term[SUMS<K> + 1];
#pragma unroll
        for (int o = 0; o < OPERANDS<K>; ++o)
          r[o] = !(READS >> o & 1u)     ? T(0)
                 : GRADIENTS >> o & 1u  ? static_cast<T>(g[u].get(j))
                 : PARAMETERS >> o & 1u ? static_cast<T>(p[u].get(j))
                                        : own[u][o].get(j);
        applyTo(rows, r, first + (row + u) * LANES + j, term);
#pragma unroll
        for (int s = 0; s < SUMS<K>; ++s) sum[s][j] = sum[s][j] + term[s];
#pragma unroll
        for (int o = 0; o < OPERANDS<K>; ++o)
          if (WRITES >> o & 1u) {
            if (PARAMETERS >> o & 1u)
              p[u].put(j, r[o]);
            else
              own[u][o].put(j, r[o]);
          }
      }
#pragma unroll
      for (int o = 0; o < OPERANDS<K>; ++o)
        if (WRITES >> o & 1u) {
          if (PARAMETERS >> o & 1u)
            p[u].store(parameter + u * LANES * int(sizeof(P)));
          else
            own[u][o].store(rows.slot[o] + offset + u * LANES * int(sizeof(T)));
        }
    }
    parameter += IN_FLIGHT * LANES * int(sizeof(P));
    gradient += IN_FLIGHT * LANES * int(sizeof(G));
    update += IN_FLIGHT * LANES * int(sizeof(T));
    offset += IN_FLIGHT * LANES * int(sizeof(T));
  }
}

template <class K, class T, class P, class G>
__device__ __forceinline__ void wholeRows(const Rows<K, T>& rows, int thread, T (*sum)[4]) {
  constexpr int IN_FLIGHT = ROWS_IN_FLIGHT<K, T>;
  if (IN_FLIGHT == 1 || rows.count == STRIP_ROWS)
    wholeRowsAtATime<K, T, P, G, IN_FLIGHT>(rows, thread, sum);
  else
    wholeRowsAtATime<K, T, P, G, 1>(rows, thread, sum);
}

// Of the 4 elements that a thread has of a row, those that it loads together, where they are 32 apart.
template <class K, class T>
constexpr int STRIDED_AT_A_TIME = OPERANDS<K> * sizeof(T) <= 24 ? 4 : 2;

// Elements i, i + 32, ... of an array, as far as they are before `end`.
template <class T, int COUNT>
__device__ __forceinline__ void loadStrided(T* to, int step, const char* from, int32_t type, int i, int end) {
  switch (type) {
#define STEPTUNER_LOAD_ALL(TYPE) \
  _Pragma("unroll") for (int k = 0; k < COUNT; ++k) to[k * step] = i + 32 * k < end ? load<T>(from, TYPE, i + 32 * k) : T(0)
    case FLOAT64: STEPTUNER_LOAD_ALL(FLOAT64); break;
    case FLOAT32: STEPTUNER_LOAD_ALL(FLOAT32); break;
    case BFLOAT16: STEPTUNER_LOAD_ALL(BFLOAT16); break;
    default: STEPTUNER_LOAD_ALL(FLOAT16); break;
#undef STEPTUNER_LOAD_ALL
  }
}

// Rows in any type, at any alignment, up to the chunk's end. sum[s][k] is that of lane thread + 32 k.
template <class K, class T>
__device__ __forceinline__ void anyRows(const Rows<K, T>& rows, int thread, T (*sum)[4]) {
  constexpr unsigned GRADIENTS = GRADIENT_MASK<K>, PARAMETERS = PARAMETER_MASK<K>, UPDATES = UPDATE_MASK<K>, READS = READ_MASK<K>,
                     WRITES = WRITE_MASK<K>;
  constexpr int32_t OWN = sizeof(T) == 8 ? FLOAT64 : FLOAT32;
  constexpr int SOME = STRIDED_AT_A_TIME<K, T>;
  const int end = min(rows.live, (rows.first + rows.count) * LANES);
  char* const parameter = rows.parameter + rows.begin * bytesOf(rows.parameterType);
  const char* const gradient = rows.gradient + rows.begin * bytesOf(rows.gradientType);
  const char* const update = rows.update + rows.begin * int(sizeof(T));
  assumeGlobal(parameter);
  assumeGlobal(gradient);
  assumeGlobal(update);
#pragma unroll 1
  for (int begin = rows.first * LANES + thread; begin < end; begin += LANES) {
#pragma unroll 1
    for (int quarter = 0; quarter < 4; quarter += SOME) {
      const int first = begin + 32 * quarter;
      T all[SOME][OPERANDS<K>];
#pragma unroll
      for (int o = 0; o < OPERANDS<K>; ++o) {
        T* const to = &all[0][o];
        if (!(READS >> o & 1u)) {
#pragma unroll
          for (int k = 0; k < SOME; ++k) all[k][o] = T(0);
        } else if (GRADIENTS >> o & 1u) {
          loadStrided<T, SOME>(to, OPERANDS<K>, gradient, rows.gradientType, first, end);
        } else if (PARAMETERS >> o & 1u) {
          loadStrided<T, SOME>(to, OPERANDS<K>, parameter, rows.parameterType, first, end);
        } else {
          loadStrided<T, SOME>(to, OPERANDS<K>, UPDATES >> o & 1u ? update : rows.slot[o] + rows.offset, OWN, first, end);
        }
      }
#pragma unroll
      for (int k = 0; k < SOME; ++k) {
        const int i = first + 32 * k;
        if (i >= end) continue;
        T* const r = all[k];
        T term[SUMS<K> + 1];
        applyTo(rows, r, i, term);
#pragma unroll
        for (int s = 0; s < SUMS<K>; ++s)
#pragma unroll
          for (int q = k; q < 4; q += SOME)  // registers have no index
            if (q == quarter + k) sum[s][q] = sum[s][q] + term[s];
#pragma unroll
        for (int o = 0; o < OPERANDS<K>; ++o)
          if (WRITES >> o & 1u) {
            if (PARAMETERS >> o & 1u)
              store<T>(parameter, rows.parameterType, i, r[o]);
            else
              store<T>(rows.slot[o] + rows.offset, OWN, i, r[o]);
          }
      }
    }
  }
}

// Whether four elements of a type, of which a tensor begins here, are one access wherever they begin at a multiple of four.
template <class E>
__device__ __forceinline__ bool isAligned(const char* tensor) {
  constexpr uintptr_t UNIT = sizeof(E) == 2 ? 8 : 16;
  return (reinterpret_cast<uintptr_t>(tensor) & (UNIT - 1)) == 0;
}

template <class K, class T, class P, class G>
__device__ __forceinline__ bool areAligned(const Rows<K, T>& rows) {
  return (PARAMETER_MASK<K> == 0 || isAligned<P>(rows.parameter)) && (GRADIENT_MASK<K> == 0 || isAligned<G>(rows.gradient)) &&
         (UPDATE_MASK<K> == 0 || isAligned<T>(rows.update));
}

// Rows of a strip in the way that is right for them; whether lanes are those of anyRows. Slots are aligned, and so are tensors in them.
template <class K, class T>
__device__ __forceinline__ bool someRows(const Rows<K, T>& rows, int thread, T (*sum)[4]) {
  constexpr int32_t OWN = sizeof(T) == 8 ? FLOAT64 : FLOAT32;
  constexpr bool HAS_PARAMETER = PARAMETER_MASK<K> != 0, HAS_GRADIENT = GRADIENT_MASK<K> != 0;
  if (FOUR_FIT<K, T> && rows.live >= (rows.first + rows.count) * LANES) {
    const bool ownParameter = !HAS_PARAMETER || rows.parameterType == OWN, ownGradient = !HAS_GRADIENT || rows.gradientType == OWN;
    if constexpr (FOUR_FIT<K, T>)
      if (ownParameter && ownGradient && areAligned<K, T, T, T>(rows)) {
        wholeRows<K, T, T, T>(rows, thread, sum);
        return false;
      }
    if constexpr (sizeof(T) == 4) {
      const bool narrowGradient = !HAS_GRADIENT || rows.gradientType == BFLOAT16;
      if constexpr (HAS_PARAMETER)
        if (rows.parameterType == BFLOAT16 && narrowGradient && areAligned<K, T, Bfloat16, Bfloat16>(rows)) {
          wholeRows<K, T, Bfloat16, Bfloat16>(rows, thread, sum);
          return false;
        }
      if constexpr (HAS_GRADIENT)
        if (ownParameter && narrowGradient && areAligned<K, T, T, Bfloat16>(rows)) {
          wholeRows<K, T, T, Bfloat16>(rows, thread, sum);
          return false;
        }
    }
  }
  anyRows<K, T>(rows, thread, sum);
  return true;
}

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

template <class K, class T>
__global__ void __launch_bounds__(THREADS, BLOCKS<K, T>) sweepChunks(const __grid_constant__ Arguments a) {
  // Sums whose lanes are in shared memory at a time: twice as many fit into what every GPU gives to a block.
  constexpr int ROOM = 40960 / 2 / (STRIPS * LANES * int(sizeof(T)));
  constexpr int BATCH = SUMS<K> < ROOM ? SUMS<K> : ROOM;
  union Shared {
    T lanes[2][BATCH > 0 ? BATCH : 1][STRIPS][LANES];
    double columns[SUMS<K> + 1][COLUMNS];
  };
  __shared__ Shared shared;
  if (a.go && *a.go == 0) return;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int thread = static_cast<int>(threadIdx.x) % 32;
  // What the next chunk is, and where, is fetched while this one is worked on.
  Task next = {};
  Tensor nextTensor = {};
  const int32_t block = static_cast<int32_t>(blockIdx.x), blocks = static_cast<int32_t>(gridDim.x);
  if (block < a.count) {
    next = take<SUMS<K> == 0>(a, block);
    nextTensor = tensorOf(a, next);
  }
  int turn = 0;
#pragma unroll 1
  for (int32_t n = block; n < a.count; n += blocks) {
    const Task task = next;
    const Chunk chunk = task.chunk;
    const Tensor tensor = nextTensor;
    const bool more = n < a.count - blocks;
    if (more) next = take<SUMS<K> == 0>(a, n + blocks);
    if (tensor.absent) {  // the same for the whole block
      for (int s = static_cast<int>(threadIdx.x); s < SUMS<K>; s += THREADS) a.chunkSums[int64_t(task.number) * SUMS<K> + s] = 0;
      if (more) nextTensor = tensorOf(a, next);
      continue;
    }

    T sum[SUMS<K> + 1][4];
#pragma unroll
    for (int s = 0; s < SUMS<K>; ++s)
#pragma unroll
      for (int j = 0; j < 4; ++j) sum[s][j] = T(0);
    bool strided = false;

    Rows<K, T> rows;
    rows.count = (SUMS<K> == 0 && a.inParts) || chunk.count <= STRIPS * LANES ? 1 : STRIP_ROWS;
    rows.first = (task.part * STRIPS + warp) * rows.count;
    rows.live = chunk.count;
    if (rows.first * LANES < chunk.count) {
      T coefficients[COEFFICIENTS<K> + 1];
      const int64_t row = int64_t(tensor.segment) * COEFFICIENTS<K>;
      if (a.coefficientRows) {
#pragma unroll
        for (int i = 0; i < COEFFICIENTS<K>; ++i) coefficients[i] = static_cast<T>(__ldcg(a.coefficientRows + row + i));
      } else {
#pragma unroll
        for (int i = 0; i < COEFFICIENTS<K>; ++i) coefficients[i] = reinterpret_cast<const T*>(a.inlineRows)[row + i];
      }
      rows.coefficients = coefficients;
      if constexpr (SELECTION_AT<K> >= 0) {
        rows.period = periodOf(a.coefficientRows ? a.coefficientRows[row + K::PERIOD] : static_cast<double>(coefficients[K::PERIOD]));
        rows.past = static_cast<uint32_t>(chunk.begin % rows.period);
      }
      rows.parameterType = tensor.parameterType;
      rows.gradientType = tensor.gradientType;
      rows.parameter = tensor.parameter;
      rows.gradient = tensor.gradient;
      rows.update = tensor.update;
      rows.slot = a.slot;
      rows.offset = tensor.stateOffset + chunk.begin * int64_t(sizeof(T));
      rows.begin = chunk.begin;
      strided = someRows<K, T>(rows, thread, sum);
    }
    if (more) nextTensor = tensorOf(a, next);

    if constexpr (SUMS < K >> 0) {
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
          T total[4] = {T(0), T(0), T(0), T(0)};
          if (rows.count == STRIP_ROWS) {
#pragma unroll
            for (int line = 0; line < STRIPS; ++line)
              if (line < lines)
#pragma unroll
                for (int k = 0; k < 4; ++k) total[k] = total[k] + shared.lanes[buffer][which][line][thread + 32 * k];
          } else {
            // Lines are rows: first those of a strip are added.
            for (int line = 0; line < lines; line += STRIP_ROWS)
#pragma unroll
              for (int k = 0; k < 4; ++k) {
                T strip = shared.lanes[buffer][which][line][thread + 32 * k];
                for (int row = line + 1; row < min(line + STRIP_ROWS, lines); ++row)
                  strip = strip + shared.lanes[buffer][which][row][thread + 32 * k];
                total[k] = total[k] + strip;
              }
          }
          const double even = static_cast<double>(total[0]) + static_cast<double>(total[2]);
          const double odd = static_cast<double>(total[1]) + static_cast<double>(total[3]);
          const double chunkSum = addAcrossWarp(even + odd);
          if (thread == 0) a.chunkSums[int64_t(task.number) * SUMS<K> + begin + which] = chunkSum;
        }
        ++turn;
      }
    }
  }

  if constexpr (SUMS < K >> 0) {
    if (a.finish) {
      __shared__ bool last;
      if (isLastBlock(a.ticket, last)) {
        for (int row = 0; row < a.segmentCount; ++row) addSegment(a, row, SUMS<K>, shared.columns[0]);
        tellHost(a);
      }
    }
  }
}

}  // namespace steptuner
