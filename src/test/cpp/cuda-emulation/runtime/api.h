// SPDX-License-Identifier: Apache-2.0
//
// What every function of the runtime API does around its own work.
#pragma once
#include <mutex>

#include "cuda_runtime.h"
#include "failure.h"
#include "race.h"

namespace cuda_emulation {

// There is one device and one mutex: of the host's threads one at a time is in the runtime, or runs a kernel.
race::Mutex& deviceMutex();

// Sets what cudaGetLastError returns on this OS thread.
void setLastError(cudaError_t error);

template <class Body>
cudaError_t api(const char* function, Body body) {
  cudaError_t error = plannedFailure(function);
  if (error == cudaSuccess) {
    std::lock_guard<race::Mutex> lock(deviceMutex());
    error = body();
  }
  if (error != cudaSuccess) setLastError(error);
  return error;
}

}  // namespace cuda_emulation
