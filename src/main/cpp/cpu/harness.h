// SPDX-License-Identifier: Apache-2.0
//
// The CPU harness: one chunk of any kernel. Compiled once per family of kernels and instruction set (see family.cpp).
//
// Operands are used in place, bfloat16 converted in registers (access.h). Some are staged (staging.h): unusual types, and write-only outputs
// that are to bypass the caches but are not aligned to registers.
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

// The kernel's formula over WIDTH consecutive elements; leaves their terms of the sums.
template <class K, class T, class Access, size_t... O>
STEPTUNER_HD void step(const Access& access, const Vector<T>* coefficients, Vector<T>* terms, int at, std::index_sequence<O...> all) {
  using V = Vector<T>;
  access.fetchAhead(at);
  V r[OPERANDS<K>] = {(given<K>(O) ? access.template load<O>(at) : V(T(0)))...};
  K::template apply<V>(r, coefficients, terms);
  access.store(r, at, all);
}

// The same over the last count < WIDTH elements of a tensor: through copies, of which only the live elements go back. The terms of
// the others are 0.
template <class K, class T>
__attribute__((noinline)) void lastStep(const Elements* elements, const Vector<T>* coefficients, Vector<T>* terms, int at, int count) {
  alignas(64) T copies[OPERANDS<K>][Vector<T>::WIDTH] = {};
  Own<K, T> copy;
  for (int o = 0; o < OPERANDS<K>; ++o) {
    copy.operand[o] = copies[o];
    if (given<K>(o)) loadSome(elements[o], copies[o], at, count);
  }
  step<K, T>(copy, coefficients, terms, 0, std::make_index_sequence<OPERANDS<K>>());
  for (int o = 0; o < OPERANDS<K>; ++o)
    if (isWritten<K>(o)) storeSome(elements[o], copies[o], at, count);
  for (int s = 0; s < SUMS<K>; ++s) terms[s].clearFrom(count);
}

// The terms of WIDTH elements to the sums of their lanes.
template <class T, size_t... S>
STEPTUNER_HD void addTo([[maybe_unused]] T (*sums)[LANES], [[maybe_unused]] int lane, [[maybe_unused]] const Vector<T>* terms,
                        std::index_sequence<S...>) {
  ((Vector<T>::load(sums[S] + lane) + terms[S]).store(sums[S] + lane), ...);
}

// The same in their place.
template <class T, size_t... S>
STEPTUNER_HD void putTo([[maybe_unused]] T (*sums)[LANES], [[maybe_unused]] int lane, [[maybe_unused]] const Vector<T>* terms,
                        std::index_sequence<S...>) {
  (terms[S].store(sums[S] + lane), ...);
}

// Those of a strip's last row, which then go to the chunk's lanes.
template <class T, size_t... S>
STEPTUNER_HD void addLast(T (*sums)[LANES], T (*lanes)[LANES], int lane, const Vector<T>* terms, std::index_sequence<S...>) {
  using V = Vector<T>;
  ((V::load(lanes[S] + lane) + (V::load(sums[S] + lane) + terms[S])).store(lanes[S] + lane), ...);
}

// A sweep that only adds up has little to do beside, so its rows have code of their own: which row it is would be asked for every vector.
template <class K>
constexpr bool ROWS_APART = WRITE_MASK<K> == 0 && SUMS<K> != 0;

// One row of a whole strip.
template <class K, class T, bool FIRST, bool LAST, class Access>
STEPTUNER_HD void row(const Access& access, const Vector<T>* coefficients, int begin, T (*sums)[LANES], T (*lanes)[LANES]) {
  constexpr auto all = std::make_index_sequence<SUMS<K>>();
  asm volatile("" ::: "memory");  // no store holds the compiler back, and it would mix the loads of all rows
  for (int lane = 0; lane < LANES; lane += Vector<T>::WIDTH) {
    Vector<T> terms[SUMS<K>];
    step<K, T>(access, coefficients, terms, begin + lane, std::make_index_sequence<OPERANDS<K>>());
    if constexpr (FIRST)
      putTo(sums, lane, terms, all);
    else if constexpr (LAST)
      addLast(sums, lanes, lane, terms, all);
    else
      addTo(sums, lane, terms, all);
  }
}

