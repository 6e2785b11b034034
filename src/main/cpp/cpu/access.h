// SPDX-License-Identifier: Apache-2.0
//
// How a strip of a chunk is reached: `Own` where every operand has the type of the computation and is in the caches, `General` where some
// have 16 bits or lie beyond the caches. Which types there are is then asked for each operand and vector, by branches that always go the
// same way: forms of every kernel for all combinations would be too many, and the memory is slower than the branches.
#pragma once
#include "../core/kernel.h"
#include "half.h"
#include "isa.h"

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

// A sweep that reads one array alone is faster without: the processor's prefetchers fetch further ahead by themselves.
template <class K>
constexpr bool FETCHES = (READ_MASK<K> & (READ_MASK<K> - 1)) != 0;

// The bytes of a vector of elements of a size, from element `at` on, some way ahead.
template <int SIZE>
STEPTUNER_HD void fetch(const char* operand, int at) {
  constexpr int BYTES = Vector<float>::WIDTH * SIZE;
  if (BYTES < LINE && at * SIZE % LINE != 0) return;
  for (int line = 0; line < BYTES; line += LINE) __builtin_prefetch(operand + at * SIZE + AHEAD + line);
}

template <class K, class T>
struct Own {
  using V = Vector<T>;
  static constexpr bool IN_ROWS = true;  // whole strips have code of their own, see harness.h
  T* operand[OPERANDS<K>];

  template <size_t O>
  STEPTUNER_HD V load(int at) const {
    return V::load(operand[O] + at);
  }
  STEPTUNER_HD void fetchAhead(int) const {}
  template <size_t... O>
  STEPTUNER_HD void store(const V* r, int at, std::index_sequence<O...>) const {
    ((isWritten<K>(O) ? r[O].store(operand[O] + at) : void()), ...);
  }
};

// An operand, element by element.
struct Elements {
  char* memory;
  uint16_t* rest;  // null where the operand is not in parts
  int32_t type;
  bool stochastic;
  int place;  // among random bits
  uint32_t key;
};

// What a vector takes at once and these in turn has the same bits.
__attribute__((noinline)) inline void loadSome(const Elements& from, float* to, int at, int count) {
  for (int i = 0; i < count; ++i)
    to[i] = from.rest ? bitCast<float>(ofParts(reinterpret_cast<const uint16_t*>(from.memory)[at + i], from.rest[at + i]))
                      : load<float>(from.memory, from.type, at + i);
}

__attribute__((noinline)) inline void storeSome(const Elements& to, const float* from, int at, int count) {
  for (int i = at; i < at + count; ++i) {
    const float value = *from++;
    if (to.rest) {
      reinterpret_cast<uint16_t*>(to.memory)[i] = upperPart(bitCast<uint32_t>(value));
      to.rest[i] = restPart(bitCast<uint32_t>(value));
    } else if (to.type == FLOAT32) {
      reinterpret_cast<float*>(to.memory)[i] = value;
    } else {
      uint32_t word = firstWord(to.key + static_cast<uint32_t>(i) * ELEMENT_STEP);
      for (int w = 0; w < to.place / 2; ++w) word = nextWord(word);
      storeRounded(to.memory, to.type, i, value, to.stochastic, halfOf(word, to.place));
    }
  }
}

template <class K>
struct General {
  using V = Vector<float>;
  static constexpr bool IN_ROWS = false;
  static constexpr int WORDS = roundingWords<K>();

  char* operand[OPERANDS<K>];
  uint16_t* rest;       // of the parameter; mostly null
  unsigned halves;      // operands, as bits, that have 16 bits
  unsigned float16;     // of those, the ones that are float16
  unsigned stochastic;  // of those, the ones that are written stochastically
  unsigned past;        // written past the caches
  uint32_t key;         // of element 0 among random bits
  bool far;

  STEPTUNER_HD Elements elements(int o) const {
    const unsigned bit = 1u << o;
    const int32_t type = !(halves & bit) ? FLOAT32 : float16 & bit ? FLOAT16 : BFLOAT16;
    return {operand[o], K::OPERANDS[o].place == PARAMETER ? rest : nullptr, type, (stochastic & bit) != 0, roundingPlace<K>(o), key};
  }

  template <size_t O>
  STEPTUNER_HD V load(int at) const {
    if (!(halves & 1u << O)) return V::load(reinterpret_cast<const float*>(operand[O]) + at);
    const uint16_t* const from = reinterpret_cast<const uint16_t*>(operand[O]) + at;
    if constexpr (K::OPERANDS[O].place == PARAMETER)
      if (rest) return loadParts(from, rest + at);
    if constexpr (K::OPERANDS[O].place != STATE)
      if (float16 & 1u << O) return loadFloat16(from);
    return loadBfloat16(from);
  }

  template <size_t O>
  STEPTUNER_HD void fetchOne(int at) const {
    if (halves & 1u << O)
      fetch<2>(operand[O], at);
    else
      fetch<4>(operand[O], at);
  }

  template <size_t... O>
  STEPTUNER_HD void fetchAll(int at, std::index_sequence<O...>) const {
    ((isRead<K>(O) ? fetchOne<O>(at) : void()), ...);
  }

  STEPTUNER_HD void fetchAhead(int at) const {
    if constexpr (FETCHES<K>)
      if (far) fetchAll(at, std::make_index_sequence<OPERANDS<K>>());
  }

  template <size_t O>
  STEPTUNER_HD void storeOne(const V& value, int at, [[maybe_unused]] const Pair* words) const {
    constexpr int PLACE = roundingPlace<K>(O);
    const bool passes = !isRead<K>(O) && (past & 1u << O);
    if (!(halves & 1u << O)) {
      float* const to = reinterpret_cast<float*>(operand[O]) + at;
      passes ? value.stream(to) : value.store(to);
      return;
    }
    uint16_t* const to = reinterpret_cast<uint16_t*>(operand[O]) + at;
    if constexpr (K::OPERANDS[O].place == PARAMETER) {
      if (rest) return storeParts(value, to, rest + at);
      if (float16 & 1u << O) return storeFloat16(value, to, passes, stochastic & 1u << O, words[PLACE / 2], PLACE);
      if (!(stochastic & 1u << O)) return storeBfloat16(value, to, passes);
    }
    storeBfloat16(value, to, passes, words[PLACE / 2], PLACE);
  }

  template <size_t... O>
  STEPTUNER_HD void store(const V* r, int at, std::index_sequence<O...>) const {
    Pair words[WORDS + 1] = {};
    if (WORDS > 0 && stochastic != 0) {
      words[0] = firstWords(key + static_cast<uint32_t>(at) * ELEMENT_STEP);
      for (int w = 1; w < WORDS; ++w) words[w] = nextWords(words[w - 1]);
    }
    ((isWritten<K>(O) ? storeOne<O>(r[O], at, words) : void()), ...);
  }
};

}  // namespace
}  // namespace steptuner
