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

template <class K>
struct Twin : K {  // the place of a period is the kernel's
  enum { OPERANDS = K::OPERANDS, COEFFICIENTS = 0, SUMS = 0 };
  static constexpr Operand operand(int i) { return K::operand(i); }

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
    ([&] { asm volatile("" : "+x"(r[O].v)); }(), ...);
  }
};

// Nothing here is measured in float64.
template <class... K>
const ChunkFunctions* functionsOf(List<K...>) {
  static const ChunkFunctions functions[] = {{runChunk<Twin<K>, float>, nullptr}...};
  return functions;
}

}  // namespace
}  // namespace steptuner

extern "C" const void* STEPTUNER_NAME(steptuner_chunk_functions_, STEPTUNER_ISA)() {
  return steptuner::functionsOf(steptuner::Kernels{});
}
