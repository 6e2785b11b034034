// SPDX-License-Identifier: Apache-2.0
//
// Sweeps on a GPU: the launches. Every launch goes to the caller's stream.
#include "device.cuh"
#include "launches.h"
#include "plan.cuh"
#include "sums.cuh"
#include <algorithm>

namespace steptuner {
namespace {

// The sums of all segments, a block for each: where there are many.
__global__ void __launch_bounds__(COLUMNS) addSegments(const __grid_constant__ Arguments a, int sums) {
  __shared__ double columns[COLUMNS];
  for (int64_t row = blockIdx.x; row < a.segmentCount; row += gridDim.x) addSegment(a, row, sums, columns);
}

cudaError_t grow(double*& memory, size_t& size, size_t wanted, CudaPlan& tables) {
  if (wanted <= size) return cudaSuccess;
  cudaError_t error = tables.used ? cudaEventSynchronize(tables.done) : cudaSuccess;
  if (error == cudaSuccess) error = cudaFree(memory);
  memory = nullptr;
  size = 0;
  if (error == cudaSuccess) error = cudaMalloc(reinterpret_cast<void**>(&memory), wanted * sizeof(double));
  if (error == cudaSuccess) size = wanted;
  return error;
}

// Enqueues a bound kernel over all chunks. The tables are on the device, and the stream follows the plan's work.
st_status enqueue(CudaDevice& on, const Plan& plan, const Binding& binding, CudaPlan& tables, cudaStream_t stream) {
  const size_t segments = plan.segments.size();
  const size_t coefficients = segments * static_cast<size_t>(binding.coefficients);
  const bool inlined = coefficients <= INLINE_COEFFICIENTS;
  STEPTUNER_CUDA(on.explain, grow(tables.chunkSums, tables.chunkSumsSize, plan.chunks.size() * static_cast<size_t>(binding.sums), tables));
  if (!inlined) STEPTUNER_CUDA(on.explain, grow(tables.coefficients, tables.coefficientsSize, coefficients, tables));

  Arguments arguments = {};
  arguments.tensors = tables.tensors;
  arguments.chunks = tables.chunks;
  arguments.segments = tables.segments;
  arguments.segmentCount = static_cast<int32_t>(segments);
  arguments.operands = binding.operands;
  for (int o = 0; o < binding.operands; ++o) {
    arguments.place[o] = binding.operand[o].place;
    arguments.slot[o] = binding.slot[o] < 0 ? nullptr : plan.slots[static_cast<size_t>(binding.slot[o])];
  }
  arguments.chunkSums = tables.chunkSums;
  arguments.sumRows = binding.sumRows;
  arguments.ticket = tables.ticket;
  arguments.backwards = backwards(plan);
  if (inlined) {
    std::copy_n(binding.coefficientRows, coefficients, arguments.inlineRows);
  } else {
    // From pageable memory: the call returns when the rows have been taken, and the caller may fill in the next step's.
    STEPTUNER_CUDA(on.explain, cudaMemcpyAsync(tables.coefficients, binding.coefficientRows, coefficients * sizeof(double),
                                               cudaMemcpyHostToDevice, stream));
    arguments.coefficientRows = tables.coefficients;
  }

  const bool lastBlockAdds = binding.sums > 0 && segments <= LAST_BLOCK_SEGMENTS;
  const Launches& launches = allLaunches()[static_cast<size_t>(binding.kernel)];
  const bool both = tables.lists != nullptr;
  for (int type = 0; type < 2; ++type) {
    if (tables.listed[type] == 0) continue;
    const Launch& launch = type == 0 ? launches.float32 : launches.float64;
    int resident = 0;
    STEPTUNER_CUDA(on.explain, launch.residentBlocks(&resident));
    arguments.list = both ? tables.lists + (type == 0 ? 0 : tables.listed[0]) : nullptr;
    arguments.count = tables.listed[type];
    arguments.finish = lastBlockAdds && (!both || type == 1);
    const int64_t blocks = std::min<int64_t>(arguments.count, int64_t(std::max(resident, 1)) * on.processors);
    STEPTUNER_CUDA(on.explain, launch.run(arguments, static_cast<unsigned>(blocks), stream));
  }
  if (plan.chunks.empty()) {
    for (size_t i = 0; i < segments * static_cast<size_t>(binding.sums); ++i) binding.sumRows[i] = 0;
  } else if (binding.sums > 0 && !lastBlockAdds) {
    int sums = binding.sums;
    void* pointers[] = {&arguments, &sums};
    const unsigned blocks = static_cast<unsigned>(std::min<size_t>(segments, 65535));
    STEPTUNER_CUDA(on.explain, cudaLaunchKernel(addSegments, dim3(blocks), dim3(COLUMNS), pointers, 0, stream));
  }
  return ST_OK;
}

}  // namespace

// A follower is a launch of its own: within the harness it would be compiled into every kernel.
st_status sweep(void* device, Plan& plan, Binding& binding, const Binding* follower, void* queue) {
  CudaDevice& on = cuda(device);
  const Current current(on.index);
  const cudaStream_t stream = static_cast<cudaStream_t>(queue);
  CudaPlan& tables = tablesOf(plan);
  st_status status = upload(on, plan, tables, stream);
  if (status != ST_OK) return status;
  status = enqueue(on, plan, binding, tables, stream);
  if (status == ST_OK && follower) status = enqueue(on, plan, *follower, tables, stream);
  if (status != ST_OK) return status;
  STEPTUNER_CUDA(on.explain, mark(tables, stream));
  return ST_OK;
}

st_status wait(void* device, Plan& plan, void*) {
  CudaPlan* const tables = static_cast<CudaPlan*>(plan.device);
  if (!tables || !tables->used) return ST_OK;
  const Current current(cuda(device).index);
  STEPTUNER_CUDA(cuda(device).explain, cudaEventSynchronize(tables->done));
  return ST_OK;
}

void forget(void* device, Plan& plan) {
  const Current current(cuda(device).index);
  delete static_cast<CudaPlan*>(plan.device);
  plan.device = nullptr;
}

}  // namespace steptuner
