// SPDX-License-Identifier: Apache-2.0
//
// Setting a slot to a number, as one piece of work on the caller's stream however many tensors it is for.
#include "device.cuh"
#include "plan.cuh"
#include <algorithm>

namespace steptuner {
namespace {

constexpr unsigned FILL_THREADS = 256;
constexpr int64_t MOST_BLOCKS = 4096;

template <class T>
__global__ void fillKernel(T* memory, int64_t count, T value) {
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += int64_t(gridDim.x) * blockDim.x) memory[i] = value;
}

template <class T>
cudaError_t fillArray(char* memory, int64_t bytes, double number, cudaStream_t stream) {
  T* to = reinterpret_cast<T*>(memory);
  int64_t count = bytes / int64_t(sizeof(T));
  T value = static_cast<T>(number);
  void* arguments[] = {&to, &count, &value};
  const int64_t blocks = std::min((count + FILL_THREADS - 1) / FILL_THREADS, MOST_BLOCKS);
  return cudaLaunchKernel(fillKernel<T>, dim3(static_cast<unsigned>(blocks)), dim3(FILL_THREADS), arguments, 0, stream);
}

}  // namespace

// The tensors of a slot follow each other, with gaps that nobody reads: a run of tensors of one type is filled gaps and all.
st_status fill(void* device, Plan& plan, int32_t slot, double value, void* queue) {
  const Current current(cuda(device).index);
  const cudaStream_t stream = static_cast<cudaStream_t>(queue);
  CudaPlan& tables = tablesOf(plan);
  STEPTUNER_CUDA(cuda(device).explain, follow(tables, stream));
  char* const memory = plan.slots[static_cast<size_t>(slot)];
  for (size_t t = 0; t < plan.tensors.size();) {
    const int32_t type = plan.tensors[t].stateType;
    const int64_t begin = plan.tensors[t].stateOffset;
    while (t < plan.tensors.size() && plan.tensors[t].stateType == type) ++t;
    const int64_t bytes = (t < plan.tensors.size() ? plan.tensors[t].stateOffset : plan.stateBytes) - begin;
    if (bytes == 0) continue;
    STEPTUNER_CUDA(cuda(device).explain, type == FLOAT64 ? fillArray<double>(memory + begin, bytes, value, stream)
                                                         : fillArray<float>(memory + begin, bytes, value, stream));
  }
  STEPTUNER_CUDA(cuda(device).explain, mark(tables, stream));
  return ST_OK;
}

}  // namespace steptuner
