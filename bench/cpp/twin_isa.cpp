// SPDX-License-Identifier: Apache-2.0
//
// The twin of every kernel for one instruction set: the same operands through the same harness, chunks, staging and streaming
// stores, and no arithmetic at all. Loads stay because an empty asm statement claims to use what they brought; stores stay because
// it claims to have changed it. A twin has no sums, so neither lanes nor trees of them either. What it keeps is what the harness does
// to move data: conversion of 16-bit elements, staging of streamed outputs.
//
// As in cpu/isa.cpp the namespace is renamed for each instruction set, lest the linker merge functions of two of them.
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <utility>

#define STEPTUNER_JOIN(a, b) a##b
#define STEPTUNER_NAME(a, b) STEPTUNER_JOIN(a, b)
#define steptuner STEPTUNER_NAME(steptuner_twin_, STEPTUNER_ISA)

#include "cpu/harness.h"

namespace steptuner {
namespace {

// Kernels that move the same operands have one twin.
template <int COUNT, unsigned READS, unsigned WRITES, int SELECTED, int PERIOD_AT>
struct Twin {
  enum { OPERANDS = COUNT, COEFFICIENTS = 0, SUMS = 0, PERIOD = PERIOD_AT };
  static constexpr Operand operand(int i) {
    return {"", i == SELECTED ? SELECTION : STATE, Access((READS >> i & 1 ? READ : NONE) | (WRITES >> i & 1 ? WRITE : NONE))};
  }

  template <class V>
  STEPTUNER_HD static void apply(V* r, const V*, V*) {
    keep(r, std::make_index_sequence<OPERANDS>());
  }

 private:
  // What a write-only output is a copy of.
  static constexpr int source() {
    for (int o = 0; o < OPERANDS; ++o)
      if (reads(operand(o))) return o;
    return 0;
  }

  template <class V, size_t... O>
  STEPTUNER_HD static void keep(V* r, std::index_sequence<O...>) {
    ((reads(operand(O)) ? void() : void(r[O] = r[source()])), ...);
    ([&] { for (auto& part : r[O].v) asm volatile("" : "+x"(part)); }(), ...);
  }
};

template <class K>
constexpr int periodAt() {
  if constexpr (SELECTION_AT<K> >= 0)
    return K::PERIOD;
  else
    return 0;
}

template <class K>
using TwinOf = Twin<K::OPERANDS, READ_MASK<K>, WRITE_MASK<K>, SELECTION_AT<K>, periodAt<K>()>;

// Nothing here is measured in float64.
template <class... K>
const ChunkFunctions* functionsOf(List<K...>) {
  static const ChunkFunctions functions[] = {{runChunk<TwinOf<K>, float>, nullptr}...};
  return functions;
}

}  // namespace
}  // namespace steptuner

extern "C" const void* STEPTUNER_NAME(steptuner_chunk_functions_, STEPTUNER_ISA)() {
  return steptuner::functionsOf(steptuner::Kernels{});
}
