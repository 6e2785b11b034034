// SPDX-License-Identifier: Apache-2.0
//
// The runtime API: what it says of itself, what it refuses, and the failures that tests can plan.
#include "check.h"

namespace {

__global__ void nothing() {}
__global__ void take(double) {}

void errorsHaveNames() {
  CHECK(strcmp(cudaGetErrorName(cudaErrorInvalidValue), "cudaErrorInvalidValue") == 0);
  CHECK(strcmp(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory") == 0);
  CHECK_EQUAL(static_cast<int>(cudaErrorInsufficientDriver), 35);
}

void lastErrorIsKeptUntilRead() {
  CHECK_EQUAL(cudaSetDevice(1), cudaErrorInvalidDevice);
  CHECK_EQUAL(cudaSetDevice(0), cudaSuccess);
  CHECK_EQUAL(cudaPeekAtLastError(), cudaErrorInvalidDevice);
  CHECK_EQUAL(cudaGetLastError(), cudaErrorInvalidDevice);
  CHECK_EQUAL(cudaGetLastError(), cudaSuccess);
}

void deviceDescribesItself() {
  int count = 0;
  CHECK_EQUAL(cudaGetDeviceCount(&count), cudaSuccess);
  CHECK_EQUAL(count, 1);
  cudaDeviceProp properties;
  CHECK_EQUAL(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  CHECK(properties.name[0] != 0);
  CHECK_EQUAL(properties.warpSize, 32);
  int multiprocessors = 0;
  CHECK_EQUAL(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0), cudaSuccess);
  CHECK_EQUAL(multiprocessors, properties.multiProcessorCount);
  int version = 0;
  CHECK_EQUAL(cudaRuntimeGetVersion(&version), cudaSuccess);
  CHECK_EQUAL(version, CUDART_VERSION);
}

void occupancyFollowsFromTheLimits() {
  int blocks = 0;
  CHECK_EQUAL(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, nothing, 256, 0), cudaSuccess);
  CHECK_EQUAL(blocks, 8);
  CHECK_EQUAL(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, nothing, 256, 40 * 1024), cudaSuccess);
  CHECK_EQUAL(blocks, 5);
  cudaFuncAttributes attributes;
  CHECK_EQUAL(cudaFuncGetAttributes(&attributes, nothing), cudaSuccess);
  CHECK_EQUAL(attributes.maxThreadsPerBlock, 1024);
}

void impossibleLaunchesAreRefused() {
  CHECK_EQUAL(launch(nothing, {0, 1}), cudaErrorInvalidConfiguration);
  CHECK_EQUAL(launch(nothing, {1, 1025}), cudaErrorInvalidConfiguration);
  CHECK_EQUAL(launch(nothing, {1, dim3(1, 1, 65)}), cudaErrorInvalidConfiguration);
  CHECK_EQUAL(launch(nothing, {dim3(1, 65536), 1}), cudaErrorInvalidConfiguration);
  CHECK_EQUAL(launch(nothing, {1, 1024, 48 * 1024}), cudaSuccess);
  CHECK_EQUAL(launch(nothing, {1, 1, 48 * 1024 + 1}), cudaErrorInvalidValue);
  CHECK_EQUAL(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 * 1024), cudaSuccess);
  CHECK_EQUAL(launch(nothing, {1, 1, 64 * 1024}), cudaSuccess);
  CHECK_EQUAL(launch(take, {1, 1, 64 * 1024}, 1.0), cudaErrorInvalidValue);
}

