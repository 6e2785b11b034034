// SPDX-License-Identifier: Apache-2.0
//
// How a strip of a chunk is reached: `Own` in float64, where every operand has the type of the computation, and `Halves` in float32, where
// some may be bfloat16 or lie beyond the caches.
#pragma once
#include "../core/kernel.h"
#include "half.h"
#include "isa.h"
#include "staging.h"
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
// stop at every page, and a formula keeps so many instructions waiting that loads further on do not come into view. More of them where
// elements are converted, which keeps still more instructions waiting.
constexpr int AHEAD = 2048, AHEAD_OF_HALVES = 3072;
constexpr int LINE = 64;

// A sweep that reads one array alone is faster without: the processor's prefetchers fetch further ahead by themselves.
template <class K>
constexpr bool FETCHES = (READ_MASK<K> & (READ_MASK<K> - 1)) != 0;

// The bytes of a vector of elements of a size, from element `at` on, some way ahead.
template <int SIZE, int DISTANCE>
STEPTUNER_HD void fetch(const char* operand, int at) {
  constexpr int BYTES = Vector<float>::WIDTH * SIZE;
  if (BYTES < LINE && at * SIZE % LINE != 0) return;
  for (int line = 0; line < BYTES; line += LINE) __builtin_prefetch(operand + at * SIZE + DISTANCE + line);
}

// Copies bytes < 2 PART, a multiple of 4.
template <int PART>
STEPTUNER_HD void copyParts(char* to, const char* from, int bytes) {
  const int part = bytes & PART;
  if (part) __builtin_memcpy(to, from, PART);
  if constexpr (PART > 4) copyParts<PART / 2>(to + part, from + part, bytes);
}

// Called, not inlined: within the last step of every kernel this would be half of the library.
template <class T>
__attribute__((noinline)) void copyBlock(T* to, const T* from, int count) {
  copyParts<(Vector<T>::WIDTH * int(sizeof(T)) / 2)>(reinterpret_cast<char*>(to), reinterpret_cast<const char*>(from),
                                                     count * int(sizeof(T)));
}

// Fewer elements than a vector has, from element `at` on, and back.
template <class T>
STEPTUNER_HD void loadSome(const Elements& from, T* to, int at, int count) {
  if (bytesOf(from.type) == int(sizeof(T))) return copyBlock(to, reinterpret_cast<const T*>(from.memory) + at, count);
  widen(from, at, to, count);
}

template <class T>
STEPTUNER_HD void storeSome(const Elements& to, const T* from, int at, int count) {
  if (bytesOf(to.type) == int(sizeof(T))) return copyBlock(reinterpret_cast<T*>(to.memory) + at, from, count);
  narrow(from, to, at, count);
}

template <class K, class T>
struct Own {
  using V = Vector<T>;
  T* operand[OPERANDS<K>];

  static constexpr int bytesOf(int) { return sizeof(T); }

  STEPTUNER_HD Elements elements(int o) const { return {reinterpret_cast<char*>(operand[o]), nullptr, typeOf<T>(), false, 0, 0}; }

  template <size_t O>
  STEPTUNER_HD V load(int at) const {
    return V::load(operand[O] + at);
  }
  STEPTUNER_HD void fetchAhead(int) const {}
  STEPTUNER_HD void beginAt(uint32_t) {}
  template <size_t... O>
  STEPTUNER_HD void store(const V* r, int at, std::index_sequence<O...>) const {
    ((isWritten<K>(O) ? r[O].store(operand[O] + at) : void()), ...);
  }
};

// Operands, as bits, that are bfloat16 where state is stored so, beside float32 parameters and gradients. A reference is as parameters are.
template <class K>
constexpr unsigned halfState() {
  unsigned mask = 0;
  for (int o = 0; o < OPERANDS<K>; ++o)
    if (K::OPERANDS[o].place == STATE && !(K::OPERANDS[o].name == Name("reference"))) mask |= 1u << o;
  return mask;
}
template <class K>
constexpr unsigned STATE_IS_HALF = halfState<K>();
// Those that are where parameters and gradients are, and where everything is.
template <class K>
constexpr unsigned MODEL_IS_HALF = operandsAt<K>(PARAMETER) | operandsAt<K>(GRADIENT);
template <class K>
constexpr unsigned ALL_ARE_HALF = MODEL_IS_HALF<K> | STATE_MASK<K>;

// HALVES: the operands, as bits, that are bfloat16; all others are float32. FAR: they lie beyond the caches; where some are bfloat16, that is
// asked at run time, because every form takes the compiler its time, and these are slower within the caches anyhow.
template <class K, unsigned HALVES, bool FAR>
struct Halves {
  using V = Vector<float>;

  char* operand[OPERANDS<K>];
  unsigned stochastic;  // operands, as bits, that are written stochastically
  unsigned past;        // written past the caches
  uint32_t key;         // of element 0 among random bits
  bool found;           // beyond the caches
  const Constants* constants;

  static constexpr int bytesOf(int o) { return HALVES & 1u << o ? 2 : 4; }

  STEPTUNER_HD bool isFar() const { return HALVES == 0 ? FAR : found; }

  STEPTUNER_HD void beginAt(uint32_t keyOfStrip) { key = keyOfStrip; }

  STEPTUNER_HD Elements elements(int o) const {
    const unsigned bit = 1u << o;
    return {operand[o], nullptr, HALVES & bit ? BFLOAT16 : FLOAT32, (stochastic & bit) != 0, roundingPlace<K>(o), key};
  }

  template <size_t O>
  STEPTUNER_HD V load(int at) const {
    if constexpr (HALVES & 1u << O)
      return loadBfloat16(reinterpret_cast<const uint16_t*>(operand[O]) + at, *constants);
    else
      return V::load(reinterpret_cast<const float*>(operand[O]) + at);
  }

  template <size_t... O>
  STEPTUNER_HD void fetchAll(int at, std::index_sequence<O...>) const {
    constexpr int DISTANCE = HALVES == 0 ? AHEAD : AHEAD_OF_HALVES;
    ((isRead<K>(O) ? fetch<(HALVES & 1u << O ? 2 : 4), DISTANCE>(operand[O], at) : void()), ...);
  }

  STEPTUNER_HD void fetchAhead(int at) const {
    if constexpr (FETCHES<K>)
      if (isFar()) fetchAll(at, std::make_index_sequence<OPERANDS<K>>());
  }

  template <size_t O>
  STEPTUNER_HD void storeOne(const V& value, int at, [[maybe_unused]] const Pair& words) const {
    const bool passes = !isRead<K>(O) && isFar() && (past & 1u << O);
    if constexpr (HALVES & 1u << O) {
      uint16_t* const to = reinterpret_cast<uint16_t*>(operand[O]) + at;
      if (K::OPERANDS[O].place == PARAMETER && !(stochastic & 1u << O))
        storeBfloat16(value, to, passes, *constants);
      else
        storeBfloat16(value, to, passes, *constants, words, roundingPlace<K>(O));
    } else {
      float* const to = reinterpret_cast<float*>(operand[O]) + at;
      passes ? value.stream(to) : value.store(to);
    }
  }

  template <size_t... O>
  STEPTUNER_HD void store(const V* r, int at, std::index_sequence<O...>) const {
    Pair words = {};
    if constexpr (WRITE_MASK<K> & HALVES)
      if (stochastic != 0) words = wordsOf(key + static_cast<uint32_t>(at) * ELEMENT_STEP, *constants);
    ((isWritten<K>(O) ? storeOne<O>(r[O], at, words) : void()), ...);
  }
};

}  // namespace
}  // namespace steptuner
