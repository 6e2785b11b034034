// SPDX-License-Identifier: Apache-2.0
//
// What a warp of a CUDA sweep does where all operands have the type of the computation (mixed.cuh: where some have another one): rows of a
// chunk, in straight code where they are whole and aligned, and at any alignment. A thread adds its terms of the sums, in the order of
// core/summation.h.
#pragma once
#include "../cpp/core/kernel.h"
#include "../cpp/core/summation.h"
#include "access.cuh"
#include "arguments.cuh"

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

// Of 12 operands in float64 or more, four elements at a time do not fit into the registers.
template <class K, class T>
constexpr bool FOUR_FIT = OPERANDS<K> * sizeof(T) < 96;

// What a warp works on, and what a formula takes beside its operands.
template <class T>
struct Part {
  const T* coefficients;
  int first;        // row of the chunk
  int count;        // of rows
  int live;         // elements of the chunk
  uint32_t period;  // where the formula takes every period-th element
  uint32_t past;    // how far element 0 of the chunk is past such an element
};

template <class K, class T>
struct Rows : Part<T> {
  // Element 0 of the tensor in parameters, gradients and updates; of the chunk in the slots, which are laid out alike: the same offset leads
  // to it.
  char* parameter;
  char* gradient;
  char* update;
  char* const* slot;
  int64_t offset;
  int64_t begin;  // of the chunk in the tensor
  int32_t gradientType;
};

template <class K, class T>
__device__ __forceinline__ void applyTo(const Part<T>& part, T* r, int i, T* term) {
  if constexpr (SELECTION_AT<K> >= 0) r[SELECTION_AT<K>] = (part.past + static_cast<uint32_t>(i)) % part.period == 0 ? T(1) : T(0);
  K::template apply<T>(r, part.coefficients, term);
}

// Stops the compiler from keeping what it could make of a value in more registers, instead of making it again.
__device__ __forceinline__ void forget([[maybe_unused]] int64_t& value) {
#if defined(__CUDA_ARCH__)
  asm volatile("" : "+l"(value));
#endif
}

// Whole aligned rows. sum[s][j] is that of lane 4 thread + j.
template <class K, class T, int IN_FLIGHT>
__device__ __forceinline__ void wholeRowsAtATime(const Rows<K, T>& rows, int thread, T (*sum)[4]) {
  constexpr unsigned GRADIENTS = GRADIENT_MASK<K>, PARAMETERS = PARAMETER_MASK<K>, UPDATES = UPDATE_MASK<K>, READS = READ_MASK<K>,
                     WRITES = WRITE_MASK<K>;
  constexpr int ROW = LANES * int(sizeof(T));
  const int first = rows.first * LANES + 4 * thread;
  char* parameter = rows.parameter + (rows.begin + first) * int(sizeof(T));
  const char* gradient = rows.gradient + (rows.begin + first) * int(sizeof(T));
  const char* update = rows.update + (rows.begin + first) * int(sizeof(T));
  assumeGlobal(parameter);
  int64_t offset = rows.offset + first * int(sizeof(T));
#pragma unroll 1
  for (int row = 0; row < rows.count; row += IN_FLIGHT) {
    if (STATE_MASK<K> != 0) forget(offset);
    Four<T> own[IN_FLIGHT][OPERANDS<K>];
#pragma unroll
    for (int u = 0; u < IN_FLIGHT; ++u)
#pragma unroll
      for (int o = 0; o < OPERANDS<K>; ++o)
        if (READS >> o & 1u)
          own[u][o].load((GRADIENTS >> o & 1u    ? gradient
                          : PARAMETERS >> o & 1u ? parameter
                          : UPDATES >> o & 1u    ? update
                                                 : rows.slot[o] + offset) +
                         u * ROW);
#pragma unroll
    for (int u = 0; u < IN_FLIGHT; ++u) {
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        T r[OPERANDS<K>];
        T term[SUMS<K> + 1];
#pragma unroll
        for (int o = 0; o < OPERANDS<K>; ++o) r[o] = READS >> o & 1u ? own[u][o].get(j) : T(0);
        applyTo<K, T>(rows, r, first + (row + u) * LANES + j, term);
#pragma unroll
        for (int s = 0; s < SUMS<K>; ++s) sum[s][j] = sum[s][j] + term[s];
#pragma unroll
        for (int o = 0; o < OPERANDS<K>; ++o)
          if (WRITES >> o & 1u) own[u][o].put(j, r[o]);
      }
#pragma unroll
      for (int o = 0; o < OPERANDS<K>; ++o)
        if (WRITES >> o & 1u) own[u][o].store((PARAMETERS >> o & 1u ? parameter : rows.slot[o] + offset) + u * ROW);
    }
    parameter += IN_FLIGHT * ROW;
    gradient += IN_FLIGHT * ROW;
    update += IN_FLIGHT * ROW;
    offset += IN_FLIGHT * ROW;
  }
}

