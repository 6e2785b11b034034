// SPDX-License-Identifier: Apache-2.0
//
// A CUDA GPU as a device. Linked with the runtime statically, so that the library loads anywhere and can say why it cannot run there.
// Every launch goes to the caller's stream; the current device is left as it was found.
#include "../cpp/core/memory_map.h"
#include "device.cuh"
#include "launches.h"
#include <memory>
#include <string.h>

namespace steptuner {
namespace {

// Of the driver, with which this library is not linked: it loads where there is none.
st_status findAddressRange(Explain explain, GetAddressRange& function) {
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  STEPTUNER_CUDA(explain, cudaGetDriverEntryPointByVersion("cuMemGetAddressRange", &entry, 12000, cudaEnableDefault, &found));
  if (found == cudaDriverEntryPointSuccess) function = reinterpret_cast<GetAddressRange>(entry);
  return function ? ST_OK : failed(explain, "cuMemGetAddressRange", cudaErrorSymbolNotFound);
}

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
  const size_t kernels = FORMS * allLaunches().size();
  opened->residentBlocks = std::make_unique<std::atomic<int>[]>(kernels);
  for (size_t k = 0; k < kernels; ++k) opened->residentBlocks[k] = 0;
  opened->index = index;
  opened->reachesHostMemory = pageable != 0;
  opened->processors = properties.multiProcessorCount;
  opened->explain = explain;
  opened->name = "CUDA device " + std::to_string(index) + ", " + properties.name + ", compute capability " +
                 std::to_string(properties.major) + "." + std::to_string(properties.minor);
  const Current current(index);
  const st_status found = findAddressRange(explain, opened->getAddressRange);
  if (found != ST_OK) return found;
  STEPTUNER_CUDA(explain, cudaStreamCreateWithFlags(&opened->own, cudaStreamNonBlocking));
  *device = opened.release();
  return ST_OK;
}

void close(void* device) {
  const Current current(cuda(device).index);
  delete &cuda(device);
}

const char* name(void* device) { return cuda(device).name.c_str(); }

int32_t threads(void*) { return 0; }

// Whatever stream is going to use it finds zeros there.
st_status clear(const CudaDevice& on, char* memory, int64_t bytes) {
  STEPTUNER_CUDA(on.explain, cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), on.own));
  STEPTUNER_CUDA(on.explain, cudaStreamSynchronize(on.own));
  return ST_OK;
}

st_status allocate(void* device, int64_t bytes, char** memory) {
  const Current current(cuda(device).index);
  const Relaxed relaxed;
  *memory = nullptr;
  if (bytes == 0) return ST_OK;
  STEPTUNER_CUDA(cuda(device).explain, cudaMalloc(reinterpret_cast<void**>(memory), static_cast<size_t>(bytes)));
  const st_status cleared = clear(cuda(device), *memory, bytes);
  if (cleared != ST_OK) cudaFree(*memory);
  return cleared;
}

void release(void* device, char* memory) {
  const Current current(cuda(device).index);
  const Relaxed relaxed;
  cudaFree(memory);
}

st_status allocateHost(void* device, int64_t bytes, char** memory) {
  const Current current(cuda(device).index);
  const Relaxed relaxed;
  *memory = nullptr;
  if (bytes == 0) return ST_OK;
  STEPTUNER_CUDA(cuda(device).explain, cudaMallocHost(reinterpret_cast<void**>(memory), static_cast<size_t>(bytes)));
  memset(*memory, 0, static_cast<size_t>(bytes));
  return ST_OK;
}

void releaseHost(void* device, char* memory) {
  const Current current(cuda(device).index);
  const Relaxed relaxed;
  if (memory) cudaFreeHost(memory);
}

st_status copy(void* device, void* to, const void* from, int64_t bytes, Copy direction, void* queue) {
  const Current current(cuda(device).index);
  const cudaStream_t stream = static_cast<cudaStream_t>(queue);
  unsigned long long capture = 0;
  STEPTUNER_CUDA(cuda(device).explain, captureOf(stream, capture));
  if (capture != 0) return refuseCaptured(cuda(device).explain, "what is copied to or from the host would be copied later");
  const Relaxed relaxed;
  const cudaMemcpyKind kind = direction == Copy::HOST_TO_DEVICE ? cudaMemcpyHostToDevice : cudaMemcpyDeviceToHost;
  STEPTUNER_CUDA(cuda(device).explain, cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kind, stream));
  STEPTUNER_CUDA(cuda(device).explain, cudaStreamSynchronize(stream));
  return ST_OK;
}

// Whether memory of a GPU goes on for so many bytes. It may be put together of several allocations side by side. Where the driver does not
// know of the first byte, it cannot tell.
bool goesOn(const CudaDevice& on, const Range& range) {
  const auto begin = reinterpret_cast<uintptr_t>(range.address);
  const uintptr_t end = begin + static_cast<uintptr_t>(range.bytes);
  for (uintptr_t at = begin; at < end;) {
    unsigned long long base = 0;
    size_t bytes = 0;
    if (on.getAddressRange(&base, &bytes, at) != 0 || base + bytes <= at) return at == begin;
    at = base + bytes;
  }
  return true;
}

const char* const NOT_USABLE = "not memory that this GPU can use";

// Nullptr, or what is wrong with one address. What the runtime does not know can only be host memory.
const char* lookAt(const CudaDevice& on, const void* address, cudaMemoryType& type) {
  cudaPointerAttributes attributes;
  const cudaError_t error = cudaPointerGetAttributes(&attributes, address);
  if (error != cudaSuccess) cudaGetLastError();
  type = error == cudaSuccess ? attributes.type : cudaMemoryTypeUnregistered;
  if (type == cudaMemoryTypeUnregistered) return on.reachesHostMemory ? nullptr : NOT_USABLE;
  if (type == cudaMemoryTypeDevice && attributes.device != on.index) return "memory of another GPU";
  return attributes.devicePointer ? nullptr : NOT_USABLE;
}

// Host memory is looked up together, pinned or not: where the GPU reaches only what is pinned, the last byte must be so too.
const char* unusable(void* device, const Range* ranges, size_t count, size_t* which) {
  const CudaDevice& on = cuda(device);
  const Current current(on.index);
  std::vector<Range> host;
  std::vector<size_t> numbers;
  for (size_t r = 0; r < count; ++r) {
    *which = r;
    const Range& range = ranges[r];
    cudaMemoryType type, last;
    if (const char* wrong = lookAt(on, range.address, type)) return wrong;
    if (type == cudaMemoryTypeDevice || type == cudaMemoryTypeManaged) {
      if (!goesOn(on, range)) return "not memory of the GPU to its end";
      continue;
    }
    if (const char* wrong = lookAt(on, static_cast<const char*>(range.address) + range.bytes - 1, last)) return wrong;
    host.push_back(range);
    numbers.push_back(r);
  }
  const size_t unmapped = host.empty() ? 0 : firstUnmapped(host.data(), host.size());
  if (unmapped == host.size()) return nullptr;
  *which = numbers[unmapped];
  return NOT_USABLE;
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
