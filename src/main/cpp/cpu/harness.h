// SPDX-License-Identifier: Apache-2.0
//
// The CPU harness: one chunk of any kernel. Compiled once per family of kernels and instruction set (see family.cpp).
//
// An operand whose memory has the type of the computation is used in place. Others are staged (staging.h): 16-bit and mixed types, and
// write-only outputs that are to bypass the caches but are not aligned to registers.
#pragma once
#include "../core/kernel.h"
#include "../core/summation.h"
#include "isa.h"
#include "staging.h"
#include "vector.h"
#include <utility>

namespace steptuner {
namespace {

template <class K>
constexpr bool isRead(int o) {
  return (READ_MASK<K> & 1u << o) != 0;
}
template <class K>
constexpr bool isWritten(int o) {
  return (WRITE_MASK<K> & 1u << o) != 0;
}

// Whether the formula finds something in operand o: memory, or the selection.
template <class K>
constexpr bool given(int o) {
  return isRead<K>(o) || o == SELECTION_AT<K>;
}

// A sweep over what the caches do not hold asks for its operands this many bytes before it needs them: the processor's own prefetchers
// stop at every page, and a formula keeps so many instructions waiting that loads further on do not come into view.
constexpr int AHEAD = 512;
constexpr int LINE = 64;

// Arrays have at least one element.
template <class K>
constexpr int SUM_ARRAYS = SUMS<K> > 0 ? SUMS<K> : 1;

// Whether there is a form for memory beyond the caches. Sweeps in float64 have none, because each takes the compiler seconds.
template <class T>
constexpr bool HAS_FAR = sizeof(T) == 4;

// A sweep that reads one array alone is faster without: the processor's prefetchers fetch further ahead by themselves.
template <class K>
constexpr bool FETCHES = (READ_MASK<K> & (READ_MASK<K> - 1)) != 0;

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
  if constexpr (FAR && FETCHES<K>) ((isRead<K>(O) ? fetch(operand[O], at) : void()), ...);
  V r[OPERANDS<K>] = {(given<K>(O) ? V::load(operand[O] + at) : V(T(0)))...};
  K::template apply<V>(r, coefficients, terms);
  ((isWritten<K>(O) ? keep<(FAR && !isRead<K>(O))>(r[O], operand[O] + at) : void()), ...);
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
  copyParts<(Vector<T>::WIDTH * int(sizeof(T)) / 2)>(reinterpret_cast<char*>(to), reinterpret_cast<const char*>(from),
                                                     count * int(sizeof(T)));
}

// The same over the last count < WIDTH elements of a tensor: through copies, of which only the live elements go back. The terms of
// the others are 0.
template <class K, class T>
__attribute__((noinline)) void lastStep(T* const* operand, const Vector<T>* coefficients, Vector<T>* terms, int at, int count) {
  alignas(64) T copies[OPERANDS<K>][Vector<T>::WIDTH] = {};
  T* copy[OPERANDS<K>];
  for (int o = 0; o < OPERANDS<K>; ++o) {
    copy[o] = copies[o];
    if (given<K>(o)) copyBlock(copies[o], operand[o] + at, count);
  }
  step<K, T, false>(copy, coefficients, terms, 0, std::make_index_sequence<OPERANDS<K>>());
  for (int o = 0; o < OPERANDS<K>; ++o)
    if (isWritten<K>(o)) copyBlock(operand[o] + at, copies[o], count);
  for (int s = 0; s < SUMS<K>; ++s) terms[s].clearFrom(count);
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
    V terms[SUMS<K>];
    step<K, T, FAR>(operand, coefficients, terms, begin + l, std::make_index_sequence<OPERANDS<K>>());
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
  if constexpr (SUMS<K> == 0) {
    for (int at = 0; at < STRIP; at += Vector<T>::WIDTH)
      step<K, T, FAR>(operand, coefficients, nullptr, at, std::make_index_sequence<OPERANDS<K>>());
  } else {
    constexpr auto all = std::make_index_sequence<SUMS<K>>();
    constexpr int LAST = STRIP - LANES;
    alignas(64) T sums[SUMS<K>][LANES];
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
  constexpr auto all = std::make_index_sequence<SUMS<K>>();
  alignas(64) T sums[SUM_ARRAYS<K>][LANES] = {};
  int at = 0;
  for (; at + V::WIDTH <= count; at += V::WIDTH) {
    V terms[SUM_ARRAYS<K>];
    step<K, T, FAR>(operand, coefficients, terms, at, std::make_index_sequence<OPERANDS<K>>());
    addTerms(sums, at % LANES, terms, all);
  }
  if (at < count) {
    V terms[SUM_ARRAYS<K>];
    lastStep<K, T>(operand, coefficients, terms, at, count - at);
    addTerms(sums, at % LANES, terms, all);
  }
  for (int s = 0; s < SUMS<K>; ++s)
    for (int l = 0; l < LANES; l += V::WIDTH) (V::load(lanes[s] + l) + V::load(sums[s] + l)).store(lanes[s] + l);
}

template <class T>
double addLanes(const T* lanes) {
  double wide[LANES];
  for (int l = 0; l < LANES; ++l) wide[l] = static_cast<double>(lanes[l]);
  return addHalves<LANES>(wide);
}

// Whether an operand is a write-only one that can be written past the caches where it is.
template <class T>
bool streams(const ChunkWork& work, int o) {
  return work.type[o] == typeOf<T>() && reinterpret_cast<uintptr_t>(work.memory[o]) % VECTOR_BYTES == 0;
}

// Asks for what comes after this chunk, while the formula works on a strip: for all of it at once the processor would have to wait.
inline void fetchNext(const ChunkWork& work, int begin, int count) {
  for (int at = 0; at < count * work.nextBytes; at += LINE) __builtin_prefetch(work.next + begin * work.nextBytes + at);
}

template <class K, class T>
void runChunk(const ChunkWork& work) {
  alignas(64) T staging[OPERANDS<K>][STRIP];
  Vector<T> coefficients[COEFFICIENTS<K> + 1];
  for (int i = 0; i < COEFFICIENTS<K>; ++i) coefficients[i] = Vector<T>(static_cast<T>(work.coefficients[i]));
  bool far = HAS_FAR<T> && work.beyondCaches;
  for (int o = 0; o < OPERANDS<K>; ++o)
    if (isWritten<K>(o) && !isRead<K>(o)) far = far && streams<T>(work, o);
  bool staged[OPERANDS<K>], bypass[OPERANDS<K>];
  for (int o = 0; o < OPERANDS<K>; ++o) {
    bypass[o] = work.beyondCaches && !far && !isRead<K>(o);
    staged[o] = bypass[o] || work.type[o] != typeOf<T>() || o == SELECTION_AT<K>;
  }
  alignas(64) T lanes[SUM_ARRAYS<K>][LANES] = {};

  for (int begin = 0; begin < work.count; begin += STRIP) {
    const int count = work.count - begin < STRIP ? work.count - begin : STRIP;
    if (work.next) fetchNext(work, begin, count);
    T* strip[OPERANDS<K>];
    for (int o = 0; o < OPERANDS<K>; ++o) {
      if (o == SELECTION_AT<K>) continue;
      char* const memory = work.memory[o] + int64_t(begin) * bytesOf(work.type[o]);
      strip[o] = staged[o] ? staging[o] : reinterpret_cast<T*>(memory);
      if (staged[o] && isRead<K>(o)) widen(memory, work.type[o], staging[o], count);
    }
    if constexpr (SELECTION_AT<K> >= 0) {
      strip[SELECTION_AT<K>] = staging[SELECTION_AT<K>];
      selectEvery(periodOf(work.coefficients[K::PERIOD]), work.begin + begin, staging[SELECTION_AT<K>], count);
    }
    const bool whole = count == STRIP;
    if (far)
      whole ? wholeStrip<K, T, HAS_FAR<T>>(strip, coefficients, lanes) : partOfStrip<K, T, HAS_FAR<T>>(strip, coefficients, count, lanes);
    else
      whole ? wholeStrip<K, T, false>(strip, coefficients, lanes) : partOfStrip<K, T, false>(strip, coefficients, count, lanes);
    for (int o = 0; o < OPERANDS<K>; ++o)
      if (staged[o] && isWritten<K>(o))
        narrow(staging[o], work.memory[o] + int64_t(begin) * bytesOf(work.type[o]), work.type[o], count, bypass[o]);
  }
  for (int s = 0; s < SUMS<K>; ++s) work.sums[s] = addLanes(lanes[s]);
}

}  // namespace
}  // namespace steptuner
