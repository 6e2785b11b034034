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

// Numbers of all scopes and segments, up to which they are worked on in shared memory: phases then wait for the device's memory only at
// the first and last.
constexpr int NEAR = 512;

template <class T>
__device__ __forceinline__ void copyWords(T* to, const T* from, int count) {
  static_assert(sizeof(T) == 8, "words of 8 bytes");
  for (int i = static_cast<int>(threadIdx.x); i < count; i += COLUMNS) to[i] = from[i];
}

template <class M>
__global__ void __launch_bounds__(COLUMNS, 1) runScalars(const __grid_constant__ ScalarsLaunch a) {
  __shared__ double columns[MAX_SUMS * COLUMNS];
  __shared__ double near[NEAR];
  __shared__ int64_t whole[sizeof(CaptureState) / 8];
  static_assert(sizeof(CaptureState) % 8 == 0, "it is copied by words");
  const CaptureTables& t = a.tables;
  const int states = t.scopes * t.stateWidth, scratch = t.scopes * t.scratchWidth;
  const int firstSums = t.segments * t.firstSums, secondSums = t.segments * t.secondSums;
  const bool isNear = int64_t(t.scopes) * (t.stateWidth + t.scratchWidth) + int64_t(t.segments) * (t.firstSums + t.secondSums) <= NEAR;
  CaptureMemory memory = memoryOf(t);
  memory.whole = reinterpret_cast<CaptureState*>(whole);
  copyWords(whole, reinterpret_cast<const int64_t*>(t.whole), int(sizeof(CaptureState) / 8));
  if (isNear) {
    memory = {memory.whole, near, near + states, near + states + scratch, near + states + scratch + firstSums};
    copyWords(memory.state, t.state, states);
    copyWords(memory.scratch, t.scratch, scratch);
    copyWords(memory.firstSumRows, t.firstSumRows, firstSums);
    copyWords(memory.secondSumRows, t.secondSumRows, secondSums);
  }
  __syncthreads();
  if (a.secondChunkSums && memory.whole->waiting)
    addSegments(a.segments, t.segments, {a.secondChunkSums, memory.secondSumRows, t.secondSums}, columns);
  if (a.firstChunkSums) addSegments(a.segments, t.segments, {a.firstChunkSums, memory.firstSumRows, t.firstSums}, columns);
  __syncthreads();
#pragma unroll 1
  for (int phase = a.begin; phase < a.end; ++phase) {
    CaptureScalars<M>::run(phase, t, memory, static_cast<int>(threadIdx.x), COLUMNS);
    __syncthreads();
  }
  copyWords(reinterpret_cast<int64_t*>(t.whole), whole, int(sizeof(CaptureState) / 8));
  if (isNear) {
    copyWords(t.state, memory.state, states);
    copyWords(t.scratch, memory.scratch, scratch);
  }
  if (a.end != Phase::STEP_END) return;
  __threadfence_system();  // the report, of all threads, before the word that it has arrived
  __syncthreads();
  if (threadIdx.x == 0) storeForHost(reinterpret_cast<uint64_t*>(t.arrived), static_cast<uint64_t>(memory.whole->attempts));
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
    const Given given = {t.firstRows, capture.firstChunkSums, begins ? &t.whole->goFirst : nullptr};
    const st_status status = enqueueCaptured(on, plan, *capture.first, tables, work, t.firstSumRows, given);
    if (status != ST_OK) return status;
  }
  const int from = begins ? Phase::BEGIN_END : Phase::FIND_ROW;
  STEPTUNER_CUDA(on.explain, launchScalars(plan, capture, tables, from, Phase::STEP_END, work.stream));
  const Given given = {t.secondRows, capture.secondChunkSums, &t.whole->goSecond};
  return enqueueCaptured(on, plan, *capture.second, tables, work, t.secondSumRows, given);
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
