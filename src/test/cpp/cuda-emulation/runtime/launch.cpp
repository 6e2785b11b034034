// SPDX-License-Identifier: Apache-2.0
//
// Launches, and what is known of kernels.
#include <algorithm>
#include <map>

#include "api.h"
#include "device.h"
#include "grid.h"
#include "streams.h"

namespace cuda_emulation {
namespace {

std::map<const void*, size_t>& dynamicSharedLimits() {
  static auto& limits = *new std::map<const void*, size_t>;
  return limits;
}

size_t dynamicSharedLimit(const void* function) {
  const auto found = dynamicSharedLimits().find(function);
  return found == dynamicSharedLimits().end() ? SHARED_BYTES_IN_BLOCK : found->second;
}

bool valid(const dim3& grid, const dim3& block) {
  const auto within = [](unsigned n, unsigned limit) { return n >= 1 && n <= limit; };
  return within(grid.x, 0x7fffffff) && within(grid.y, 65535) && within(grid.z, 65535) && within(block.x, MAX_THREADS_IN_BLOCK) &&
         within(block.y, MAX_THREADS_IN_BLOCK) && within(block.z, 64) && block.x * block.y * block.z <= MAX_THREADS_IN_BLOCK;
}

}  // namespace

cudaError_t launch(const void* function, std::unique_ptr<Kernel> kernel, dim3 grid, dim3 block, size_t sharedBytes, cudaStream_t handle) {
  return api("cudaLaunchKernel", [&] {
    if (!function) return cudaErrorInvalidDeviceFunction;
    if (!valid(grid, block)) return cudaErrorInvalidConfiguration;
    if (sharedBytes > dynamicSharedLimit(function)) return cudaErrorInvalidValue;
    Stream* stream = streams().find(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    return streams().give(*stream, taskOf([g = Grid{kernel.get(), grid, block, sharedBytes, stream}, owner = std::move(kernel)] {
      runGrid(g);
      g.finished.acquire();
      g.leftovers.clear();
    }));
  });
}

}  // namespace cuda_emulation

using namespace cuda_emulation;

// Nothing is known of registers or static shared memory here.
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  return api("cudaFuncGetAttributes", [&] {
    if (!function) return cudaErrorInvalidDeviceFunction;
    *attributes = {};
    attributes->maxThreadsPerBlock = MAX_THREADS_IN_BLOCK;
    attributes->numRegs = 32;
    attributes->ptxVersion = attributes->binaryVersion = 90;
    attributes->maxDynamicSharedSizeBytes = static_cast<int>(dynamicSharedLimit(function));
    return cudaSuccess;
  });
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return api("cudaFuncSetAttribute", [&] {
    if (!function) return cudaErrorInvalidDeviceFunction;
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || static_cast<size_t>(value) > MAX_SHARED_BYTES_IN_BLOCK) {
      return cudaErrorInvalidValue;
    }
    dynamicSharedLimits()[function] = static_cast<size_t>(value);
    return cudaSuccess;
  });
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int blockThreads, size_t sharedBytes) {
  return api("cudaOccupancyMaxActiveBlocksPerMultiprocessor", [&] {
    if (!function) return cudaErrorInvalidDeviceFunction;
    if (blockThreads < 1) return cudaErrorInvalidValue;
    const int warps = (blockThreads + warpSize - 1) / warpSize;
    *blocks = std::min(MAX_THREADS_IN_MULTIPROCESSOR / (warps * warpSize), MAX_BLOCKS_IN_MULTIPROCESSOR);
    if (sharedBytes) *blocks = std::min(*blocks, static_cast<int>(SHARED_BYTES_IN_MULTIPROCESSOR / sharedBytes));
    if (blockThreads > MAX_THREADS_IN_BLOCK || sharedBytes > dynamicSharedLimit(function)) *blocks = 0;
    return cudaSuccess;
  });
}
