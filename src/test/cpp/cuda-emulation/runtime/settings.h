// SPDX-License-Identifier: Apache-2.0
//
// What the environment asks for, read once. Described in ../README.md.
#pragma once

namespace cuda_emulation {

struct Settings {
  unsigned workers;          // CUDA_EMULATION_WORKERS: OS threads that run blocks, the launching one included
  unsigned shuffle;          // CUDA_EMULATION_SHUFFLE: not 0: blocks and threads start in an order drawn from this number
  unsigned multiprocessors;  // CUDA_EMULATION_MULTIPROCESSORS: what the device says it has
  bool deferred;             // CUDA_EMULATION_ASYNC: work waits in its stream until someone waits for it
  bool atomicsAcquire;       // CUDA_EMULATION_ATOMICS_ACQUIRE: for ThreadSanitizer, a fence after an atomic read is not needed
};

const Settings& settings();

}  // namespace cuda_emulation
