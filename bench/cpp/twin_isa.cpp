// SPDX-License-Identifier: Apache-2.0
//
// The twins of one family of kernels for one instruction set: the same operands through the same harness, chunks, staging and streaming
// stores, and no arithmetic at all. Loads stay because an empty asm statement claims to use what they brought; stores stay because
// it claims to have changed it. A twin has no sums, so neither lanes nor trees of them either. What it keeps is what the harness does
// to move data: conversion of 16-bit elements, staging of streamed outputs.
//
// As in cpu/family.cpp the namespace is renamed for each instruction set, lest the linker merge functions of two of them.
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <utility>

#define STEPTUNER_RENAMED_(isa) steptuner_twin_##isa
#define STEPTUNER_RENAMED(isa) STEPTUNER_RENAMED_(isa)
#define steptuner STEPTUNER_RENAMED(STEPTUNER_ISA)

#include "sweeps/family.h"
#include "cpu/harness.h"

namespace steptuner {
namespace {

// The masks of a kernel that its twin shares: which operands are read and written, and of what they are part, by which the harness chooses how
// 16-bit operands are moved.
template <class K>
constexpr unsigned referenceMask() {
  unsigned mask = 0;
  for (int o = 0; o < OPERANDS<K>; ++o)
    if (K::OPERANDS[o].name == Name("reference")) mask |= 1u << o;
  return mask;
}

template <int COUNT>
constexpr Row<Operand, COUNT> twinOperands(unsigned reads, unsigned writes, unsigned parameter, unsigned gradient, unsigned reference,
                                           int selected) {
  Row<Operand, COUNT> all;
  for (int o = 0; o < COUNT; ++o) {
    const auto has = [&](unsigned mask) { return (mask >> o & 1) != 0; };
    const Place place = o == selected ? SELECTION : has(parameter) ? PARAMETER : has(gradient) ? GRADIENT : STATE;
    all.at[o] = {has(reference) ? "reference" : "", place, Access((has(reads) ? READ : NONE) | (has(writes) ? WRITE : NONE))};
  }
  return all;
}

// Kernels that move the same operands have one twin.
template <int COUNT, unsigned READS, unsigned WRITES, unsigned PARAMETERS, unsigned GRADIENTS, unsigned REFERENCES, int SELECTED,
          int PERIOD_AT>
struct Twin : Kernel {
  static constexpr auto OPERANDS = twinOperands<COUNT>(READS, WRITES, PARAMETERS, GRADIENTS, REFERENCES, SELECTED);
  enum { PERIOD = PERIOD_AT };

  template <class V>
  STEPTUNER_HD static void apply(V* r, const V*, V*) {
    keep(r, std::make_index_sequence<COUNT>());
  }

 private:
  // What a write-only output is a copy of.
  static constexpr int source() {
    for (int o = 0; o < COUNT; ++o)
      if (READS >> o & 1) return o;
    return 0;
  }

  template <class V, size_t... O>
  STEPTUNER_HD static void keep(V* r, std::index_sequence<O...>) {
    ((READS >> O & 1 ? void() : void(r[O] = r[source()])), ...);
    (claim(r[O]), ...);
  }

  template <class V>
  STEPTUNER_HD static void claim(V& value) {
    for (auto& part : value.v) asm volatile("" : "+x"(part));
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
using TwinOf = Twin<OPERANDS<K>, READ_MASK<K>, WRITE_MASK<K>, operandsAt<K>(PARAMETER), operandsAt<K>(GRADIENT), referenceMask<K>(),
                    SELECTION_AT<K>, periodAt<K>()>;

// Nothing here is measured in float64.
template <class... K>
ChunkFunctionList functionsOf(List<K...>) {
  static const ChunkFunctions functions[] = {{runChunk<TwinOf<K>, float>, nullptr}...};
  return {functions, sizeof...(K)};
}

}  // namespace
}  // namespace steptuner

extern "C" ChunkFunctionList STEPTUNER_CHUNK_FUNCTIONS(STEPTUNER_FAMILY, STEPTUNER_ISA)() {
  return steptuner::functionsOf(steptuner::Family{});
}
