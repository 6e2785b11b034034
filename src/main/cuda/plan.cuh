// SPDX-License-Identifier: Apache-2.0
//
// What the CUDA backend keeps of a plan: its tables on the device, and the order of its work.
#pragma once
#include "../cpp/core/plan.h"
#include "device.cuh"
#include <cuda_runtime.h>
#include <vector>

namespace steptuner {

struct CudaPlan {
  Tensor* tensors = nullptr;
  std::vector<Tensor> sent;  // what the table of tensors holds, or will hold when the work so far is done
  Chunk* chunks = nullptr;
  Segment* segments = nullptr;
  int32_t* lists = nullptr;  // chunks of float32 tensors, then of float64 tensors; only where there are both
  int64_t listed[2] = {0, 0};
  int64_t version = -1;
  double* chunkSums = nullptr;
  size_t chunkSumsSize = 0;
  double* coefficients = nullptr;
  size_t coefficientsSize = 0;
  unsigned* ticket = nullptr;
  cudaEvent_t done = nullptr;  // after the last piece of work
  cudaStream_t stream = nullptr;
  bool used = false;

  // After the plan's work so far.
  void freeTables() {
    if (used) cudaEventSynchronize(done);
    for (void* memory : {static_cast<void*>(tensors), static_cast<void*>(chunks), static_cast<void*>(segments), static_cast<void*>(lists),
                         static_cast<void*>(ticket)})
      cudaFree(memory);
    tensors = nullptr;
    chunks = nullptr;
    segments = nullptr;
    lists = nullptr;
    ticket = nullptr;
    version = -1;
  }

  ~CudaPlan() {
    freeTables();
    cudaFree(chunkSums);
    cudaFree(coefficients);
    if (done) cudaEventDestroy(done);
  }
};

inline CudaPlan& tablesOf(Plan& plan) {
  if (!plan.device) plan.device = new CudaPlan;
  return *static_cast<CudaPlan*>(plan.device);
}

// What is launched on `stream` from now on comes after the plan's work so far. What mark() needs is made here: a call that fails for want
// of it has launched nothing, and can be made again.
inline cudaError_t follow(CudaPlan& tables, cudaStream_t stream) {
  const cudaError_t error = tables.done ? cudaSuccess : cudaEventCreateWithFlags(&tables.done, cudaEventDisableTiming);
  if (error != cudaSuccess) return error;
  return tables.used && tables.stream != stream ? cudaStreamWaitEvent(stream, tables.done, 0) : cudaSuccess;
}

// What has been launched on `stream` so far is the plan's work.
inline cudaError_t mark(CudaPlan& tables, cudaStream_t stream) {
  const cudaError_t error = cudaEventRecord(tables.done, stream);
  if (error != cudaSuccess) return error;
  tables.stream = stream;
  tables.used = true;
  return cudaSuccess;
}

// What a sweep finds on the device where the host does not give it: coefficients (not null, if there are any), room for the chunk sums, and
// whether it goes. The sums of few segments stay unadded; those of more go to binding.sumRows, which is on the device then.
struct Given {
  const double* coefficientRows;
  double* chunkSums;
  const int32_t* go;  // null: it goes
};

// sweep.cu. Enqueues a bound kernel over all chunks. The tables are on the device, and the stream follows the plan's work.
st_status enqueue(CudaDevice& on, const Plan& plan, const Binding& binding, CudaPlan& tables, cudaStream_t stream,
                  const Given* given = nullptr);

// tables.cu. Has `stream` follow the plan's work, and brings the tables on the device up to date, which is work on that stream too.
st_status upload(const CudaDevice& on, const Plan& plan, CudaPlan& tables, cudaStream_t stream);

}  // namespace steptuner
