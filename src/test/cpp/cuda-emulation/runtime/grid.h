// SPDX-License-Identifier: Apache-2.0
//
// Runs the blocks of a launch on a few OS threads.
#pragma once
#include "block.h"

namespace cuda_emulation {

// Returns when all blocks are done. One grid at a time.
void runGrid(const Grid& grid);

}  // namespace cuda_emulation
