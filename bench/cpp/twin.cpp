// SPDX-License-Identifier: Apache-2.0
//
// The twin as a device library: the product's CPU backend, linked with the kernels of twin_isa.cpp. Its device index is the number
// of threads (0: one per processor), since that is the number that Device.fromLibrary hands in.
#include "core/backend.h"
#include <stdlib.h>

namespace {

st_status open(int32_t index, int32_t, const char*, steptuner::Explain explain, void** device) {
  const char* isa = getenv("STEPTUNER_ISA");
  return steptuner::cpuBackend()->open(0, index, isa ? isa : "", explain, device);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) const steptuner::Backend* steptuner_backend() {
  static const steptuner::Backend twin = [] {
    steptuner::Backend backend = *steptuner::cpuBackend();
    backend.open = open;
    return backend;
  }();
  return &twin;
}
