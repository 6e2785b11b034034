// SPDX-License-Identifier: Apache-2.0
//
// The CPU harness: one chunk of any kernel. Compiled once per instruction set (see isa.cpp).
//
// An operand whose memory has the type of the computation is used in place. Others pass through a strip of staging in the L1 cache:
// 16-bit and mixed types, and write-only outputs that are to bypass the caches but are not aligned to registers.
#pragma once
#include "../sweep/kernels.h"
#include "../sweep/summation.h"
#include "../sweep/types.h"
#include "isa.h"
#include "vector.h"
#include <utility>

namespace steptuner {
namespace {

template <class T>
inline int32_t typeOf() {
  return sizeof(T) == 8 ? FLOAT64 : FLOAT32;
}

template <class T>
void widen(const char* memory, int32_t type, T* staged, int count) {
  switch (type) {
    case FLOAT64:
      for (int i = 0; i < count; ++i) staged[i] = static_cast<T>(reinterpret_cast<const double*>(memory)[i]);
      break;
    case FLOAT32:
      for (int i = 0; i < count; ++i) staged[i] = static_cast<T>(reinterpret_cast<const float*>(memory)[i]);
      break;
    case BFLOAT16:
      for (int i = 0; i < count; ++i) staged[i] = static_cast<T>(fromBfloat16(reinterpret_cast<const uint16_t*>(memory)[i]));
      break;
    default:
      for (int i = 0; i < count; ++i) staged[i] = static_cast<T>(fromFloat16(reinterpret_cast<const uint16_t*>(memory)[i]));
  }
}

// Copies past the caches: streaming stores for whole cache lines, plain ones before the first and after the last. A line that
// streaming stores fill in part costs more than a plain one. The caller fences.
inline void stream(char* memory, const char* staged, int64_t bytes) {
  const int64_t head = static_cast<int64_t>(-reinterpret_cast<uintptr_t>(memory) & 63);
  int64_t i = head < bytes ? head : bytes;
  __builtin_memcpy(memory, staged, static_cast<size_t>(i));
  for (; i + 64 <= bytes; i += 64)
    for (int j = 0; j < 64; j += 16)
      _mm_stream_si128(reinterpret_cast<__m128i*>(memory + i + j),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(staged + i + j)));
  __builtin_memcpy(memory + i, staged + i, static_cast<size_t>(bytes - i));
}

template <class T>
void narrow(const T* staged, char* memory, int32_t type, int count, bool bypass) {
  alignas(64) uint16_t half[STRIP];
  switch (type) {
    case BFLOAT16:
      for (int i = 0; i < count; ++i) half[i] = toBfloat16(static_cast<float>(staged[i]));
      break;
    case FLOAT16:
      for (int i = 0; i < count; ++i) half[i] = toFloat16(static_cast<float>(staged[i]));
      break;
    default: break;  // parameters of 32 and 64 bits have the type of the computation
  }
  const char* from = bytesOf(type) == 2 ? reinterpret_cast<const char*>(half) : reinterpret_cast<const char*>(staged);
  const int64_t bytes = int64_t(count) * bytesOf(type);
  if (bypass)
    stream(memory, from, bytes);
  else
    __builtin_memcpy(memory, from, static_cast<size_t>(bytes));
}

// Whether the formula finds something in operand o: memory, or the selection.
template <class K>
constexpr bool given(int o) {
  return reads(K::operand(o)) || o == SELECTION_AT<K>;
}

// The selection for elements [begin, begin + count) of a tensor.
template <class T>
void selectEvery(uint32_t period, int64_t begin, T* selected, int count) {
  for (int i = 0; i < count; ++i) selected[i] = 0;
  const int64_t past = begin % period;
  for (int64_t i = past == 0 ? 0 : period - past; i < count; i += period) selected[i] = 1;
}

// A sweep over what the caches do not hold asks for its operands this many bytes before it needs them: the processor's own prefetchers
// stop at every page, and a formula keeps so many instructions waiting that loads further on do not come into view.
constexpr int AHEAD = 512;
constexpr int LINE = 64;

template <class K>
constexpr int readOperands() {
  int count = 0;
  for (int o = 0; o < K::OPERANDS; ++o) count += reads(K::operand(o));
  return count;
}

// Arrays have at least one element.
template <class K>
constexpr int SUM_ARRAYS = K::SUMS > 0 ? K::SUMS : 1;

// Whether there is a form for memory beyond the caches. Sweeps in float64 do without, for the compiler's sake: each takes it seconds.
template <class T>
constexpr bool HAS_FAR = sizeof(T) == 4;

// Of one operand alone the prefetchers bring more than would be asked for.
template <class K>
constexpr bool FETCHES = readOperands<K>() > 1;

template <class T>
STEPTUNER_HD void fetch(const T* operand, int at) {
  for (int line = 0; line < Vector<T>::WIDTH * int(sizeof(T)); line += LINE)
    if (at * sizeof(T) % LINE == 0) __builtin_prefetch(reinterpret_cast<const char*>(operand + at) + AHEAD + line);
}

template <bool STREAMS, class T>
STEPTUNER_HD void keep(const Vector<T>& value, T* memory) {
  if constexpr (STREAMS)
    value.stream(memory);
  else
    value.store(memory);
}

// The kernel's formula over WIDTH consecutive elements; leaves their terms of the sums. FAR: in memory beyond the caches.
template <class K, class T, bool FAR, size_t... O>
STEPTUNER_HD void step(T* const* operand, const Vector<T>* coefficients, Vector<T>* terms, int at, std::index_sequence<O...>) {
  using V = Vector<T>;
  if constexpr (FAR && FETCHES<K>) ((reads(K::operand(O)) ? fetch(operand[O], at) : void()), ...);
  V r[K::OPERANDS] = {(given<K>(O) ? V::load(operand[O] + at) : V(T(0)))...};
  K::template apply<V>(r, coefficients, terms);
  ((writes(K::operand(O)) ? keep<FAR && !reads(K::operand(O))>(r[O], operand[O] + at) : void()), ...);
}

// Copies bytes < 2 PART, a multiple of 4.
template <int PART>
STEPTUNER_HD void copyParts(char* to, const char* from, int bytes) {
  const int part = bytes & PART;
  if (part) __builtin_memcpy(to, from, PART);
  if constexpr (PART > 4) copyParts<PART / 2>(to + part, from + part, bytes);
}

template <class T>
STEPTUNER_HD void copyBlock(T* to, const T* from, int count) {
  copyParts<Vector<T>::WIDTH * int(sizeof(T)) / 2>(reinterpret_cast<char*>(to), reinterpret_cast<const char*>(from),
                                                   count * int(sizeof(T)));
}

// The same over the last count < WIDTH elements of a tensor: through copies, of which only the live elements go back. The terms of
// the others are 0.
template <class K, class T>
__attribute__((noinline)) void lastStep(T* const* operand, const Vector<T>* coefficients, Vector<T>* terms, int at, int count) {
  alignas(64) T copies[K::OPERANDS][Vector<T>::WIDTH] = {};
  T* copy[K::OPERANDS];
  for (int o = 0; o < K::OPERANDS; ++o) {
    copy[o] = copies[o];
    if (given<K>(o)) copyBlock(copies[o], operand[o] + at, count);
  }
  step<K, T, false>(copy, coefficients, terms, 0, std::make_index_sequence<K::OPERANDS>());
  for (int o = 0; o < K::OPERANDS; ++o)
    if (writes(K::operand(o))) copyBlock(operand[o] + at, copies[o], count);
  for (int s = 0; s < K::SUMS; ++s) terms[s].clearFrom(count);
}

// One row of a strip in the order of memory. Between rows the strip's lane sums wait in the L1 cache; after the last one they go to
// the chunk's. A first row's terms need no +0 before them: it would only turn a -0 into a +0, and neither changes a chunk's lane.
template <class K, class T, bool FAR, bool FIRST, bool LAST, size_t... S>
STEPTUNER_HD void row(T* const* operand, const Vector<T>* coefficients, int begin, T (*sums)[LANES], T (*lanes)[LANES],
                      std::index_sequence<S...>) {
  using V = Vector<T>;
  // Where no store holds the compiler back, it would mix the loads of all rows.
  if constexpr (WRITE_MASK<K> == 0) asm volatile("" ::: "memory");
  for (int l = 0; l < LANES; l += V::WIDTH) {
    V terms[K::SUMS];
    step<K, T, FAR>(operand, coefficients, terms, begin + l, std::make_index_sequence<K::OPERANDS>());
    if constexpr (!FIRST) ((terms[S] = V::load(sums[S] + l) + terms[S]), ...);
    if constexpr (LAST)
      ((V::load(lanes[S] + l) + terms[S]).store(lanes[S] + l), ...);
    else
      (terms[S].store(sums[S] + l), ...);
  }
}

// A whole strip. In any other order than that of memory the processor's prefetchers lose track: out of cache it then takes twice as
// long.
template <class K, class T, bool FAR>
STEPTUNER_HD void wholeStrip(T* const* operand, const Vector<T>* coefficients, [[maybe_unused]] T (*lanes)[LANES]) {
  if constexpr (K::SUMS == 0) {
    for (int at = 0; at < STRIP; at += Vector<T>::WIDTH)
      step<K, T, FAR>(operand, coefficients, nullptr, at, std::make_index_sequence<K::OPERANDS>());
  } else {
    constexpr auto all = std::make_index_sequence<K::SUMS>();
    constexpr int LAST = STRIP - LANES;
    alignas(64) T sums[K::SUMS][LANES];
    row<K, T, FAR, true, false>(operand, coefficients, 0, sums, lanes, all);
    for (int begin = LANES; begin < LAST; begin += LANES) row<K, T, FAR, false, false>(operand, coefficients, begin, sums, lanes, all);
    row<K, T, FAR, false, true>(operand, coefficients, LAST, sums, lanes, all);
  }
}

// The terms of WIDTH elements to their lanes.
template <class T, size_t... S>
STEPTUNER_HD void addTerms([[maybe_unused]] T (*sums)[LANES], [[maybe_unused]] int lane, [[maybe_unused]] const Vector<T>* terms,
                           std::index_sequence<S...>) {
  ((Vector<T>::load(sums[S] + lane) + terms[S]).store(sums[S] + lane), ...);
}

template <class K, class T, bool FAR>
void partOfStrip(T* const* operand, const Vector<T>* coefficients, int count, [[maybe_unused]] T (*lanes)[LANES]) {
  using V = Vector<T>;
  constexpr auto all = std::make_index_sequence<K::SUMS>();
  alignas(64) T sums[SUM_ARRAYS<K>][LANES] = {};
  int at = 0;
  for (; at + V::WIDTH <= count; at += V::WIDTH) {
    V terms[SUM_ARRAYS<K>];
    step<K, T, FAR>(operand, coefficients, terms, at, std::make_index_sequence<K::OPERANDS>());
    addTerms(sums, at % LANES, terms, all);
  }
  if (at < count) {
    V terms[SUM_ARRAYS<K>];
    lastStep<K, T>(operand, coefficients, terms, at, count - at);
    addTerms(sums, at % LANES, terms, all);
  }
  for (int s = 0; s < K::SUMS; ++s)
    for (int l = 0; l < LANES; l += V::WIDTH) (V::load(lanes[s] + l) + V::load(sums[s] + l)).store(lanes[s] + l);
}

// Whether an operand is a write-only one that can be written past the caches where it is.
template <class T>
bool streams(const ChunkWork& work, int o) {
  return work.type[o] == typeOf<T>() && reinterpret_cast<uintptr_t>(work.memory[o]) % VECTOR_BYTES == 0;
}

template <class T>
double addLanes(const T* lanes) {
  double wide[LANES];
  for (int l = 0; l < LANES; ++l) wide[l] = static_cast<double>(lanes[l]);
  return addHalves<LANES>(wide);
}

template <class K, class T>
void runChunk(const ChunkWork& work) {
  alignas(64) T staging[K::OPERANDS][STRIP];
  Vector<T> coefficients[K::COEFFICIENTS + 1];
  for (int i = 0; i < K::COEFFICIENTS; ++i) coefficients[i] = Vector<T>(static_cast<T>(work.coefficients[i]));
  bool far = HAS_FAR<T> && work.beyondCaches;
  for (int o = 0; o < K::OPERANDS; ++o)
    if (writes(K::operand(o)) && !reads(K::operand(o))) far = far && streams<T>(work, o);
  bool staged[K::OPERANDS], bypass[K::OPERANDS];
  for (int o = 0; o < K::OPERANDS; ++o) {
    bypass[o] = work.beyondCaches && !far && !reads(K::operand(o));
    staged[o] = bypass[o] || work.type[o] != typeOf<T>() || o == SELECTION_AT<K>;
  }
  alignas(64) T lanes[SUM_ARRAYS<K>][LANES] = {};

  for (int begin = 0; begin < work.count; begin += STRIP) {
    const int count = work.count - begin < STRIP ? work.count - begin : STRIP;
    T* strip[K::OPERANDS];
    for (int o = 0; o < K::OPERANDS; ++o) {
      if (o == SELECTION_AT<K>) continue;
      char* const memory = work.memory[o] + int64_t(begin) * bytesOf(work.type[o]);
      strip[o] = staged[o] ? staging[o] : reinterpret_cast<T*>(memory);
      if (staged[o] && reads(K::operand(o))) widen(memory, work.type[o], staging[o], count);
    }
    if constexpr (SELECTION_AT<K> >= 0) {
      strip[SELECTION_AT<K>] = staging[SELECTION_AT<K>];
      selectEvery(periodOf(work.coefficients[K::PERIOD]), work.begin + begin, staging[SELECTION_AT<K>], count);
    }
    const bool whole = count == STRIP;
    if (far)
      whole ? wholeStrip<K, T, HAS_FAR<T>>(strip, coefficients, lanes)
            : partOfStrip<K, T, HAS_FAR<T>>(strip, coefficients, count, lanes);
    else
      whole ? wholeStrip<K, T, false>(strip, coefficients, lanes) : partOfStrip<K, T, false>(strip, coefficients, count, lanes);
    for (int o = 0; o < K::OPERANDS; ++o)
      if (staged[o] && writes(K::operand(o)))
        narrow(staging[o], work.memory[o] + int64_t(begin) * bytesOf(work.type[o]), work.type[o], count, bypass[o]);
  }
  for (int s = 0; s < K::SUMS; ++s) work.sums[s] = addLanes(lanes[s]);
}

}  // namespace
}  // namespace steptuner
