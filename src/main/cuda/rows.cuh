// SPDX-License-Identifier: Apache-2.0
//
// What a warp of a CUDA sweep does: rows of a chunk, in straight code for their types where they are whole and aligned, and in any type at any
// alignment. A thread adds its terms of the sums, in the order of core/summation.h.
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
  uint32_t period;  // where the formula takes every period-th element
  uint32_t past;    // how far element 0 of the chunk is past such an element
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

// Whole rows in the types that they have, if those are usual and aligned; false, and nothing has been done, if not.
template <class K, class T>
__device__ __forceinline__ bool wholeRowsInTypes(const Rows<K, T>& rows, int thread, T (*sum)[4]) {
  constexpr int32_t OWN = sizeof(T) == 8 ? FLOAT64 : FLOAT32;
  constexpr bool HAS_PARAMETER = PARAMETER_MASK<K> != 0, HAS_GRADIENT = GRADIENT_MASK<K> != 0;
  const bool ownParameter = !HAS_PARAMETER || rows.parameterType == OWN, ownGradient = !HAS_GRADIENT || rows.gradientType == OWN;
  if (ownParameter && ownGradient && areAligned<K, T, T, T>(rows)) {
    wholeRows<K, T, T, T>(rows, thread, sum);
    return true;
  }
  if constexpr (sizeof(T) == 4) {
    const bool narrowGradient = !HAS_GRADIENT || rows.gradientType == BFLOAT16;
    if constexpr (HAS_PARAMETER)
      if (rows.parameterType == BFLOAT16 && narrowGradient && areAligned<K, T, Bfloat16, Bfloat16>(rows)) {
        wholeRows<K, T, Bfloat16, Bfloat16>(rows, thread, sum);
        return true;
      }
    if constexpr (HAS_GRADIENT)
      if (ownParameter && narrowGradient && areAligned<K, T, T, Bfloat16>(rows)) {
        wholeRows<K, T, T, Bfloat16>(rows, thread, sum);
        return true;
      }
  }
  return false;
}

// Rows in the way that is right for them; whether lanes are those of anyRows. Slots are aligned, and so are tensors in them.
template <class K, class T>
__device__ __forceinline__ bool someRows(const Rows<K, T>& rows, int thread, T (*sum)[4]) {
  if constexpr (FOUR_FIT<K, T>)
    if (rows.live >= (rows.first + rows.count) * LANES && wholeRowsInTypes<K, T>(rows, thread, sum)) return false;
  anyRows<K, T>(rows, thread, sum);
  return true;
}

}  // namespace steptuner
