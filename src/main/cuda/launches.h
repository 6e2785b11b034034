// SPDX-License-Identifier: Apache-2.0
//
// How the kernels of the table are launched.
#pragma once
#include "arguments.cuh"
#include <cuda_runtime.h>
#include <vector>

namespace steptuner {

struct Launch {
  int period;  // the coefficient that is the period of a selection; -1: none
  cudaError_t (*run)(Arguments& arguments, unsigned blocks, cudaStream_t stream);
  cudaError_t (*residentBlocks)(int* blocks);
};

// What all tensors of a launch are. MIXED is computed in float32 as PLAIN is, but some of its operands may have another type.
enum Form { PLAIN, MIXED, WIDE, FORMS };

// Of one row of the table.
struct Launches {
  Launch of[FORMS];
};

// Of one family of kernels.
struct LaunchList {
  const Launches* first;
  size_t count;
};

const std::vector<Launches>& allLaunches();

}  // namespace steptuner