template <class K, class T>
__device__ __forceinline__ void wholeRows(const Rows<K, T>& rows, int thread, T (*sum)[4]) {
  constexpr int IN_FLIGHT = ROWS_IN_FLIGHT<K, T>;
  if (IN_FLIGHT == 1 || rows.count == STRIP_ROWS)
    wholeRowsAtATime<K, T, IN_FLIGHT>(rows, thread, sum);
  else
    wholeRowsAtATime<K, T, 1>(rows, thread, sum);
}

// Of the 4 elements that a thread has of a row, those that it loads together, where they are 32 apart.
template <class K, class T>
constexpr int STRIDED_AT_A_TIME = OPERANDS<K> * sizeof(T) <= 24 ? 4 : 2;

// Elements i, i + 32, ... of an array of a type that is a constant, as far as they are before `end`.
template <class T, int COUNT>
__device__ __forceinline__ void loadStrided(T* to, int step, const char* from, int32_t type, int i, int end) {
#pragma unroll
  for (int k = 0; k < COUNT; ++k) to[k * step] = i + 32 * k < end ? load<T>(from, type, i + 32 * k) : T(0);
}

template <class T, int COUNT>
__device__ __forceinline__ void loadAnyStrided(T* to, int step, const char* from, int32_t type, int i, int end) {
  switch (type) {
    case FLOAT64: loadStrided<T, COUNT>(to, step, from, FLOAT64, i, end); break;
    case FLOAT32: loadStrided<T, COUNT>(to, step, from, FLOAT32, i, end); break;
    case BFLOAT16: loadStrided<T, COUNT>(to, step, from, BFLOAT16, i, end); break;
    default: loadStrided<T, COUNT>(to, step, from, FLOAT16, i, end); break;
  }
}

// Rows at any alignment, up to the chunk's end; in float64 with gradients in any type. sum[s][k] is that of lane thread + 32 k. `loadAll`
// brings elements i, i + 32, ... of all operands, and `storeAll` takes element i of those that are written.
template <class K, class T, class Load, class Store>
__device__ __forceinline__ void stridedRows(const Part<T>& part, int thread, T (*sum)[4], Load loadAll, Store storeAll) {
  constexpr int SOME = STRIDED_AT_A_TIME<K, T>;
  const int end = min(part.live, (part.first + part.count) * LANES);
#pragma unroll 1
  for (int begin = part.first * LANES + thread; begin < end; begin += LANES) {
#pragma unroll 1
    for (int quarter = 0; quarter < 4; quarter += SOME) {
      const int first = begin + 32 * quarter;
      T all[SOME][OPERANDS<K>];
      loadAll(&all[0][0], first, end);
      // One formula for all of them, which move up: registers have no index.
#pragma unroll 1
      for (int k = 0; k < SOME; ++k) {
        const int i = first + 32 * k;
        if (i >= end) break;
        T r[OPERANDS<K>];
        T term[SUMS<K> + 1];
#pragma unroll
        for (int o = 0; o < OPERANDS<K>; ++o) r[o] = all[0][o];
        applyTo<K, T>(part, r, i, term);
#pragma unroll
        for (int s = 0; s < SUMS<K>; ++s)
#pragma unroll
          for (int q = 0; q < 4; ++q)
            if (q == quarter + k) sum[s][q] = sum[s][q] + term[s];
        storeAll(r, i);
#pragma unroll
        for (int later = 1; later < SOME; ++later)
#pragma unroll
          for (int o = 0; o < OPERANDS<K>; ++o) all[later - 1][o] = all[later][o];
      }
    }
  }
}

