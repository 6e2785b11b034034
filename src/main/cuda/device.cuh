// SPDX-License-Identifier: Apache-2.0
//
// What the parts of the CUDA backend share: the device, and how its errors are told.
#pragma once
#include "../cpp/core/backend.h"
#include <atomic>
#include <cuda_runtime.h>
#include <memory>
#include <string>

namespace steptuner {

// The driver's cuMemGetAddressRange: a result that is not 0 says that there is no allocation at the address.
using GetAddressRange = int (*)(unsigned long long* base, size_t* bytes, unsigned long long address);

struct CudaDevice {
  int index = 0;
  int processors = 0;
  bool reachesHostMemory = false;  // all of it, not only what is pinned
  Explain explain = nullptr;
  std::string name;
  GetAddressRange getAddressRange = nullptr;
  cudaStream_t own = nullptr;  // for what is made and waited for at once: no other stream waits for it, nor it for another
  std::unique_ptr<std::atomic<int>[]> residentBlocks;  // of each form of each kernel; 0: nobody has asked yet

  CudaDevice() = default;
  ~CudaDevice() {
    if (own) cudaStreamDestroy(own);
  }
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;
};

inline CudaDevice& cuda(void* device) { return *static_cast<CudaDevice*>(device); }

// Makes a device current for the life of a scope.
class Current {
 public:
  explicit Current(int device) {
    cudaGetDevice(&before_);
    if (before_ != device) cudaSetDevice(device);
    device_ = device;
  }
  ~Current() {
    if (before_ != device_) cudaSetDevice(before_);
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  int before_ = 0;
  int device_;
};

// For the life of a scope, this thread may allocate and wait although a stream is being captured: neither is to be part of the graph.
class Relaxed {
 public:
  Relaxed() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~Relaxed() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  Relaxed(const Relaxed&) = delete;
  Relaxed& operator=(const Relaxed&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

// The number of the capture that a stream takes part in; 0 if it is not being captured.
inline cudaError_t captureOf(cudaStream_t stream, unsigned long long& capture) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  const cudaError_t error = cudaStreamGetCaptureInfo(stream, &status, &capture);
  if (error == cudaSuccess && status == cudaStreamCaptureStatusInvalidated) return cudaErrorStreamCaptureInvalidated;
  if (status == cudaStreamCaptureStatusNone) capture = 0;
  return error;
}

inline st_status refuseCaptured(Explain explain, const char* why) {
  explain("the stream is being captured into a CUDA graph, and %s", why);
  return ST_BAD_STATE;
}

inline st_status failed(Explain explain, const char* call, cudaError_t error) {
  cudaGetLastError();  // it is reported now and must not be met again
  explain("%s: %s (%d): %s", call, cudaGetErrorName(error), static_cast<int>(error), cudaGetErrorString(error));
  return error == cudaErrorMemoryAllocation ? ST_OUT_OF_MEMORY : ST_DEVICE_ERROR;
}

#define STEPTUNER_CUDA(explain, call)                                 \
  do {                                                                \
    const cudaError_t error_ = (call);                                \
    if (error_ != cudaSuccess) return failed(explain, #call, error_); \
  } while (false)

// sweep.cu
st_status sweep(void* device, Plan& plan, Binding& binding, const Binding* follower, void* stream);
st_status wait(void* device, Plan& plan, void* stream);
void forget(void* device, Plan& plan);

// fill.cu
st_status fill(void* device, Plan& plan, int32_t slot, double value, void* stream);
st_status zeroGradients(void* device, Plan& plan, void* stream);

// capture.cu
st_status makeReady(void* device, Plan& plan, Capture& capture, void* stream);
st_status send(void* device, Plan& plan, void* to, const void* from, int64_t bytes, void* stream);
st_status captureStep(void* device, Plan& plan, Capture& capture, void* stream);
st_status settle(void* device, Plan& plan, Capture& capture, void* stream);
bool capturing(void* device, void* stream);

}  // namespace steptuner
