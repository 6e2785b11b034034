// SPDX-License-Identifier: Apache-2.0
//
// The plan's tables on the device. They are made once. When tensors move, their entries travel there as arguments of launches: nothing is
// allocated or waited for, no copy can be overtaken by a later one of the same memory, and a stream that is being captured takes it.
#include "plan.cuh"
#include <algorithm>
#include <string.h>

namespace steptuner {
namespace {

constexpr int MOVED = (4096 - 16) / (int(sizeof(Tensor)) + 4);

// Entries of the table of tensors, as many as every GPU takes with a launch.
struct Moved {
  Tensor* table;
  int32_t count;
  int32_t number[MOVED];
  Tensor tensor[MOVED];
};
static_assert(sizeof(Moved) <= 4096, "more than every GPU takes with a launch");

__global__ void __launch_bounds__(MOVED) moveTensors(const __grid_constant__ Moved moved) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < moved.count) moved.table[moved.number[i]] = moved.tensor[i];
}

cudaError_t send(Moved& moved, cudaStream_t stream) {
  if (moved.count == 0) return cudaSuccess;
  void* arguments[] = {&moved};
  const cudaError_t error = cudaLaunchKernel(moveTensors, dim3(1), dim3(MOVED), arguments, 0, stream);
  moved.count = 0;
  return error;
}

cudaError_t sendAll(const Plan& plan, CudaPlan& tables, cudaStream_t stream) {
  Moved moved = {};
  moved.table = tables.tensors;
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    if (memcmp(&plan.tensors[t], &tables.sent[t], sizeof(Tensor)) == 0) continue;
    moved.number[moved.count] = static_cast<int32_t>(t);
    moved.tensor[moved.count++] = tables.sent[t] = plan.tensors[t];
    if (moved.count < MOVED) continue;
    const cudaError_t error = send(moved, stream);
    if (error != cudaSuccess) return error;
  }
  const cudaError_t error = send(moved, stream);
  return error != cudaSuccess ? error : mark(tables, stream);
}

template <class T>
cudaError_t make(T*& memory, const std::vector<T>& content) {
  if (content.empty()) return cudaSuccess;
  const cudaError_t error = cudaMalloc(reinterpret_cast<void**>(&memory), content.size() * sizeof(T));
  return error != cudaSuccess ? error : cudaMemcpy(memory, content.data(), content.size() * sizeof(T), cudaMemcpyHostToDevice);
}

st_status makeAll(const CudaDevice& on, const Plan& plan, CudaPlan& tables) {
  tables.sent = plan.tensors;
  STEPTUNER_CUDA(on.explain, make(tables.tensors, plan.tensors));
  STEPTUNER_CUDA(on.explain, make(tables.chunks, plan.chunks));
  STEPTUNER_CUDA(on.explain, make(tables.segments, plan.segments));
  STEPTUNER_CUDA(on.explain, make(tables.ticket, std::vector<unsigned>(1, 0u)));
  std::vector<int32_t> lists[2];
  for (size_t c = 0; c < plan.chunks.size(); ++c)
    lists[plan.tensors[static_cast<size_t>(plan.chunks[c].tensor)].stateType == FLOAT64].push_back(static_cast<int32_t>(c));
  for (int type = 0; type < 2; ++type) tables.listed[type] = static_cast<int64_t>(lists[type].size());
  if (tables.listed[0] > 0 && tables.listed[1] > 0) {
    lists[0].insert(lists[0].end(), lists[1].begin(), lists[1].end());
    STEPTUNER_CUDA(on.explain, make(tables.lists, lists[0]));
  }
  // A copy from pageable memory may still be on its way when the call returns, and streams that do not block would not wait for it.
  STEPTUNER_CUDA(on.explain, cudaStreamSynchronize(nullptr));
  return ST_OK;
}

}  // namespace

st_status upload(const CudaDevice& on, const Plan& plan, CudaPlan& tables, cudaStream_t stream) {
  STEPTUNER_CUDA(on.explain, follow(tables, stream));
  if (tables.version == plan.version) return ST_OK;
  if (tables.version < 0) {
    tables.freeTables();  // what an attempt that failed has left
    const st_status status = makeAll(on, plan, tables);
    if (status != ST_OK) return status;
  } else {
    const cudaError_t error = sendAll(plan, tables, stream);
    if (error != cudaSuccess) {
      tables.version = -1;
      return failed(on.explain, "moving tensors", error);
    }
  }
  tables.version = plan.version;
  return ST_OK;
}

}  // namespace steptuner
