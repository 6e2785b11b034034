// SPDX-License-Identifier: Apache-2.0
//
// Memory: both kinds lie on the host's heap, each block exactly as large as asked for, so that AddressSanitizer guards its
// ends. Addresses that were allocated otherwise are taken as they are: to the emulated device all memory is near.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <map>
#include <vector>

#include "api.h"
#include "device.h"
#include "streams.h"

namespace cuda_emulation {
namespace {

constexpr size_t ALIGNMENT = 256;

struct Allocation {
  size_t bytes;
  cudaMemoryType type;
};

std::map<uintptr_t, Allocation>& allocations() {
  static auto& allocations = *new std::map<uintptr_t, Allocation>;
  return allocations;
}

size_t deviceBytesUsed;

using Found = std::map<uintptr_t, Allocation>::iterator;

// The allocation that an address lies in, or end().
Found containing(const void* memory) {
  const auto address = reinterpret_cast<uintptr_t>(memory);
  Found found = allocations().upper_bound(address);
  if (found == allocations().begin()) return allocations().end();
  --found;
  return address < found->first + found->second.bytes ? found : allocations().end();
}

cudaError_t allocate(void** memory, size_t bytes, cudaMemoryType type) {
  if (!memory) return cudaErrorInvalidValue;
  *memory = nullptr;
  const cudaError_t error = streams().unsafe();
  if (error != cudaSuccess) return error;
  if (bytes == 0) return cudaSuccess;
  // An impossible size must be refused here: AddressSanitizer ends the process over it.
  const size_t used = type == cudaMemoryTypeDevice ? deviceBytesUsed : 0;
  if (bytes > DEVICE_MEMORY - used || posix_memalign(memory, ALIGNMENT, bytes) != 0) return cudaErrorMemoryAllocation;
  memset(*memory, POISON, bytes);
  allocations()[reinterpret_cast<uintptr_t>(*memory)] = {bytes, type};
  if (type == cudaMemoryTypeDevice) deviceBytesUsed += bytes;
  return cudaSuccess;
}

void release(Found allocation) {
  if (allocation->second.type == cudaMemoryTypeDevice) deviceBytesUsed -= allocation->second.bytes;
  free(reinterpret_cast<void*>(allocation->first));
  allocations().erase(allocation);
}

Found allocatedAt(void* memory, cudaMemoryType type) {
  const Found found = allocations().find(reinterpret_cast<uintptr_t>(memory));
  return found != allocations().end() && found->second.type == type ? found : allocations().end();
}

// CUDA waits for the device before it frees.
cudaError_t synchronizeAndRelease(void* memory, cudaMemoryType type) {
  if (!memory) return cudaSuccess;
  const cudaError_t error = streams().unsafe();
  if (error != cudaSuccess) return error;
  const Found found = allocatedAt(memory, type);
  if (found == allocations().end()) return cudaErrorInvalidValue;
  streams().synchronizeAll();
  release(found);
  return cudaSuccess;
}

bool usable(const void* memory, size_t bytes) {
  if (!memory) return false;
  const Found found = containing(memory);
  return found == allocations().end() || bytes <= found->first + found->second.bytes - reinterpret_cast<uintptr_t>(memory);
}

bool isPageable(const void* memory) { return containing(memory) == allocations().end(); }

cudaError_t giveCopy(Stream* stream, void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  if (bytes == 0) return cudaSuccess;
  if (!usable(to, bytes) || !usable(from, bytes)) return cudaErrorInvalidValue;
  // CUDA takes it, and reads or writes that memory whenever the graph runs, which may be there no more: here it is a fault.
  const bool pageable = (kind == cudaMemcpyHostToDevice && isPageable(from)) || (kind == cudaMemcpyDeviceToHost && isPageable(to));
  if (pageable && stream->captured.capture) return Streams::refuseCaptured(stream->captured, cudaErrorStreamCaptureUnsupported);
  return streams().give(*stream, taskOf([=] { memcpy(to, from, bytes); }));
}

// From memory that is not pinned CUDA copies what there is into memory of its own and returns: the copy from there lands later, in the
// order of the legacy stream. Streams that do not block know nothing of it.
cudaError_t giveStaged(Stream& legacy, void* to, const void* from, size_t bytes) {
  if (!usable(to, bytes)) return cudaErrorInvalidValue;
  if (streams().legacyIsBarred(legacy)) return cudaErrorStreamCaptureImplicit;
  streams().synchronize(legacy);
  const char* begin = static_cast<const char*>(from);
  return streams().give(legacy,
                        taskOf([to, staged = std::vector<char>(begin, begin + bytes)] { memcpy(to, staged.data(), staged.size()); }));
}

cudaError_t giveFill(Stream* stream, void* memory, int value, size_t bytes) {
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (bytes == 0) return cudaSuccess;
  if (!usable(memory, bytes)) return cudaErrorInvalidValue;
  return streams().give(*stream, taskOf([=] { memset(memory, value, bytes); }));
}

// Of the driver's API, whose errors have the numbers of the runtime's. The runtime does not learn of them.
int cuMemGetAddressRange(unsigned long long* base, size_t* size, unsigned long long address) {
  const cudaError_t error = plannedFailure("cuMemGetAddressRange");
  if (error != cudaSuccess) return error;
  std::lock_guard<race::Mutex> lock(deviceMutex());
  const Found found = containing(reinterpret_cast<const void*>(address));
  if (found == allocations().end()) return cudaErrorInvalidValue;
  if (base) *base = found->first;
  if (size) *size = found->second.bytes;
  return cudaSuccess;
}

}  // namespace
}  // namespace cuda_emulation

