// SPDX-License-Identifier: Apache-2.0
//
// The kernels of one family for one instruction set. Compiled once for each of both, with STEPTUNER_FAMILY and STEPTUNER_ISA naming them and
// the compiler told to use the set. The whole namespace is renamed with it: were the functions of two sets to share a name, the linker
// would keep one of them for both, and it might be the one that this processor cannot run.
#include <immintrin.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <utility>

#define STEPTUNER_RENAMED_(isa) steptuner_##isa
#define STEPTUNER_RENAMED(isa) STEPTUNER_RENAMED_(isa)
#define steptuner STEPTUNER_RENAMED(STEPTUNER_ISA)

#include "../sweeps/family.h"
#include "harness.h"

namespace steptuner {
namespace {

template <class... K>
ChunkFunctionList functionsOf(List<K...>) {
  static const ChunkFunctions functions[] = {{runChunk<K, float>, runChunk<K, double>}...};
  return {functions, sizeof...(K)};
}

}  // namespace
}  // namespace steptuner

extern "C" ChunkFunctionList STEPTUNER_CHUNK_FUNCTIONS(STEPTUNER_FAMILY, STEPTUNER_ISA)() {
  return steptuner::functionsOf(steptuner::Family{});
}
