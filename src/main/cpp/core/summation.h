// SPDX-License-Identifier: Apache-2.0
//
// The one order in which Step Tuner adds. Both harnesses follow it, so a sum has the same bits on every instruction set, with any
// number of threads, and on a GPU. T is the type that a tensor is computed in (float or double).
//
//   chunk    4096 consecutive elements of one tensor (the last one of a tensor may be shorter), counted from the tensor's start.
//   strip    512 consecutive elements of a chunk: 4 rows of 128.
//   lane     element i of a chunk belongs to lane i mod 128. Within a strip a lane starts at +0 and adds its terms row by row, in T;
//            over the chunk it starts at +0 and adds its strips in order, in T.
//   chunk    adds its 128 lanes as doubles by halves: lane l with l+64, then l+32, +16, ... +1.
//   segment  its chunks, numbered from 0, are dealt to 256 columns (chunk c to column c mod 256); a column starts at +0 and adds in
//            order; columns are then added by halves, as doubles: c with c+128, +64, ... +1.
//
// In CUDA a strip is what a warp does, a chunk is a block of 8 warps, and one warp adds the lanes of a sum. At most 11 additions in
// float lie between an element and a double. Elements and columns that are not there add nothing, which leaves the bits alone
// because no partial sum is ever -0.
#pragma once
#include "platform.h"

namespace steptuner {

constexpr int CHUNK = 4096;
constexpr int STRIP = 512;
constexpr int LANES = 128;
constexpr int STRIPS = CHUNK / STRIP;
constexpr int COLUMNS = 256;

// Adds values[i] and values[i + half] for half = COUNT/2 .. 1, where COUNT is a power of two; the sum is in values[0].
template <int COUNT>
double addHalves(double* values) {
  if constexpr (COUNT > 1) {
    for (int i = 0; i < COUNT / 2; ++i) values[i] = values[i] + values[i + COUNT / 2];
    return addHalves<COUNT / 2>(values);
  }
  return values[0];
}

}  // namespace steptuner
