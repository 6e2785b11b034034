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

constexpr int WARPS = COLUMNS / 32;
// More blocks on a multiprocessor only get into each other's way at the memory, where they write (measured on an H200).
constexpr int WRITING_BLOCKS = 3;

// The sums of all segments, where there are many: a warp for each of the short ones, a block for the others.
__global__ void __launch_bounds__(COLUMNS, 1) addSegments(const __grid_constant__ Arguments a, int sums) {
  __shared__ double columns[MAX_SUMS * COLUMNS];
  const int64_t warp = threadIdx.x / 32;
  const int thread = static_cast<int>(threadIdx.x) % 32;
  for (int64_t first = int64_t(blockIdx.x) * WARPS; first < a.segmentCount; first += int64_t(gridDim.x) * WARPS) {
    const int64_t end = min(first + WARPS, int64_t(a.segmentCount));
    if (first + warp < end && isShort(a.segments[first + warp])) addShortSegment(a, a.segments[first + warp], first + warp, sums, thread);
    for (int64_t row = first; row < end; ++row)
      if (!isShort(a.segments[row])) addLongSegment(a, a.segments[row], row, sums, columns);
  }
}

template <class T>
void putInline(Arguments& arguments, const double* rows, size_t count) {
  T* const to = reinterpret_cast<T*>(arguments.inlineRows);
  for (size_t i = 0; i < count; ++i) to[i] = static_cast<T>(rows[i]);
}

void putTensors(Arguments& arguments, const Plan& plan) {
  arguments.inlineTensors = static_cast<int32_t>(plan.tensors.size());
  std::copy(plan.tensors.begin(), plan.tensors.end(), arguments.tensor);
  int64_t chunk = 0;
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    arguments.firstChunk[t] = static_cast<int32_t>(chunk);
    chunk += (plan.tensors[t].count + CHUNK - 1) / CHUNK;
  }
}

// As many blocks as the GPU holds at a time, or fewer that have the same number of chunks, or one less.
unsigned evenGrid(int64_t count, int64_t most) {
  const int64_t rounds = (count + most - 1) / most;
  return static_cast<unsigned>((count + rounds - 1) / rounds);
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

}  // namespace

// Enqueues a bound kernel over all chunks. The tables are on the device, and the stream follows the plan's work.
st_status enqueue(CudaDevice& on, const Plan& plan, const Binding& binding, CudaPlan& tables, cudaStream_t stream, const Given* given) {
  const size_t segments = plan.segments.size();
  const size_t coefficients = segments * static_cast<size_t>(binding.coefficients);
  const bool inlined = !given && coefficients * sizeof(double) <= INLINE_BYTES;
  if (!given)
    STEPTUNER_CUDA(on.explain,
                   grow(tables.chunkSums, tables.chunkSumsSize, plan.chunks.size() * static_cast<size_t>(binding.sums), tables));
  if (!given && !inlined) STEPTUNER_CUDA(on.explain, grow(tables.coefficients, tables.coefficientsSize, coefficients, tables));

  Arguments arguments = {};
  arguments.tensors = tables.tensors;
  arguments.chunks = tables.chunks;
  arguments.segments = tables.segments;
  arguments.segmentCount = static_cast<int32_t>(segments);
  for (int o = 0; o < binding.operands; ++o)
    arguments.slot[o] = binding.slot[o] < 0 ? nullptr : plan.slots[static_cast<size_t>(binding.slot[o])];
  if (plan.tensors.size() <= INLINE_TENSORS) putTensors(arguments, plan);
  if (segments <= LAST_BLOCK_SEGMENTS) std::copy(plan.segments.begin(), plan.segments.end(), arguments.segment);
  arguments.chunkSums = given ? given->chunkSums : tables.chunkSums;
  arguments.sumRows = binding.sumRows;
  arguments.ticket = tables.ticket;
  arguments.backwards = backwards(plan);
  if (given) {
    arguments.go = given->go;
    arguments.coefficientRows = given->coefficientRows;
  } else if (!inlined) {
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
    arguments.count = static_cast<int32_t>(tables.listed[type]);
    arguments.finish = !given && lastBlockAdds && (!both || type == 1);
    if (inlined && type == 0) putInline<float>(arguments, binding.coefficientRows, coefficients);
    if (inlined && type == 1) putInline<double>(arguments, binding.coefficientRows, coefficients);
    const int64_t most = int64_t(std::max(std::min(resident, binding.sums > 0 ? resident : WRITING_BLOCKS), 1)) * on.processors;
    arguments.inParts = binding.sums == 0 && arguments.count <= most;
    if (arguments.inParts) arguments.count *= PARTS;
    STEPTUNER_CUDA(on.explain, launch.run(arguments, evenGrid(arguments.count, most), stream));
  }
  if (plan.chunks.empty()) {
    for (size_t i = 0; !given && i < segments * static_cast<size_t>(binding.sums); ++i) binding.sumRows[i] = 0;
  } else if (binding.sums > 0 && !lastBlockAdds) {
    int sums = binding.sums;
    void* pointers[] = {&arguments, &sums};
    const unsigned blocks = static_cast<unsigned>(std::min<size_t>((segments + WARPS - 1) / WARPS, 65535));
    STEPTUNER_CUDA(on.explain, cudaLaunchKernel(addSegments, dim3(blocks), dim3(COLUMNS), pointers, 0, stream));
  }
  return ST_OK;
}

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