using namespace cuda_emulation;

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned, unsigned long long,
                                             cudaDriverEntryPointQueryResult* status) {
  return api("cudaGetDriverEntryPointByVersion", [&] {
    const bool known = strcmp(symbol, "cuMemGetAddressRange") == 0;
    *function = known ? reinterpret_cast<void*>(cuMemGetAddressRange) : nullptr;
    if (status) *status = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return known || status ? cudaSuccess : cudaErrorSymbolNotFound;
  });
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  return api("cudaMalloc", [&] { return allocate(memory, bytes, cudaMemoryTypeDevice); });
}

cudaError_t cudaFree(void* memory) {
  return api("cudaFree", [&] { return synchronizeAndRelease(memory, cudaMemoryTypeDevice); });
}

cudaError_t cudaMallocHost(void** memory, size_t bytes, unsigned) {
  return api("cudaMallocHost", [&] { return allocate(memory, bytes, cudaMemoryTypeHost); });
}

cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  return api("cudaHostAlloc", [&] { return allocate(memory, bytes, cudaMemoryTypeHost); });
}

cudaError_t cudaFreeHost(void* memory) {
  return api("cudaFreeHost", [&] { return synchronizeAndRelease(memory, cudaMemoryTypeHost); });
}

cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t stream) {
  return api("cudaMallocAsync", [&] {
    Stream* found = streams().find(stream);
    if (!found) return cudaErrorInvalidResourceHandle;
    // In CUDA it becomes a node; nobody here needs it.
    if (found->captured.capture) return Streams::refuseCaptured(found->captured, cudaErrorNotSupported);
    return allocate(memory, bytes, cudaMemoryTypeDevice);
  });
}

cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream) {
  return api("cudaFreeAsync", [&] {
    Stream* found = streams().find(stream);
    if (!found) return cudaErrorInvalidResourceHandle;
    if (!memory) return cudaSuccess;
    const Found allocation = allocatedAt(memory, cudaMemoryTypeDevice);
    if (allocation == allocations().end()) return cudaErrorInvalidValue;
    if (found->captured.capture) return Streams::refuseCaptured(found->captured, cudaErrorNotSupported);
    return streams().give(*found, taskOf([=] { release(allocation); }));
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return api("cudaMemcpy", [&] {
    Stream* legacy = streams().find(cudaStreamLegacy);
    cudaError_t error = streams().unsafe();
    if (error != cudaSuccess) return error;
    if (bytes > 0 && usable(from, bytes) && isPageable(from) && kind == cudaMemcpyHostToDevice) return giveStaged(*legacy, to, from, bytes);
    error = giveCopy(legacy, to, from, bytes, kind);
    if (error == cudaSuccess && kind != cudaMemcpyDeviceToDevice) streams().synchronize(*legacy);
    return error;
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return api("cudaMemcpyAsync", [&] { return giveCopy(streams().find(stream), to, from, bytes, kind); });
}

// Does not wait, as in CUDA, and as a copy within the device.
cudaError_t cudaMemset(void* memory, int value, size_t bytes) {
  return api("cudaMemset", [&] {
    const cudaError_t error = streams().unsafe();
    return error != cudaSuccess ? error : giveFill(streams().find(cudaStreamLegacy), memory, value, bytes);
  });
}

cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  return api("cudaMemsetAsync", [&] { return giveFill(streams().find(stream), memory, value, bytes); });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* memory) {
  return api("cudaPointerGetAttributes", [&] {
    if (!attributes) return cudaErrorInvalidValue;
    const Found found = containing(memory);
    void* address = const_cast<void*>(memory);
    if (found == allocations().end()) {
      *attributes = {cudaMemoryTypeUnregistered, -2, nullptr, address};
    } else {
      const bool host = found->second.type == cudaMemoryTypeHost;
      *attributes = {found->second.type, 0, address, host ? address : nullptr};
    }
    return cudaSuccess;
  });
}