template <class K, class T>
__device__ __forceinline__ void anyRows(const Rows<K, T>& rows, int thread, T (*sum)[4]) {
  constexpr unsigned GRADIENTS = GRADIENT_MASK<K>, PARAMETERS = PARAMETER_MASK<K>, UPDATES = UPDATE_MASK<K>, READS = READ_MASK<K>,
                     WRITES = WRITE_MASK<K>;
  constexpr int32_t OWN = sizeof(T) == 8 ? FLOAT64 : FLOAT32;
  constexpr int SOME = STRIDED_AT_A_TIME<K, T>;
  char* const parameter = rows.parameter + rows.begin * int(sizeof(T));
  const char* const gradient = rows.gradient + rows.begin * bytesOf(OWN == FLOAT64 ? rows.gradientType : OWN);
  const char* const update = rows.update + rows.begin * int(sizeof(T));
  assumeGlobal(parameter);
  assumeGlobal(gradient);
  assumeGlobal(update);
  stridedRows<K, T>(
      rows, thread, sum,
      [&](T* all, int i, int end) {
#pragma unroll
        for (int o = 0; o < OPERANDS<K>; ++o) {
          T* const to = all + o;
          if (!(READS >> o & 1u)) {
#pragma unroll
            for (int k = 0; k < SOME; ++k) to[k * OPERANDS<K>] = T(0);
          } else if (OWN == FLOAT64 && (GRADIENTS >> o & 1u)) {
            loadAnyStrided<T, SOME>(to, OPERANDS<K>, gradient, rows.gradientType, i, end);
          } else {
            loadStrided<T, SOME>(to, OPERANDS<K>,
                                 GRADIENTS >> o & 1u    ? gradient
                                 : PARAMETERS >> o & 1u ? parameter
                                 : UPDATES >> o & 1u    ? update
                                                        : rows.slot[o] + rows.offset,
                                 OWN, i, end);
          }
        }
      },
      [&](const T* r, int i) {
#pragma unroll
        for (int o = 0; o < OPERANDS<K>; ++o)
          if (WRITES >> o & 1u) store<T>(PARAMETERS >> o & 1u ? parameter : rows.slot[o] + rows.offset, OWN, i, r[o]);
      });
}

// Whether four elements of a tensor that begins here are one access wherever they begin at a multiple of four.
__device__ __forceinline__ bool isAligned(const char* tensor) { return (reinterpret_cast<uintptr_t>(tensor) & 15) == 0; }

// Rows in the way that is right for them; whether lanes are those of anyRows. Slots are aligned, and so are tensors in them.
template <class K, class T>
__device__ __forceinline__ bool someRows(const Rows<K, T>& rows, int thread, T (*sum)[4]) {
  if constexpr (FOUR_FIT<K, T>)
    if (rows.live >= (rows.first + rows.count) * LANES && (PARAMETER_MASK<K> == 0 || isAligned(rows.parameter)) &&
        (GRADIENT_MASK<K> == 0 || (isAligned(rows.gradient) && (sizeof(T) == 4 || rows.gradientType == FLOAT64))) &&
        (UPDATE_MASK<K> == 0 || isAligned(rows.update))) {
      wholeRows<K, T>(rows, thread, sum);
      return false;
    }
  anyRows<K, T>(rows, thread, sum);
  return true;
}

}  // namespace steptuner
