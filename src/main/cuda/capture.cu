// SPDX-License-Identifier: Apache-2.0
//
// Steps whose scalars are computed on the GPU: launches alone, which a stream that is being captured takes. The scalars have a launch of
// their own, of one block, between the sweeps: as a part of the first sweep's last block they would be in every kernel that observes.
#include "../cpp/scalars/machines.h"
#include "../cpp/scalars/step.h"
#include "device.cuh"
#include "plan.cuh"
#include "sums.cuh"
#include <vector>

namespace steptuner {
namespace {

struct ScalarsLaunch {
  CaptureTables tables;
  const Segment* segments;
  double* firstChunkSums;  // to be added before the phases; null where they have been, or there are none
  double* secondChunkSums;
  int32_t begin;  // phases
  int32_t end;
};
static_assert(sizeof(ScalarsLaunch) <= 4096, "more than every GPU takes with a launch");

// What the scalars work on comes into shared memory if it is no longer than this. Phases then wait for the device's memory only at the
// first and last.
constexpr int NEAR_WORDS = 2 * COLUMNS;  // of 16 bytes
constexpr int NEAR_ROW = COLUMNS;        // doubles

// A thread loads all that it brings before it stores the first of it: the loads, of which only the row's waits for another one, take as
// long as one or two.
template <class M>
__global__ void __launch_bounds__(COLUMNS, 1) runScalars(const __grid_constant__ ScalarsLaunch a) {
  __shared__ double columns[MAX_SUMS * COLUMNS];
  __shared__ uint4 nearWords[NEAR_WORDS];
  __shared__ double nearRow[NEAR_ROW];
  constexpr int EACH = NEAR_WORDS / COLUMNS;
  const CaptureTables& t = a.tables;
  const int thread = static_cast<int>(threadIdx.x);
  uint4* const farWords = reinterpret_cast<uint4*>(t.memory.whole);
  const int64_t words = t.memoryBytes / int64_t(sizeof(uint4));
  const bool isNear = words <= NEAR_WORDS, rowIsNear = t.rowWidth <= NEAR_ROW;
  const double* const farRow = rowOf(t, t.memory.whole->made);
  uint4 some[EACH] = {};
  double number = 0;
#pragma unroll
  for (int i = 0; i < EACH; ++i)
    if (isNear && thread + i * COLUMNS < words) some[i] = farWords[thread + i * COLUMNS];
  if (rowIsNear && thread < t.rowWidth) number = farRow[thread];
#pragma unroll
  for (int i = 0; i < EACH; ++i) nearWords[thread + i * COLUMNS] = some[i];
  nearRow[thread] = number;
  const CaptureMemory memory = isNear ? t.memory.in(nearWords) : t.memory;
  const double* const row = rowIsNear ? nearRow : farRow;
  __syncthreads();
  if (a.secondChunkSums && memory.whole->waiting)
    addSegments(a.segments, t.segments, {a.secondChunkSums, memory.secondSumRows, t.secondSums}, columns);
  if (a.firstChunkSums) addSegments(a.segments, t.segments, {a.firstChunkSums, memory.firstSumRows, t.firstSums}, columns);
  __syncthreads();
#pragma unroll 1
  for (int phase = a.begin; phase < a.end; ++phase) {
    CaptureScalars<M>::run(phase, t, memory, row, thread, COLUMNS);
    __syncthreads();
  }
  for (int i = thread; isNear && i < words; i += COLUMNS) farWords[i] = nearWords[i];
  if (a.end != Phase::STEP_END) return;
  __threadfence_system();  // the report, of all threads, before the word that it has arrived
  __syncthreads();
  if (thread == 0) storeForHost(reinterpret_cast<uint64_t*>(t.arrived), static_cast<uint64_t>(memory.whole->attempts));
}

struct Run {
  cudaError_t (*launch)(ScalarsLaunch& launch, cudaStream_t stream);
  cudaError_t (*load)();
};

template <class M>
Run runOf() {
  return {[](ScalarsLaunch& launch, cudaStream_t stream) {
            void* pointers[] = {&launch};
            return cudaLaunchKernel(runScalars<M>, dim3(1), dim3(COLUMNS), pointers, 0, stream);
          },
          [] {
            int blocks = 0;
            return cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, runScalars<M>, COLUMNS, 0);
          }};
}

template <class... M>
std::vector<Run> runsOf(List<M...>) {
  return {runOf<M>()...};
}

const Run& runOf(const Capture& capture) {
  static const std::vector<Run> runs = runsOf(Machines{});
  return runs[static_cast<size_t>(capture.scalars)];
}

// The sums of few segments are added here; those of many have been, by a launch with more blocks.
cudaError_t launchScalars(const Plan& plan, const Capture& capture, const CudaPlan& tables, int begin, int end, cudaStream_t stream) {
  ScalarsLaunch launch = {};
  launch.tables = capture.tables;
  launch.segments = tables.segments;
  launch.begin = begin;
  launch.end = end;
  const bool adds = plan.segments.size() <= LAST_BLOCK_SEGMENTS;
  const bool settles = begin <= Phase::BEGIN_SCOPES || begin == Phase::SETTLE;
  const bool collects = begin <= Phase::COLLECT && end > Phase::COLLECT;
  if (adds && settles && capture.tables.secondSums > 0) launch.secondChunkSums = capture.secondChunkSums;
  if (adds && collects && capture.first) launch.firstChunkSums = capture.firstChunkSums;
  return runOf(capture).launch(launch, stream);
}

st_status enqueueCaptured(CudaDevice& on, Plan& plan, const Binding& bound, CudaPlan& tables, Work& work, double* sumRows,
                          const Given& given) {
  Binding binding = bound;
  binding.sumRows = sumRows;
  const st_status status = enqueue(on, plan, binding, tables, work, &given);
  ++plan.sweeps;
  return status;
}

st_status enqueueStep(CudaDevice& on, Plan& plan, Capture& capture, CudaPlan& tables, Work& work) {
  const CaptureTables& t = capture.tables;
  const bool begins = capture.decidesFirst;
  if (begins) STEPTUNER_CUDA(on.explain, launchScalars(plan, capture, tables, Phase::FIND_ROW, Phase::BEGIN_END, work.stream));
  if (capture.first) {
    const Given given = {t.firstRows, capture.firstChunkSums, begins ? &t.memory.whole->goFirst : nullptr, nullptr};
    const st_status status = enqueueCaptured(on, plan, *capture.first, tables, work, t.memory.firstSumRows, given);
    if (status != ST_OK) return status;
  }
  const int from = begins ? Phase::BEGIN_END : Phase::FIND_ROW;
  STEPTUNER_CUDA(on.explain, launchScalars(plan, capture, tables, from, Phase::STEP_END, work.stream));
  // By now the scalars have counted this step among those that are made.
  const Given given = {t.secondRows, capture.secondChunkSums, &t.memory.whole->goSecond, &t.memory.whole->made};
  return enqueueCaptured(on, plan, *capture.second, tables, work, t.memory.secondSumRows, given);
}

// Work of a plan on a stream that is not being captured; `waits`: until it is done.
template <class Launch>
st_status outsideOfCapture(CudaDevice& on, Plan& plan, void* queue, bool waits, const char* whyNot, Launch launch) {
  const Current current(on.index);
  CudaPlan& tables = tablesOf(plan);
  Work work;
  const st_status begun = tables.order.begin(on.explain, static_cast<cudaStream_t>(queue), work);
  if (begun != ST_OK) return begun;
  if (work.capture) return refuseCaptured(on.explain, whyNot);
  const st_status status = tables.order.end(on.explain, work, launch(tables, work));
  if (status == ST_OK && waits) STEPTUNER_CUDA(on.explain, cudaStreamSynchronize(work.stream));
  return status;
}

}  // namespace

