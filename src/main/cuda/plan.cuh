// SPDX-License-Identifier: Apache-2.0
//
// What the CUDA backend keeps of a plan: its tables on the device, what its sweeps need there, and the order of its work.
#pragma once
#include "arguments.cuh"
#include "order.cuh"
#include <cuda_runtime.h>
#include <vector>

namespace steptuner {

// Memory of sweeps on the device. It grows when a kernel that needs more of it is first swept. What it was before is freed with the plan:
// work may still use it, and so may graphs.
struct Scratch {
  double* memory = nullptr;
  size_t size = 0;
};

struct CudaPlan {
  Tensor* tensors = nullptr;
  std::vector<Tensor> sent;  // what the table of tensors holds, or will hold when the work so far is done
  Chunk* chunks = nullptr;
  Segment* segments = nullptr;
  int32_t* lists = nullptr;  // chunks of float32 tensors, then of float64 tensors; only where there are both
  int64_t listed[2] = {0, 0};
  bool narrowParameters = false, otherGradients = false;  // of some tensor in float32: not all parameters, or gradients, are float32
  unsigned* ticket = nullptr;
  bool made = false;
  int64_t version = -1;  // of the plan whose addresses the table of tensors holds
  Scratch chunkSums;
  Scratch coefficients;
  std::vector<double*> outgrown;
  Order order;

  void freeTables() {
    for (void* memory : {static_cast<void*>(tensors), static_cast<void*>(chunks), static_cast<void*>(segments), static_cast<void*>(lists),
                         static_cast<void*>(ticket)})
      cudaFree(memory);
    tensors = nullptr;
    chunks = nullptr;
    segments = nullptr;
    lists = nullptr;
    ticket = nullptr;
  }

  // After the plan's work so far.
  ~CudaPlan() {
    order.finish();
    freeTables();
    for (double* memory : outgrown) cudaFree(memory);
    cudaFree(chunkSums.memory);
    cudaFree(coefficients.memory);
  }
};

// How many coefficients a sweep takes from memory; 0 if they travel with its launch.
inline size_t coefficientsInMemory(const Plan& plan, const Binding& binding) {
  const size_t count = plan.segments.size() * static_cast<size_t>(binding.coefficients);
  return count * sizeof(double) <= INLINE_BYTES ? 0 : count;
}

inline CudaPlan& tablesOf(Plan& plan) {
  if (!plan.device) plan.device = new CudaPlan;
  return *static_cast<CudaPlan*>(plan.device);
}

// sweep.cu. Has the kernels of a binding in the device's memory: loading one while a stream is being captured may be refused.
cudaError_t loadKernels(const CudaDevice& on, const CudaPlan& tables, const Binding& binding);

// tables.cu. Brings the tables on the device up to date, as part of the work; the first time, before it.
st_status upload(const CudaDevice& on, const Plan& plan, CudaPlan& tables, const Work& work);
// Sees to it that there is memory for the chunk sums and the coefficients of a binding, and of all others that there are.
st_status reserve(const CudaDevice& on, const Plan& plan, CudaPlan& tables, const Work& work, const Binding& binding);
// Rows of coefficients for tables.coefficients, as they are now.
cudaError_t sendRows(const double* rows, size_t count, CudaPlan& tables, cudaStream_t stream);

// What a sweep finds on the device where the host does not give it: coefficients (not null, if there are any), room for the chunk sums,
// whether it goes, and the number of the step. The sums of few segments stay unadded; those of more go to binding.sumRows, which is on the
// device then.
struct Given {
  const double* coefficientRows;
  double* chunkSums;
  const int32_t* go;    // null: it goes
  const int64_t* step;  // null: it writes nothing, and takes no random bits
};

// sweep.cu. Launches a bound kernel over all chunks, as part of the work. The tables are on the device, and there is room for its sums.
st_status enqueue(CudaDevice& on, const Plan& plan, const Binding& binding, CudaPlan& tables, Work& work, const Given* given = nullptr);

}  // namespace steptuner
