// SPDX-License-Identifier: Apache-2.0
//
// The CPU harness: one chunk of any kernel. Compiled once per family of kernels and instruction set (see family.cpp).
//
// Operands are used in place, those of 16 bits converted in registers (access.h). Some are staged (staging.h): gradients of other types than
// these and that of the computation, and write-only outputs that are to bypass the caches but are not aligned to registers.
#pragma once
#include "../core/kernel.h"
#include "../core/summation.h"
#include "access.h"
#include "staging.h"
#include <utility>

namespace steptuner {
namespace {

// Arrays have at least one element.
template <class K>
constexpr int SUM_ARRAYS = SUMS<K> > 0 ? SUMS<K> : 1;

// Whether 16-bit operands and memory beyond the caches have a form of their own. What is computed in float64 has no 16-bit operands but
// gradients, which are staged: a second form takes the compiler seconds for each kernel.
template <class T>
constexpr bool HAS_GENERAL = sizeof(T) == 4;

// The kernel's formula over WIDTH consecutive elements; leaves their terms of the sums.
template <class K, class T, class Access, size_t... O>
STEPTUNER_HD void step(const Access& access, const Vector<T>* coefficients, Vector<T>* terms, int at, std::index_sequence<O...> all) {
  using V = Vector<T>;
  access.fetchAhead(at);
  V r[OPERANDS<K>] = {(given<K>(O) ? access.template load<O>(at) : V(T(0)))...};
  K::template apply<V>(r, coefficients, terms);
  access.store(r, at, all);
}

// Copies bytes < 2 PART, a multiple of 4.
template <int PART>
STEPTUNER_HD void copyParts(char* to, const char* from, int bytes) {
  const int part = bytes & PART;
  if (part) __builtin_memcpy(to, from, PART);
  if constexpr (PART > 4) copyParts<PART / 2>(to + part, from + part, bytes);
}

// Called, not inlined: within the last step of every kernel it would be half of the library.
template <class T>
__attribute__((noinline)) void copyBlock(T* to, const T* from, int count) {
  copyParts<(Vector<T>::WIDTH * int(sizeof(T)) / 2)>(reinterpret_cast<char*>(to), reinterpret_cast<const char*>(from),
                                                     count * int(sizeof(T)));
}

// The same over the last count < WIDTH elements of a tensor: through copies, of which only the live elements go back. The terms of
// the others are 0.
template <class K, class T>
__attribute__((noinline)) void lastStep(const Own<K, T>& access, const Vector<T>* coefficients, Vector<T>* terms, int at, int count) {
  alignas(64) T copies[OPERANDS<K>][Vector<T>::WIDTH] = {};
  Own<K, T> copy;
  for (int o = 0; o < OPERANDS<K>; ++o) {
    copy.operand[o] = copies[o];
    if (given<K>(o)) copyBlock(copies[o], access.operand[o] + at, count);
  }
  step<K, T>(copy, coefficients, terms, 0, std::make_index_sequence<OPERANDS<K>>());
  for (int o = 0; o < OPERANDS<K>; ++o)
    if (isWritten<K>(o)) copyBlock(access.operand[o] + at, copies[o], count);
  for (int s = 0; s < SUMS<K>; ++s) terms[s].clearFrom(count);
}

template <class K, class T>
__attribute__((noinline)) void lastStep(const General<K>& access, const Vector<T>* coefficients, Vector<T>* terms, int at, int count) {
  alignas(64) T copies[OPERANDS<K>][Vector<T>::WIDTH] = {};
  Own<K, T> copy;
  for (int o = 0; o < OPERANDS<K>; ++o) {
    copy.operand[o] = copies[o];
    if (given<K>(o)) loadSome(access.elements(o), copies[o], at, count);
  }
  step<K, T>(copy, coefficients, terms, 0, std::make_index_sequence<OPERANDS<K>>());
  for (int o = 0; o < OPERANDS<K>; ++o)
    if (isWritten<K>(o)) storeSome(access.elements(o), copies[o], at, count);
  for (int s = 0; s < SUMS<K>; ++s) terms[s].clearFrom(count);
}

// One row of a strip in the order of memory. Between rows the strip's lane sums wait in the L1 cache; after the last one they go to
// the chunk's. A first row's terms need no +0 before them: it would only turn a -0 into a +0, and neither changes a chunk's lane.
template <class K, class T, bool FIRST, bool LAST, class Access, size_t... S>
STEPTUNER_HD void row(const Access& access, const Vector<T>* coefficients, int begin, T (*sums)[LANES], T (*lanes)[LANES],
                      std::index_sequence<S...>) {
  using V = Vector<T>;
  // Where no store holds the compiler back, it would mix the loads of all rows.
  if constexpr (WRITE_MASK<K> == 0) asm volatile("" ::: "memory");
  for (int l = 0; l < LANES; l += V::WIDTH) {
    V terms[SUMS<K>];
    step<K, T>(access, coefficients, terms, begin + l, std::make_index_sequence<OPERANDS<K>>());
    if constexpr (!FIRST) ((terms[S] = V::load(sums[S] + l) + terms[S]), ...);
    if constexpr (LAST)
      ((V::load(lanes[S] + l) + terms[S]).store(lanes[S] + l), ...);
    else
      (terms[S].store(sums[S] + l), ...);
  }
}

// A whole strip. In any other order than that of memory the processor's prefetchers lose track: out of cache it then takes twice as
// long.
template <class K, class T, class Access>
STEPTUNER_HD void wholeStrip(const Access& access, const Vector<T>* coefficients, [[maybe_unused]] T (*lanes)[LANES]) {
  if constexpr (SUMS<K> == 0) {
    for (int at = 0; at < STRIP; at += Vector<T>::WIDTH)
      step<K, T>(access, coefficients, nullptr, at, std::make_index_sequence<OPERANDS<K>>());
  } else {
    constexpr auto all = std::make_index_sequence<SUMS<K>>();
    constexpr int LAST = STRIP - LANES;
    alignas(64) T sums[SUMS<K>][LANES];
    row<K, T, true, false>(access, coefficients, 0, sums, lanes, all);
    for (int begin = LANES; begin < LAST; begin += LANES) row<K, T, false, false>(access, coefficients, begin, sums, lanes, all);
    row<K, T, false, true>(access, coefficients, LAST, sums, lanes, all);
  }
}

// The terms of WIDTH elements to their lanes.
template <class T, size_t... S>
STEPTUNER_HD void addTerms([[maybe_unused]] T (*sums)[LANES], [[maybe_unused]] int lane, [[maybe_unused]] const Vector<T>* terms,
                           std::index_sequence<S...>) {
  ((Vector<T>::load(sums[S] + lane) + terms[S]).store(sums[S] + lane), ...);
}

template <class K, class T, class Access>
void partOfStrip(const Access& access, const Vector<T>* coefficients, int count, [[maybe_unused]] T (*lanes)[LANES]) {
  using V = Vector<T>;
  constexpr auto all = std::make_index_sequence<SUMS<K>>();
  alignas(64) T sums[SUM_ARRAYS<K>][LANES] = {};
  int at = 0;
  for (; at + V::WIDTH <= count; at += V::WIDTH) {
    V terms[SUM_ARRAYS<K>];
    step<K, T>(access, coefficients, terms, at, std::make_index_sequence<OPERANDS<K>>());
    addTerms(sums, at % LANES, terms, all);
  }
  if (at < count) {
    V terms[SUM_ARRAYS<K>];
    lastStep<K, T>(access, coefficients, terms, at, count - at);
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

// Asks for what comes after this chunk, while the formula works on a strip: for all of it at once the processor would have to wait.
inline void fetchNext(const ChunkWork& work, int begin, int count) {
  for (int at = 0; at < count * work.nextBytes; at += LINE) __builtin_prefetch(work.next + begin * work.nextBytes + at);
}

// Strips of a chunk in turn. `stage` brings what an operand is to be found in, and `finish` what was staged to its place.
template <class K, class T, class Access, class Stage, class Finish>
STEPTUNER_HD void strips(const ChunkWork& work, const Vector<T>* coefficients, T (*lanes)[LANES], Stage stage, Finish finish) {
  for (int begin = 0; begin < work.count; begin += STRIP) {
    const int count = work.count - begin < STRIP ? work.count - begin : STRIP;
    if (work.next) fetchNext(work, begin, count);
    const Access access = stage(begin, count);
    if constexpr (Access::IN_ROWS)
      if (count == STRIP) {
        wholeStrip<K, T>(access, coefficients, lanes);
        finish(begin, count);
        continue;
      }
    partOfStrip<K, T>(access, coefficients, count, lanes);
    finish(begin, count);
  }
}

// Whether an operand is a write-only one, which is written past the caches where they hold nothing of it.
template <class K>
bool bypasses(const ChunkWork& work, int o) {
  return work.beyondCaches && isWritten<K>(o) && !isRead<K>(o);
}

template <class K, class T>
void runOwn(const ChunkWork& work, const Vector<T>* coefficients, T (*lanes)[LANES]) {
  alignas(64) T staging[OPERANDS<K>][STRIP];
  bool staged[OPERANDS<K>];
  for (int o = 0; o < OPERANDS<K>; ++o) staged[o] = bypasses<K>(work, o) || work.type[o] != typeOf<T>() || o == SELECTION_AT<K>;
  strips<K, T, Own<K, T>>(
      work, coefficients, lanes,
      [&](int begin, int count) {
        Own<K, T> access;
        for (int o = 0; o < OPERANDS<K>; ++o) {
          access.operand[o] = staging[o];
          if (o == SELECTION_AT<K>) continue;
          char* const memory = work.memory[o] + int64_t(begin) * bytesOf(work.type[o]);
          if (!staged[o]) access.operand[o] = reinterpret_cast<T*>(memory);
          else if (isRead<K>(o)) widen(memory, work.type[o], staging[o], count);
        }
        if constexpr (SELECTION_AT<K> >= 0)
          selectEvery(periodOf(work.coefficients[K::PERIOD]), work.begin + begin, staging[SELECTION_AT<K>], count);
        return access;
      },
      [&](int begin, int count) {
        for (int o = 0; o < OPERANDS<K>; ++o)
          if (staged[o] && isWritten<K>(o))
            stream(work.memory[o] + begin * int64_t(sizeof(T)), reinterpret_cast<const char*>(staging[o]), count * int64_t(sizeof(T)));
      });
}

// Only gradients in float64, the selection, and write-only operands that cannot be written past the caches where they are, are staged.
template <class K>
void runGeneral(const ChunkWork& work, const Vector<float>* coefficients, float (*lanes)[LANES]) {
  alignas(64) float staging[OPERANDS<K>][STRIP];
  unsigned staged = 0;
  General<K> whole = {};
  whole.far = work.beyondCaches;
  for (int o = 0; o < OPERANDS<K>; ++o) {
    const unsigned bit = 1u << o;
    if (o == SELECTION_AT<K>) continue;
    if (work.type[o] == FLOAT64) staged |= bit;
    if (bytesOf(work.type[o]) == 2) whole.halves |= bit;
    if (work.type[o] == FLOAT16) whole.float16 |= bit;
    if (!bypasses<K>(work, o) || (work.rest && K::OPERANDS[o].place == PARAMETER)) continue;
    if (reinterpret_cast<uintptr_t>(work.memory[o]) % VECTOR_BYTES == 0)
      whole.past |= bit;
    else
      staged |= bit;
  }
  whole.stochastic = work.stochastic & whole.halves;
  strips<K, float, General<K>>(
      work, coefficients, lanes,
      [&](int begin, int count) {
        General<K> access = whole;
        access.rest = work.rest ? reinterpret_cast<uint16_t*>(work.rest) + begin : nullptr;
        access.key = work.key + static_cast<uint32_t>(begin) * ELEMENT_STEP;
        for (int o = 0; o < OPERANDS<K>; ++o) {
          access.operand[o] = reinterpret_cast<char*>(staging[o]);
          if (o == SELECTION_AT<K>) continue;
          char* const memory = work.memory[o] + int64_t(begin) * bytesOf(work.type[o]);
          if (!(staged & 1u << o)) access.operand[o] = memory;
          else if (isRead<K>(o)) widen(memory, work.type[o], staging[o], count);
        }
        if constexpr (SELECTION_AT<K> >= 0)
          selectEvery(periodOf(work.coefficients[K::PERIOD]), work.begin + begin, staging[SELECTION_AT<K>], count);
        return access;
      },
      [&](int begin, int count) {
        for (int o = 0; o < OPERANDS<K>; ++o) {
          if (!(staged & 1u << o) || !isWritten<K>(o)) continue;
          const int64_t bytes = bytesOf(work.type[o]);
          stream(work.memory[o] + begin * bytes, reinterpret_cast<const char*>(staging[o]), count * bytes);
        }
      });
}

template <class K, class T>
void runChunk(const ChunkWork& work) {
  Vector<T> coefficients[COEFFICIENTS<K> + 1];
  for (int i = 0; i < COEFFICIENTS<K>; ++i) coefficients[i] = Vector<T>(static_cast<T>(work.coefficients[i]));
  alignas(64) T lanes[SUM_ARRAYS<K>][LANES] = {};
  bool own = !HAS_GENERAL<T> || !work.beyondCaches;
  for (int o = 0; o < OPERANDS<K> && HAS_GENERAL<T>; ++o) own = own && (work.type[o] == typeOf<T>() || o == SELECTION_AT<K>);
  if constexpr (HAS_GENERAL<T>) {
    if (own)
      runOwn<K, T>(work, coefficients, lanes);
    else
      runGeneral<K>(work, coefficients, lanes);
  } else {
    runOwn<K, T>(work, coefficients, lanes);
  }
  for (int s = 0; s < SUMS<K>; ++s) work.sums[s] = addLanes(lanes[s]);
}

}  // namespace
}  // namespace steptuner