st_status makeReady(void* device, Plan& plan, Capture& capture, void* queue) {
  CudaDevice& on = cuda(device);
  return outsideOfCapture(on, plan, queue, true, "steps cannot be made ready there", [&](CudaPlan& tables, Work& work) {
    const st_status status = upload(on, plan, tables, work);
    if (status != ST_OK) return status;
    STEPTUNER_CUDA(on.explain, runOf(capture).load());
    for (const Binding* binding : {capture.first, capture.second})
      if (binding) STEPTUNER_CUDA(on.explain, loadKernels(on, tables, *binding));
    return ST_OK;
  });
}

st_status send(void* device, Plan& plan, void* to, const void* from, int64_t bytes, void* queue) {
  CudaDevice& on = cuda(device);
  return outsideOfCapture(on, plan, queue, false, "steps cannot be prepared there", [&](CudaPlan&, Work& work) {
    STEPTUNER_CUDA(on.explain, cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyHostToDevice, work.stream));
    return ST_OK;
  });
}

// Nothing of outside a capture is waited for inside it, nor the other way around: makeReady has waited, and the trainer launches graphs in
// the order of the stream.
st_status captureStep(void* device, Plan& plan, Capture& capture, void* queue) {
  CudaDevice& on = cuda(device);
  const Current current(on.index);
  CudaPlan& tables = tablesOf(plan);
  Work work;
  const st_status begun = tables.order.begin(on.explain, static_cast<cudaStream_t>(queue), work);
  return begun != ST_OK ? begun : tables.order.end(on.explain, work, enqueueStep(on, plan, capture, tables, work));
}

st_status settle(void* device, Plan& plan, Capture& capture, void* queue) {
  CudaDevice& on = cuda(device);
  return outsideOfCapture(on, plan, queue, true, "nothing can be waited for there", [&](CudaPlan& tables, Work& work) {
    STEPTUNER_CUDA(on.explain, launchScalars(plan, capture, tables, Phase::SETTLE, Phase::END, work.stream));
    return ST_OK;
  });
}

bool capturing(void* device, void* queue) {
  const Current current(cuda(device).index);
  unsigned long long capture = 0;
  return captureOf(static_cast<cudaStream_t>(queue), capture) != cudaSuccess || capture != 0;
}

}  // namespace steptuner
