// SPDX-License-Identifier: Apache-2.0
#include "instruction_sets.h"
#include "../sweeps/kernels.h"

// Weak: a library may be built with some of the sets only, and the others are null then.
#define STEPTUNER_DECLARE(family)                                                               \
  extern "C" __attribute__((weak)) ChunkFunctionList STEPTUNER_CHUNK_FUNCTIONS(family, sse2)(); \
  extern "C" __attribute__((weak)) ChunkFunctionList STEPTUNER_CHUNK_FUNCTIONS(family, avx2)(); \
  extern "C" __attribute__((weak)) ChunkFunctionList STEPTUNER_CHUNK_FUNCTIONS(family, avx512)();
STEPTUNER_FAMILIES(STEPTUNER_DECLARE)

namespace steptuner {
namespace {

using Family = ChunkFunctionList (*)();

InstructionSet join(const char* name, bool supported, std::initializer_list<Family> families) {
  InstructionSet joined = {name, true, supported, {}};
  for (const Family family : families) {
    if (!family) return {name, false, supported, {}};
    const ChunkFunctionList list = family();
    const ChunkFunctions* const first = static_cast<const ChunkFunctions*>(list.first);
    joined.functions.insert(joined.functions.end(), first, first + list.count);
  }
  return joined;
}

// The narrowest first.
const std::vector<InstructionSet>& instructionSets() {
#define STEPTUNER_SSE2(family) STEPTUNER_CHUNK_FUNCTIONS(family, sse2),
#define STEPTUNER_AVX2(family) STEPTUNER_CHUNK_FUNCTIONS(family, avx2),
#define STEPTUNER_AVX512(family) STEPTUNER_CHUNK_FUNCTIONS(family, avx512),
  static const std::vector<InstructionSet> sets = {
      join("sse2", true, {STEPTUNER_FAMILIES(STEPTUNER_SSE2)}),
      join("avx2", __builtin_cpu_supports("x86-64-v3") != 0, {STEPTUNER_FAMILIES(STEPTUNER_AVX2)}),
      join("avx512", __builtin_cpu_supports("x86-64-v4") != 0, {STEPTUNER_FAMILIES(STEPTUNER_AVX512)})};
  return sets;
}

const char* whyNot(const InstructionSet& set) {
  if (!set.built) return " (not built into this library)";
  return set.supported ? "" : " (not on this processor)";
}

}  // namespace

const InstructionSet* findInstructionSet(const std::string& name) {
  const InstructionSet* best = nullptr;
  for (const InstructionSet& set : instructionSets())
    if (set.usable() && (name.empty() || name == set.name)) best = &set;
  return best;
}

std::string describeInstructionSets() {
  std::string all;
  for (const InstructionSet& set : instructionSets()) all += std::string(all.empty() ? "" : ", ") + set.name + whyNot(set);
  return all;
}

}  // namespace steptuner