// A strip, in the order of memory: in any other order the processor's prefetchers lose track, and out of cache it takes twice as long.
// Between rows the lanes' sums over the strip wait in the L1 cache. Those of a whole strip begin with the terms of its first row, because
// +0 before them would only turn a -0 into a +0, which changes no chunk's lane; with its last row they go to the chunk's.
template <class K, class T, class Access>
STEPTUNER_HD void runStrip(const Access& from, const Vector<T>* coefficients, int count, [[maybe_unused]] T (*lanes)[LANES]) {
  using V = Vector<T>;
  constexpr auto all = std::make_index_sequence<SUMS<K>>();
  constexpr auto operands = std::make_index_sequence<OPERANDS<K>>();
  const Access access = from;  // which nobody else can write meanwhile, for all that the compiler knows
  alignas(64) T sums[SUM_ARRAYS<K>][LANES];
  const bool isWhole = count == STRIP;
  if constexpr (ROWS_APART<K>)
    if (isWhole) {
      row<K, T, true, false>(access, coefficients, 0, sums, lanes);
      for (int begin = LANES; begin < STRIP - LANES; begin += LANES) row<K, T, false, false>(access, coefficients, begin, sums, lanes);
      row<K, T, false, true>(access, coefficients, STRIP - LANES, sums, lanes);
      return;
    }
  if (SUMS<K> != 0 && !isWhole) __builtin_memset(sums, 0, sizeof sums);
  int at = 0;
  for (; at + V::WIDTH <= count; at += V::WIDTH) {
    // Where no store holds the compiler back, it would mix the loads of several vectors.
    if constexpr (WRITE_MASK<K> == 0) asm volatile("" ::: "memory");
    V terms[SUM_ARRAYS<K>];
    step<K, T>(access, coefficients, terms, at, operands);
    if constexpr (SUMS<K> != 0) {
      const int lane = at % LANES;
      int place = at;
      asm("" : "+r"(place));  // lest the compiler make a loop of its own for every row
      if (!isWhole || (place >= LANES && place < STRIP - LANES))
        addTo(sums, lane, terms, all);
      else if (place < LANES)
        putTo(sums, lane, terms, all);
      else
        addLast(sums, lanes, lane, terms, all);
    }
  }
  if (at < count) {
    V terms[SUM_ARRAYS<K>];
    Elements elements[OPERANDS<K>];
    for (int o = 0; o < OPERANDS<K>; ++o) elements[o] = access.elements(o);
    lastStep<K, T>(elements, coefficients, terms, at, count - at);
    addTo(sums, at % LANES, terms, all);
  }
  for (int s = 0; s < SUMS<K> && !isWhole; ++s)
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

// Whether an operand is a write-only one, which is written past the caches where they hold nothing of it.
template <class K>
bool bypasses(const ChunkWork& work, int o) {
  return work.beyondCaches && isWritten<K>(o) && !isRead<K>(o);
}

// Strips of a chunk in turn, with the operands of a mask staged. The formula finds operand o at access.operand[o].
template <class K, class T, class Access>
STEPTUNER_HD void strips(const ChunkWork& work, unsigned staged, Access& access, const Vector<T>* coefficients, T (*lanes)[LANES]) {
  alignas(64) T staging[OPERANDS<K>][STRIP];
  Elements elements[OPERANDS<K>];
  for (int o = 0; o < OPERANDS<K>; ++o) {
    uint16_t* const rest = K::OPERANDS[o].place == PARAMETER ? reinterpret_cast<uint16_t*>(work.rest) : nullptr;
    elements[o] = {work.memory[o], rest, work.type[o], (work.stochastic & 1u << o) != 0, roundingPlace<K>(o), work.key};
  }
  for (int begin = 0; begin < work.count; begin += STRIP) {
    const int count = work.count - begin < STRIP ? work.count - begin : STRIP;
    if (work.next) fetchNext(work, begin, count);
    for (int o = 0; o < OPERANDS<K>; ++o) {
      const bool isStaged = o == SELECTION_AT<K> || (staged & 1u << o);
      char* const from = isStaged ? reinterpret_cast<char*>(staging[o]) : work.memory[o] + int64_t(begin) * bytesOf(work.type[o]);
      access.operand[o] = reinterpret_cast<decltype(+access.operand[o])>(from);
      if (isStaged && isRead<K>(o)) widen(elements[o], begin, staging[o], count);
    }
    if constexpr (SELECTION_AT<K> >= 0)
      selectEvery(periodOf(work.coefficients[K::PERIOD]), work.begin + begin, staging[SELECTION_AT<K>], count);
    access.beginAt(work.key + static_cast<uint32_t>(begin) * ELEMENT_STEP);
    runStrip<K, T>(access, coefficients, count, lanes);
    for (int o = 0; o < OPERANDS<K>; ++o) {
      if (!(staged & 1u << o) || !isWritten<K>(o)) continue;
      const int64_t size = bytesOf(work.type[o]);
      if (size == Access::bytesOf(o))
        stream(work.memory[o] + begin * size, reinterpret_cast<const char*>(staging[o]), count * size);
      else
        narrow(staging[o], elements[o], begin, count, bypasses<K>(work, o));
    }
  }
}

template <class K>
void runFloat64(const ChunkWork& work, const Vector<double>* coefficients, double (*lanes)[LANES]) {
  unsigned staged = 0;
  for (int o = 0; o < OPERANDS<K>; ++o)
    if (o != SELECTION_AT<K> && (bypasses<K>(work, o) || work.type[o] != FLOAT64)) staged |= 1u << o;
  Own<K, double> access;
  strips<K>(work, staged, access, coefficients, lanes);
}

// Operands that are to bypass the caches but are not aligned to registers are staged, beside those that are given.
template <class K, unsigned HALVES, bool FAR = false>
void runFloat32(const ChunkWork& work, unsigned staged, const Vector<float>* coefficients, float (*lanes)[LANES]) {
  [[maybe_unused]] const Constants constants;
  Halves<K, HALVES, FAR> access = {};
  access.found = work.beyondCaches;
  access.stochastic = work.stochastic & HALVES;
  if (HALVES != 0) access.constants = &constants;
  for (int o = 0; o < OPERANDS<K>; ++o)
    if (bypasses<K>(work, o) && !(staged & 1u << o))
      (reinterpret_cast<uintptr_t>(work.memory[o]) % VECTOR_BYTES == 0 ? access.past : staged) |= 1u << o;
  strips<K>(work, staged, access, coefficients, lanes);
}

// There are forms of a kernel for the usual combinations of types, in which nothing is staged, and one for memory beyond the caches. Processors
// that have no more than SSE2 do without, and those without AVX-512 have fewer, as every form takes the compiler its time.
template <class K>
void runFloat32(const ChunkWork& work, const Vector<float>* coefficients, float (*lanes)[LANES]) {
  unsigned halves = 0, unusual = 0;
  for (int o = 0; o < OPERANDS<K>; ++o) {
    const unsigned bit = 1u << o;
    if (o == SELECTION_AT<K> || work.type[o] == FLOAT32) continue;
    const bool usual = work.type[o] == BFLOAT16 && !(work.rest && K::OPERANDS[o].place == PARAMETER);
    (usual ? halves : unusual) |= bit;
  }
#if defined(__AVX2__)
  if (halves != 0 && unusual == 0) {
    if (halves == STATE_IS_HALF<K>) return runFloat32<K, STATE_IS_HALF<K>>(work, 0, coefficients, lanes);
#if defined(__AVX512F__)
    if (halves == MODEL_IS_HALF<K>) return runFloat32<K, MODEL_IS_HALF<K>>(work, 0, coefficients, lanes);
#endif
    if (halves == ALL_ARE_HALF<K>) return runFloat32<K, ALL_ARE_HALF<K>>(work, 0, coefficients, lanes);
  }
  if (work.beyondCaches) return runFloat32<K, 0, true>(work, halves | unusual, coefficients, lanes);
#endif
  runFloat32<K, 0, false>(work, halves | unusual, coefficients, lanes);
}

template <class K, class T>
void runChunk(const ChunkWork& work) {
  Vector<T> coefficients[COEFFICIENTS<K> + 1];
  for (int i = 0; i < COEFFICIENTS<K>; ++i) coefficients[i] = Vector<T>(static_cast<T>(work.coefficients[i]));
  alignas(64) T lanes[SUM_ARRAYS<K>][LANES] = {};
  if constexpr (sizeof(T) == 8)
    runFloat64<K>(work, coefficients, lanes);
  else
    runFloat32<K>(work, coefficients, lanes);
  for (int s = 0; s < SUMS<K>; ++s) work.sums[s] = addLanes(lanes[s]);
}

}  // namespace
}  // namespace steptuner
