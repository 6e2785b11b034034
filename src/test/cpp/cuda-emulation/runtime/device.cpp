// SPDX-License-Identifier: Apache-2.0
//
// Errors, versions, and what the device says of itself.
#include "device.h"

#include <stdio.h>

#include "api.h"
#include "settings.h"

namespace cuda_emulation {
namespace {

__thread cudaError_t lastError;

cudaDeviceProp describe() {
  cudaDeviceProp p{};
  snprintf(p.name, sizeof(p.name), "CUDA emulation");
  p.totalGlobalMem = DEVICE_MEMORY;
  p.sharedMemPerBlock = SHARED_BYTES_IN_BLOCK;
  p.sharedMemPerBlockOptin = MAX_SHARED_BYTES_IN_BLOCK;
  p.sharedMemPerMultiprocessor = SHARED_BYTES_IN_MULTIPROCESSOR;
  p.regsPerBlock = p.regsPerMultiprocessor = 65536;
  p.warpSize = warpSize;
  p.maxThreadsPerBlock = MAX_THREADS_IN_BLOCK;
  p.maxThreadsDim[0] = p.maxThreadsDim[1] = MAX_THREADS_IN_BLOCK;
  p.maxThreadsDim[2] = 64;
  p.maxGridSize[0] = 0x7fffffff;
  p.maxGridSize[1] = p.maxGridSize[2] = 65535;
  p.totalConstMem = 64 * 1024;
  p.major = 9;
  p.multiProcessorCount = static_cast<int>(settings().multiprocessors);
  p.canMapHostMemory = p.concurrentKernels = p.unifiedAddressing = p.pageableMemoryAccess = p.asyncEngineCount = 1;
  p.memoryBusWidth = 512;
  p.l2CacheSize = 4 << 20;
  p.maxThreadsPerMultiProcessor = MAX_THREADS_IN_MULTIPROCESSOR;
  p.maxBlocksPerMultiProcessor = MAX_BLOCKS_IN_MULTIPROCESSOR;
  p.memoryPoolsSupported = 1;
  return p;
}

bool attributeOf(const cudaDeviceProp& p, cudaDeviceAttr attribute, int* value) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; return true;
    case cudaDevAttrMaxBlockDimX: *value = p.maxThreadsDim[0]; return true;
    case cudaDevAttrMaxGridDimX: *value = p.maxGridSize[0]; return true;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = static_cast<int>(p.sharedMemPerBlock); return true;
    case cudaDevAttrWarpSize: *value = p.warpSize; return true;
    case cudaDevAttrMaxRegistersPerBlock: *value = p.regsPerBlock; return true;
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; return true;
    case cudaDevAttrConcurrentKernels: *value = p.concurrentKernels; return true;
    case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; return true;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = p.maxThreadsPerMultiProcessor; return true;
    case cudaDevAttrUnifiedAddressing: *value = p.unifiedAddressing; return true;
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; return true;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; return true;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = static_cast<int>(p.sharedMemPerMultiprocessor); return true;
    case cudaDevAttrPageableMemoryAccess: *value = p.pageableMemoryAccess; return true;
    case cudaDevAttrCooperativeLaunch: *value = p.cooperativeLaunch; return true;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(p.sharedMemPerBlockOptin); return true;
    case cudaDevAttrMaxBlocksPerMultiprocessor: *value = p.maxBlocksPerMultiProcessor; return true;
    case cudaDevAttrMemoryPoolsSupported: *value = p.memoryPoolsSupported; return true;
  }
  return false;
}

}  // namespace

race::Mutex& deviceMutex() {
  static race::Mutex& mutex = *new race::Mutex;
  return mutex;
}

void setLastError(cudaError_t error) { lastError = error; }

}  // namespace cuda_emulation

using namespace cuda_emulation;

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define CUDA_EMULATION_NAME(name, number, text) \
  case name: return #name;
    CUDA_EMULATION_ERRORS(CUDA_EMULATION_NAME)
#undef CUDA_EMULATION_NAME
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
#define CUDA_EMULATION_TEXT(name, number, text) \
  case name: return text;
    CUDA_EMULATION_ERRORS(CUDA_EMULATION_TEXT)
#undef CUDA_EMULATION_TEXT
  }
  return "unrecognized error code";
}

cudaError_t cudaPeekAtLastError() { return lastError; }

cudaError_t cudaGetLastError() {
  const cudaError_t error = lastError;
  lastError = cudaSuccess;
  return error;
}

// Without a driver this one succeeds and says 0.
cudaError_t cudaDriverGetVersion(int* version) {
  *version = driverMissing() ? 0 : CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  return api("cudaGetDeviceCount", [&] {
    *count = 1;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return api("cudaGetDevice", [&] {
    *device = 0;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return api("cudaSetDevice", [&] { return device == 0 ? cudaSuccess : cudaErrorInvalidDevice; });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return api("cudaGetDeviceProperties", [&] {
    if (device != 0) return cudaErrorInvalidDevice;
    *properties = describe();
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return api("cudaDeviceGetAttribute", [&] {
    if (device != 0) return cudaErrorInvalidDevice;
    return attributeOf(describe(), attribute, value) ? cudaSuccess : cudaErrorInvalidValue;
  });
}