void memoryKnowsItsBounds() {
  char* memory;
  char host[16] = {};
  CHECK_EQUAL(cudaMalloc(&memory, 10), cudaSuccess);
  CHECK_EQUAL(cudaMemcpy(memory, host, 10, cudaMemcpyHostToDevice), cudaSuccess);
  CHECK_EQUAL(cudaMemcpy(memory, host, 11, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  CHECK_EQUAL(cudaMemset(memory + 5, 0, 6), cudaErrorInvalidValue);
  CHECK_EQUAL(cudaMemcpy(nullptr, host, 1, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  CHECK_EQUAL(cudaFree(memory + 1), cudaErrorInvalidValue);

  cudaPointerAttributes attributes;
  CHECK_EQUAL(cudaPointerGetAttributes(&attributes, memory + 9), cudaSuccess);
  CHECK_EQUAL(attributes.type, cudaMemoryTypeDevice);
  CHECK_EQUAL(cudaPointerGetAttributes(&attributes, host), cudaSuccess);
  CHECK_EQUAL(attributes.type, cudaMemoryTypeUnregistered);

  using AddressRange = int (*)(unsigned long long*, size_t*, unsigned long long);
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult status;
  CHECK_EQUAL(cudaGetDriverEntryPointByVersion("cuMemGetAddressRange", &entry, 12000, cudaEnableDefault, &status), cudaSuccess);
  CHECK_EQUAL(status, cudaDriverEntryPointSuccess);
  unsigned long long base = 0;
  size_t size = 0;
  CHECK_EQUAL(reinterpret_cast<AddressRange>(entry)(&base, &size, reinterpret_cast<unsigned long long>(memory + 9)), 0);
  CHECK(base == reinterpret_cast<unsigned long long>(memory) && size == 10);
  CHECK(reinterpret_cast<AddressRange>(entry)(&base, &size, reinterpret_cast<unsigned long long>(host)) != 0);
  CHECK_EQUAL(cudaGetDriverEntryPointByVersion("cuNothing", &entry, 12000, cudaEnableDefault, &status), cudaSuccess);
  CHECK_EQUAL(status, cudaDriverEntryPointSymbolNotFound);

  CHECK_EQUAL(cudaFree(memory), cudaSuccess);
  CHECK_EQUAL(cudaFree(memory), cudaErrorInvalidValue);
  CHECK_EQUAL(cudaFree(nullptr), cudaSuccess);
  CHECK_EQUAL(cudaMalloc(&memory, size_t{1} << 50), cudaErrorMemoryAllocation);
}

void failuresHappenAsPlanned() {
  void* memory = nullptr;
  cudaGetLastError();
  cudaEmulationFail("cudaMalloc", 2, cudaErrorMemoryAllocation);
  cudaEmulationFail("cudaLaunchKernel", 1, cudaErrorLaunchFailure);
  CHECK_EQUAL(cudaMalloc(&memory, 8), cudaSuccess);
  void* second = nullptr;
  CHECK_EQUAL(cudaMalloc(&second, 8), cudaErrorMemoryAllocation);
  CHECK(second == nullptr);
  CHECK_EQUAL(cudaGetLastError(), cudaErrorMemoryAllocation);
  CHECK_EQUAL(cudaMalloc(&second, 8), cudaSuccess);
  CHECK_EQUAL(launch(nothing, {1, 1}), cudaErrorLaunchFailure);
  CHECK_EQUAL(launch(nothing, {1, 1}), cudaSuccess);

  cudaEmulationFail("cudaMemset", 0, cudaErrorIllegalAddress);
  for (int i = 0; i < 3; ++i) CHECK_EQUAL(cudaMemset(memory, 0, 8), cudaErrorIllegalAddress);
  cudaEmulationRecover();
  CHECK_EQUAL(cudaMemset(memory, 0, 8), cudaSuccess);
  CHECK_EQUAL(cudaFree(memory), cudaSuccess);
  CHECK_EQUAL(cudaFree(second), cudaSuccess);
}

void noDriver(cudaError_t error) {
  int value = -1;
  void* memory;
  CHECK_EQUAL(cudaGetDeviceCount(&value), error);
  CHECK_EQUAL(value, 0);
  CHECK_EQUAL(cudaMalloc(&memory, 8), error);
  CHECK_EQUAL(cudaDriverGetVersion(&value), cudaSuccess);
  CHECK_EQUAL(value, 0);
}

void driverCanGoAndComeBack() {
  cudaEmulationNoDriver(cudaErrorNoDevice);
  noDriver(cudaErrorNoDevice);
  cudaEmulationNoDriver(0);
  deviceDescribesItself();
}

// CUDA_EMULATION_FAIL=cudaMalloc:2:2,cudaStreamCreate:1:999
void plannedByTheEnvironment() {
  void* memory;
  cudaStream_t stream;
  CHECK_EQUAL(cudaMalloc(&memory, 8), cudaSuccess);
  CHECK_EQUAL(cudaFree(memory), cudaSuccess);
  CHECK_EQUAL(cudaMalloc(&memory, 8), cudaErrorMemoryAllocation);
  CHECK_EQUAL(cudaStreamCreate(&stream), cudaErrorUnknown);
  CHECK_EQUAL(cudaStreamCreate(&stream), cudaSuccess);
}

}  // namespace

int main(int count, char** arguments) {
  const char* part = count > 1 ? arguments[1] : "";
  if (strcmp(part, "no-driver") == 0) {
    noDriver(cudaErrorInsufficientDriver);
  } else if (strcmp(part, "planned-failure") == 0) {
    plannedByTheEnvironment();
  } else {
    errorsHaveNames();
    lastErrorIsKeptUntilRead();
    deviceDescribesItself();
    occupancyFollowsFromTheLimits();
    impossibleLaunchesAreRefused();
    memoryKnowsItsBounds();
    failuresHappenAsPlanned();
    driverCanGoAndComeBack();
  }
  return failures != 0;
}
