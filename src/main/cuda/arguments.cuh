// SPDX-License-Identifier: Apache-2.0
//
// What a launch of a sweep is told, and the sizes that host and device agree on.
#pragma once
#include "../cpp/core/plan.h"
#include "../cpp/core/summation.h"

namespace steptuner {

constexpr int THREADS = 32 * STRIPS;
constexpr int STRIP_ROWS = STRIP / LANES;
// Of a chunk in parts, each warp of a part has one row.
constexpr int PARTS = STRIP_ROWS;
// Coefficients up to this many bytes travel with the launch; more of them are copied to the device first.
constexpr int INLINE_BYTES = 2048;
// Up to this many segments are added by the last block.
constexpr int LAST_BLOCK_SEGMENTS = 16;

// Tensors up to this many travel with the launch too: at the start of a sweep nothing else would be under way while tables are read.
constexpr int INLINE_TENSORS = 8;

static_assert(MOST_ELEMENTS / CHUNK * PARTS <= INT32_MAX, "chunks and their parts are counted in 32 bits");

struct Arguments {
  const Tensor* tensors;
  const Chunk* chunks;
  const int32_t* list;  // the chunks of this launch, or null for all
  int32_t count;        // chunks of this launch, or their parts: there are at most 2^28 chunks
  const Segment* segments;
  int32_t segmentCount;
  int32_t inlineTensors;  // how many there are of `tensor`, all or none
  char* slot[MAX_OPERANDS];
  int8_t storage[MAX_OPERANDS];   // of the slots
  char* rest;                     // the slot with the rest of parameters in parts; mostly null
  uint64_t key;                   // of this step among random bits, or of the sweep where `step` is there
  const int64_t* step;            // on the device; null where the host knows the step
  unsigned stochastic;            // operands, as bits, that are written stochastically where they have 16 bits
  const double* coefficientRows;  // null where they are inline
  double* chunkSums;
  double* sumRows;   // host memory
  unsigned* ticket;  // blocks that are done; 0 between launches
  uint64_t* told;    // host memory, where the number of this launch is written behind its sums; null if nobody polls it
  uint64_t number;
  const int32_t* go;  // on the device: 0 there, and the launch does nothing. Null: it always goes
  bool backwards;
  bool finish;   // the last block adds the chunk sums
  bool inParts;  // a block takes a part of a chunk at a time; only sweeps without sums can
  int32_t firstChunk[INLINE_TENSORS];
  Tensor tensor[INLINE_TENSORS];
  Segment segment[LAST_BLOCK_SEGMENTS];                // if the last block adds them
  alignas(16) unsigned char inlineRows[INLINE_BYTES];  // of the type that the kernel computes in
};
static_assert(sizeof(Arguments) <= 4096, "more than every GPU takes with a launch");

// A period among the coefficients of a launch.
template <class T>
T periodAs(double coefficient) {
  if constexpr (sizeof(T) == 8)
    return static_cast<T>(periodOf(coefficient));
  else
    return bitCast<T>(periodOf(coefficient));
}

STEPTUNER_HD uint32_t periodFrom(float number) { return bitCast<uint32_t>(number); }
STEPTUNER_HD uint32_t periodFrom(double number) { return static_cast<uint32_t>(number); }

}  // namespace steptuner
