// SPDX-License-Identifier: Apache-2.0
//
// What a launch of a sweep is told, and the sizes that host and device agree on.
#pragma once
#include "../cpp/core/plan.h"
#include "../cpp/core/summation.h"

namespace steptuner {

constexpr int THREADS = 32 * STRIPS;
constexpr int STRIP_ROWS = STRIP / LANES;
// Coefficients up to this many doubles travel with the launch; more of them are copied to the device first.
constexpr int INLINE_COEFFICIENTS = 256;
// Up to this many segments are added by the last block.
constexpr int LAST_BLOCK_SEGMENTS = 16;
// Sums whose lanes are in shared memory at a time.
constexpr int SUM_BATCH = 4;

struct Arguments {
  const Tensor* tensors;
  const Chunk* chunks;
  const int32_t* list;  // the chunks of this launch, or null for all
  int64_t count;        // chunks of this launch
  const Segment* segments;
  int32_t segmentCount;
  int32_t operands;
  int32_t place[MAX_OPERANDS];
  char* slot[MAX_OPERANDS];
  const double* coefficientRows;  // null where they are inline
  double* chunkSums;
  double* sumRows;   // host memory
  unsigned* ticket;  // blocks that are done; 0 between launches
  uint64_t* told;    // host memory, where the number of this launch is written behind its sums; null if nobody polls it
  uint64_t number;
  bool backwards;
  bool finish;  // the last block adds the chunk sums
  double inlineRows[INLINE_COEFFICIENTS];
};
static_assert(sizeof(Arguments) <= 4096, "more than every GPU takes with a launch");

}  // namespace steptuner
