// SPDX-License-Identifier: Apache-2.0
//
// The kernels of one family. Compiled once for each, with STEPTUNER_FAMILY naming it.
#include "../cpp/sweeps/family.h"
#include "harness.cuh"
#include "launches.h"

namespace steptuner {
namespace {

template <class K>
constexpr int periodCoefficient() {
  if constexpr (SELECTION_AT<K> >= 0) return K::PERIOD;
  return -1;
}

template <class K, Form FORM>
Launch launchOf() {
  return {periodCoefficient<K>(),
          [](Arguments& arguments, unsigned blocks, cudaStream_t stream) {
            void* pointers[] = {&arguments};
            return cudaLaunchKernel(sweepChunks<K, FORM>, dim3(blocks), dim3(THREADS), pointers, 0, stream);
          },
          [](int* blocks) { return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, sweepChunks<K, FORM>, THREADS, 0); }};
}

template <class... K>
LaunchList launchesOf(List<K...>) {
  static const Launches launches[] = {{{launchOf<K, PLAIN>(), launchOf<K, MIXED>(), launchOf<K, WIDE>()}}...};
  return {launches, sizeof...(K)};
}

}  // namespace

LaunchList STEPTUNER_JOIN(launches_, STEPTUNER_FAMILY)() { return launchesOf(Family{}); }

}  // namespace steptuner
