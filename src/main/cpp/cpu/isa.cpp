// SPDX-License-Identifier: Apache-2.0
//
// All kernels for one instruction set. Compiled once per set, each time with STEPTUNER_ISA naming it and the compiler told to use it.
// The whole namespace is renamed with it: were the functions of two sets to share a name, the linker would keep one of them for
// both, and it might be the one that this processor cannot run.
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <math.h>
#include <utility>

#define STEPTUNER_JOIN(a, b) a##b
#define STEPTUNER_NAME(a, b) STEPTUNER_JOIN(a, b)
#define steptuner STEPTUNER_NAME(steptuner_, STEPTUNER_ISA)

#include "harness.h"

namespace steptuner {
namespace {

template <class... K>
const ChunkFunctions* functionsOf(List<K...>) {
  static const ChunkFunctions functions[] = {{runChunk<K, float>, runChunk<K, double>}...};
  return functions;
}

}  // namespace
}  // namespace steptuner

extern "C" const void* STEPTUNER_NAME(steptuner_chunk_functions_, STEPTUNER_ISA)() {
  return steptuner::functionsOf(steptuner::Kernels{});
}
