// SPDX-License-Identifier: Apache-2.0
//
// A CUDA GPU as a device. Linked with the runtime statically, so that the library loads anywhere and can say why it cannot run there.
// Every launch goes to the caller's stream; the current device is left as it was found.
#include "../cpp/core/memory_map.h"
#include "device.cuh"
#include <memory>
#include <string.h>

namespace steptuner {
namespace {

st_status open(int32_t index, int32_t, const char*, Explain explain, void** device) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    cudaGetLastError();
    int driver = 0;
    cudaDriverGetVersion(&driver);
    explain("no CUDA device: cudaGetDeviceCount: %s (%d): %s; %s", cudaGetErrorName(error), static_cast<int>(error),
            cudaGetErrorString(error), driver == 0 ? "there is no NVIDIA driver on this machine" : "the driver is too old or sees no GPU");
    return ST_NO_DEVICE;
  }
  if (index < 0 || index >= count) {
    explain("no CUDA device %d: there are %d, numbered from 0", index, count);
    return ST_NO_DEVICE;
  }
  cudaDeviceProp properties;
  STEPTUNER_CUDA(explain, cudaGetDeviceProperties(&properties, index));
  int pageable = 0;
  STEPTUNER_CUDA(explain, cudaDeviceGetAttribute(&pageable, cudaDevAttrPageableMemoryAccess, index));
  auto opened = std::make_unique<CudaDevice>();
  opened->index = index;
  opened->reachesHostMemory = pageable != 0;
  opened->processors = properties.multiProcessorCount;
  opened->explain = explain;
  opened->name = "CUDA device " + std::to_string(index) + ", " + properties.name + ", compute capability " +
                 std::to_string(properties.major) + "." + std::to_string(properties.minor);
  *device = opened.release();
  return ST_OK;
}

void close(void* device) { delete &cuda(device); }

const char* name(void* device) { return cuda(device).name.c_str(); }

int32_t threads(void*) { return 0; }

st_status clear(const CudaDevice& on, char* memory, int64_t bytes) {
  STEPTUNER_CUDA(on.explain, cudaMemset(memory, 0, static_cast<size_t>(bytes)));
  STEPTUNER_CUDA(on.explain, cudaDeviceSynchronize());
  return ST_OK;
}

st_status allocate(void* device, int64_t bytes, char** memory) {
  const Current current(cuda(device).index);
  *memory = nullptr;
  if (bytes == 0) return ST_OK;
  STEPTUNER_CUDA(cuda(device).explain, cudaMalloc(reinterpret_cast<void**>(memory), static_cast<size_t>(bytes)));
  const st_status cleared = clear(cuda(device), *memory, bytes);
  if (cleared != ST_OK) cudaFree(*memory);
  return cleared;
}

void release(void* device, char* memory) {
  const Current current(cuda(device).index);
  cudaFree(memory);
}

st_status allocateHost(void* device, int64_t bytes, char** memory) {
  const Current current(cuda(device).index);
  *memory = nullptr;
  if (bytes == 0) return ST_OK;
  STEPTUNER_CUDA(cuda(device).explain, cudaMallocHost(reinterpret_cast<void**>(memory), static_cast<size_t>(bytes)));
  memset(*memory, 0, static_cast<size_t>(bytes));
  return ST_OK;
}

void releaseHost(void* device, char* memory) {
  const Current current(cuda(device).index);
  if (memory) cudaFreeHost(memory);
}

st_status copy(void* device, void* to, const void* from, int64_t bytes, Copy direction, void* queue) {
  const Current current(cuda(device).index);
  const cudaStream_t stream = static_cast<cudaStream_t>(queue);
  const cudaMemcpyKind kind = direction == Copy::HOST_TO_DEVICE ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost;
  STEPTUNER_CUDA(cuda(device).explain, cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, stream));
  STEPTUNER_CUDA(cuda(device).explain, cudaStreamSynchronize(stream));
  return ST_OK;
}

// What the runtime does not know can only be host memory, which is looked up together.
const char* unusable(void* device, const Range* ranges, size_t count, size_t* which) {
  const CudaDevice& on = cuda(device);
  const Current current(on.index);
  std::vector<Range> host;
  std::vector<size_t> numbers;
  for (size_t r = 0; r < count; ++r) {
    *which = r;
    cudaPointerAttributes attributes;
    const cudaError_t error = cudaPointerGetAttributes(&attributes, ranges[r].address);
    if (error != cudaSuccess) cudaGetLastError();
    if (error != cudaSuccess || attributes.type == cudaMemoryTypeUnregistered) {
      if (!on.reachesHostMemory) return "not memory that this GPU can use";
      host.push_back(ranges[r]);
      numbers.push_back(r);
      continue;
    }
    if (attributes.type == cudaMemoryTypeDevice && attributes.device != on.index) return "memory of another GPU";
    if (!attributes.devicePointer) return "not memory that this GPU can use";
  }
  const size_t unmapped = host.empty() ? 0 : firstUnmapped(host.data(), host.size());
  if (unmapped == host.size()) return nullptr;
  *which = numbers[unmapped];
  return "not memory that this GPU can use";
}

}  // namespace
}  // namespace steptuner

extern "C" __attribute__((visibility("default"))) const steptuner::Backend* steptuner_backend() {
  using namespace steptuner;
  static const Backend backend = {
      BACKEND_VERSION, open,  close, name,      threads, allocate,    release, allocateHost, releaseHost, copy, unusable, fill,
      zeroGradients,   sweep, wait,  makeReady, send,    captureStep, settle,  capturing,    forget};
  return &backend;
}
