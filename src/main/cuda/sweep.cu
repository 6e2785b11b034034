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
__global__ void __launch_bounds__(COLUMNS, 1) addManySegments(const __grid_constant__ Arguments a, int count) {
  __shared__ double columns[MAX_SUMS * COLUMNS];
  __shared__ bool last;
  const SumsOfSegments sums = {a.chunkSums, a.sumRows, count};
  const int64_t warp = threadIdx.x / 32;
  const int thread = static_cast<int>(threadIdx.x) % 32;
  for (int64_t first = int64_t(blockIdx.x) * WARPS; first < a.segmentCount; first += int64_t(gridDim.x) * WARPS) {
    const int64_t end = min(first + WARPS, int64_t(a.segmentCount));
    for (int s = 0; s < count && first + warp < end && isShort(a.segments[first + warp]); ++s)
      addShortSum(a.segments[first + warp], first + warp, s, sums, thread);
    for (int64_t row = first; row < end; ++row)
      if (!isShort(a.segments[row])) addLongSegment(a.segments[row], row, sums, columns);
  }
  if (a.told && isLastBlock(a.ticket, last)) tellHost(a);
}

// Rows of `width` coefficients in the type that the kernel computes in. A period, which may have more bits than a float, goes as it is.
template <class T>
void putInline(Arguments& arguments, const double* rows, size_t count, int width, int period) {
  T* const to = reinterpret_cast<T*>(arguments.inlineRows);
  for (size_t i = 0; i < count; ++i) to[i] = static_cast<T>(rows[i]);
  for (size_t i = static_cast<size_t>(period); period >= 0 && i < count; i += static_cast<size_t>(width)) to[i] = periodAs<T>(rows[i]);
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

// Whether some operand of some tensor is not of the type that it is computed in, or some slot not laid out as others are. `type`: that of
// the computation.
Form formOf(const CudaPlan& tables, const Binding& binding, int type) {
  if (type == 1) return WIDE;
  for (int o = 0; o < binding.operands; ++o) {
    const Place place = binding.operand[o].place;
    if ((place == GRADIENT && tables.otherGradients) || (place == PARAMETER && tables.narrowParameters) ||
        (place == STATE && (binding.storage[o] == HALF || (binding.storage[o] == AS_PARAMETER && tables.narrowParameters))))
      return MIXED;
  }
  return PLAIN;
}

// Asked once for each form of a kernel. Threads that ask at the same time are told the same.
cudaError_t residentBlocks(const CudaDevice& on, const Binding& binding, Form form, int& blocks) {
  std::atomic<int>& known = on.residentBlocks[static_cast<size_t>(FORMS * binding.kernel + form)];
  blocks = known.load(std::memory_order_relaxed);
  if (blocks > 0) return cudaSuccess;
  const cudaError_t error = allLaunches()[static_cast<size_t>(binding.kernel)].of[form].residentBlocks(&blocks);
  blocks = std::max(blocks, 1);
  if (error == cudaSuccess) known.store(blocks, std::memory_order_relaxed);
  return error;
}

// As many blocks as fit, but no more than it takes for all to have the same number of chunks, or one less.
unsigned evenBlocks(int64_t chunks, int64_t most) {
  const int64_t rounds = (chunks + most - 1) / most;
  return static_cast<unsigned>((chunks + rounds - 1) / rounds);
}

}  // namespace

cudaError_t loadKernels(const CudaDevice& on, const CudaPlan& tables, const Binding& binding) {
  int blocks = 0;
  cudaError_t error = cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, addManySegments, COLUMNS, 0);
  for (int type = 0; type < 2; ++type)
    if (error == cudaSuccess && tables.listed[type] > 0) error = residentBlocks(on, binding, formOf(tables, binding, type), blocks);
  return error;
}

