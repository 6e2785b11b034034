// SPDX-License-Identifier: Apache-2.0
//
// What the parts of the CUDA backend share: the device, and how its errors are told.
#pragma once
#include "../cpp/core/backend.h"
#include <cuda_runtime.h>
#include <string>

namespace steptuner {

struct CudaDevice {
  int index;
  int processors;
  bool reachesHostMemory;  // all of it, not only what is pinned
  Explain explain;
  std::string name;
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
