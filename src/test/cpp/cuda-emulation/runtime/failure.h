// SPDX-License-Identifier: Apache-2.0
//
// Failures that a test has asked for.
#pragma once
#include "cuda_runtime.h"

namespace cuda_emulation {

// What this call of `function` has to fail with, or cudaSuccess. Counts the call.
cudaError_t plannedFailure(const char* function);
bool driverMissing();

}  // namespace cuda_emulation
