// SPDX-License-Identifier: Apache-2.0
//
// The instruction sets that the CPU harness is compiled for.
#pragma once
#include "../sweep/kernel.h"

namespace steptuner {

// One chunk of one bound kernel.
struct ChunkWork {
  char* memory[MAX_OPERANDS];
  int32_t type[MAX_OPERANDS];
  int32_t count;
  int64_t begin;  // the chunk's first element in its tensor
  bool beyondCaches;  // a step goes through more than the caches hold
  const double* coefficients;
  double* sums;
};

using ChunkFunction = void (*)(const ChunkWork&);

struct ChunkFunctions {
  ChunkFunction float32;
  ChunkFunction float64;
};

}  // namespace steptuner

// ChunkFunctions[kernels]: one row per kernel of the table.
extern "C" {
const void* steptuner_chunk_functions_sse2();
const void* steptuner_chunk_functions_avx2();
const void* steptuner_chunk_functions_avx512();
}
