// SPDX-License-Identifier: Apache-2.0
//
// The instruction sets that the CPU harness is compiled for.
#pragma once
#include "../core/kernel.h"
#include <stddef.h>

namespace steptuner {

// One chunk of one bound kernel.
struct ChunkWork {
  char* memory[MAX_OPERANDS];
  int32_t type[MAX_OPERANDS];
  char* rest;  // of a parameter in parts; mostly null
  int32_t count;
  int64_t begin;        // the chunk's first element in its tensor
  bool beyondCaches;    // a step goes through more than the caches hold
  unsigned stochastic;  // operands, as bits, that are written stochastically where they have 16 bits
  uint32_t key;         // of the chunk among random bits, see rounding.h
  const double* coefficients;
  double* sums;
  // Memory to ask for meanwhile, because it is wanted next, and how much of it for each element; mostly null.
  const char* next;
  int32_t nextBytes;
};

using ChunkFunction = void (*)(const ChunkWork&);

struct ChunkFunctions {
  ChunkFunction float32;
  ChunkFunction float64;
};

}  // namespace steptuner

// ChunkFunctions of the kernels of one family, in their order. Without a type, as every instruction set has the types of a namespace of its
// own.
extern "C" {
struct ChunkFunctionList {
  const void* first;
  size_t count;
};
}

#define STEPTUNER_CHUNK_FUNCTIONS_(family, isa) steptuner_chunk_functions_##family##_##isa
#define STEPTUNER_CHUNK_FUNCTIONS(family, isa) STEPTUNER_CHUNK_FUNCTIONS_(family, isa)