st_status enqueue(CudaDevice& on, const Plan& plan, const Binding& binding, CudaPlan& tables, Work& work, const Given* given) {
  const size_t segments = plan.segments.size();
  const size_t inMemory = coefficientsInMemory(plan, binding);
  const bool inlined = !given && inMemory == 0;
  const cudaStream_t stream = work.stream;
  work.number = 0;

  Arguments arguments = {};
  arguments.tensors = tables.tensors;
  arguments.chunks = tables.chunks;
  arguments.segments = tables.segments;
  arguments.segmentCount = static_cast<int32_t>(segments);
  for (int o = 0; o < binding.operands; ++o) {
    arguments.slot[o] = binding.slot[o] < 0 ? nullptr : plan.slots[static_cast<size_t>(binding.slot[o])].memory;
    arguments.storage[o] = static_cast<int8_t>(binding.storage[o]);
  }
  arguments.rest = binding.inParts && plan.restSlot >= 0 ? plan.slots[static_cast<size_t>(plan.restSlot)].memory : nullptr;
  arguments.stochastic = binding.stochastic;
  arguments.step = given ? given->step : nullptr;
  arguments.key = arguments.step ? binding.key : stepKey(binding.key, plan.step);
  if (plan.tensors.size() <= INLINE_TENSORS) putTensors(arguments, plan);
  if (segments <= LAST_BLOCK_SEGMENTS) std::copy(plan.segments.begin(), plan.segments.end(), arguments.segment);
  arguments.chunkSums = given ? given->chunkSums : tables.chunkSums.memory;
  arguments.sumRows = binding.sumRows;
  arguments.ticket = tables.ticket;
  arguments.backwards = backwards(plan);
  if (given) {
    arguments.go = given->go;
    arguments.coefficientRows = given->coefficientRows;
  } else if (!inlined) {
    STEPTUNER_CUDA(on.explain, sendRows(binding.coefficientRows, inMemory, tables, stream));
    arguments.coefficientRows = tables.coefficients.memory;
  }
  // In a graph it would be the same number at every launch.
  if (!given && binding.sums > 0 && !plan.chunks.empty() && !work.capture) {
    arguments.told = tables.order.told();
    arguments.number = tables.order.nextNumber();
  }

  const bool lastBlockAdds = binding.sums > 0 && segments <= LAST_BLOCK_SEGMENTS;
  const Launches& launches = allLaunches()[static_cast<size_t>(binding.kernel)];
  const bool both = tables.lists != nullptr;
  for (int type = 0; type < 2; ++type) {
    if (tables.listed[type] == 0) continue;
    const Form form = formOf(tables, binding, type);
    const Launch& launch = launches.of[form];
    int resident = 0;
    STEPTUNER_CUDA(on.explain, residentBlocks(on, binding, form, resident));
    arguments.list = both ? tables.lists + (type == 0 ? 0 : tables.listed[0]) : nullptr;
    arguments.count = static_cast<int32_t>(tables.listed[type]);
    arguments.finish = !given && lastBlockAdds && (!both || type == 1);
    const size_t coefficients = segments * static_cast<size_t>(binding.coefficients);
    if (inlined && type == 0) putInline<float>(arguments, binding.coefficientRows, coefficients, binding.coefficients, launch.period);
    if (inlined && type == 1) putInline<double>(arguments, binding.coefficientRows, coefficients, binding.coefficients, launch.period);
    const int64_t most = int64_t(binding.sums > 0 ? resident : std::min(resident, WRITING_BLOCKS)) * on.processors;
    arguments.inParts = binding.sums == 0 && arguments.count <= most;
    if (arguments.inParts) arguments.count *= PARTS;
    STEPTUNER_CUDA(on.explain, launch.run(arguments, evenBlocks(arguments.count, most), stream));
  }
  if (plan.chunks.empty()) {
    for (size_t i = 0; !given && i < segments * static_cast<size_t>(binding.sums); ++i) binding.sumRows[i] = 0;
  } else if (binding.sums > 0 && !lastBlockAdds) {
    int sums = binding.sums;
    void* pointers[] = {&arguments, &sums};
    const unsigned blocks = static_cast<unsigned>(std::min<size_t>((segments + WARPS - 1) / WARPS, 65535));
    STEPTUNER_CUDA(on.explain, cudaLaunchKernel(addManySegments, dim3(blocks), dim3(COLUMNS), pointers, 0, stream));
  }
  work.number = arguments.number;
  return ST_OK;
}

namespace {

// The order within: what may fail without having launched anything comes first.
st_status launchAll(CudaDevice& on, const Plan& plan, const Binding& binding, const Binding* follower, CudaPlan& tables, Work& work) {
  st_status status = reserve(on, plan, tables, work, binding);
  if (status == ST_OK && follower) status = reserve(on, plan, tables, work, *follower);
  if (status == ST_OK) status = upload(on, plan, tables, work);
  if (status == ST_OK) status = enqueue(on, plan, binding, tables, work);
  if (status == ST_OK && follower) status = enqueue(on, plan, *follower, tables, work);
  return status;
}

}  // namespace

// A follower is a launch of its own: within the harness it would be compiled into every kernel.
st_status sweep(void* device, Plan& plan, Binding& binding, const Binding* follower, void* queue) {
  CudaDevice& on = cuda(device);
  const Current current(on.index);
  CudaPlan& tables = tablesOf(plan);
  Work work;
  const st_status begun = tables.order.begin(on.explain, static_cast<cudaStream_t>(queue), work);
  if (begun != ST_OK) return begun;
  if (work.capture && binding.sums > 0) return refuseCaptured(on.explain, "the host could not read the sums of this sweep there");
  return tables.order.end(on.explain, work, launchAll(on, plan, binding, follower, tables, work));
}

st_status wait(void* device, Plan& plan, void* queue) {
  CudaPlan* const tables = static_cast<CudaPlan*>(plan.device);
  if (!tables || tables->order.known()) return ST_OK;
  const Current current(cuda(device).index);
  const cudaStream_t stream = static_cast<cudaStream_t>(queue);
  const cudaError_t error = tables->order.finish(&stream);
  return error == cudaSuccess ? ST_OK : failed(cuda(device).explain, "waiting for the plan's work", error);
}

void forget(void* device, Plan& plan) {
  const Current current(cuda(device).index);
  const Relaxed relaxed;
  delete static_cast<CudaPlan*>(plan.device);
  plan.device = nullptr;
}

}  // namespace steptuner
