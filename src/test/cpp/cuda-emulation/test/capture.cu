// SPDX-License-Identifier: Apache-2.0
//
// Stream capture and graphs: what is captured and runs later, and what CUDA forbids meanwhile. Compiled by nvcc, it said on an H200 with
// driver 580 and CUDA 13.0 which of its expectations were wrong; they are as seen there now, but for two copies.
#include "check.h"

#include <functional>
#include <thread>

namespace {

__global__ void add(int* value, int amount) { *value += amount; }
__global__ void twice(int* value) { *value *= 2; }
__global__ void sum(const int* a, const int* b, int* to) { *to = *a + *b; }

struct Fixture {
  explicit Fixture(unsigned flags = cudaStreamNonBlocking) {
    CHECK_EQUAL(cudaStreamCreateWithFlags(&stream, flags), cudaSuccess);
    CHECK_EQUAL(cudaStreamCreateWithFlags(&other, flags), cudaSuccess);
    CHECK_EQUAL(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
    CHECK_EQUAL(cudaEventCreateWithFlags(&outside, cudaEventDisableTiming), cudaSuccess);
    CHECK_EQUAL(cudaMalloc(&values, 3 * sizeof(int)), cudaSuccess);
    CHECK_EQUAL(cudaMallocHost(&pinned, sizeof(int)), cudaSuccess);
    CHECK_EQUAL(cudaMemsetAsync(values, 0, 3 * sizeof(int), stream), cudaSuccess);
    CHECK_EQUAL(cudaEventRecord(outside, stream), cudaSuccess);
    CHECK_EQUAL(cudaStreamSynchronize(stream), cudaSuccess);
  }
  ~Fixture() {
    CHECK_EQUAL(cudaDeviceSynchronize(), cudaSuccess);
    CHECK_EQUAL(cudaFree(values), cudaSuccess);
    CHECK_EQUAL(cudaFreeHost(pinned), cudaSuccess);
    CHECK_EQUAL(cudaEventDestroy(event), cudaSuccess);
    CHECK_EQUAL(cudaEventDestroy(outside), cudaSuccess);
    CHECK_EQUAL(cudaStreamDestroy(stream), cudaSuccess);
    CHECK_EQUAL(cudaStreamDestroy(other), cudaSuccess);
    cudaGetLastError();
  }

  int value(int i) {
    CHECK_EQUAL(cudaMemcpyAsync(pinned, values + i, sizeof(int), cudaMemcpyDeviceToHost, stream), cudaSuccess);
    CHECK_EQUAL(cudaStreamSynchronize(stream), cudaSuccess);
    return *pinned;
  }
  void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal) { CHECK_EQUAL(cudaStreamBeginCapture(stream, mode), cudaSuccess); }
  cudaGraphExec_t end() {
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    CHECK_EQUAL(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    CHECK_EQUAL(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    CHECK_EQUAL(cudaGraphDestroy(graph), cudaSuccess);
    return executable;
  }
  // Whether `call` gives this error, and whether the capture then ends so.
  void during(cudaStreamCaptureMode mode, cudaError_t expected, cudaError_t atEnd, const std::function<cudaError_t()>& call) {
    begin(mode);
    CHECK_EQUAL(call(), expected);
    cudaStreamCaptureStatus status;
    CHECK_EQUAL(cudaStreamIsCapturing(stream, &status), cudaSuccess);
    CHECK_EQUAL(status, atEnd == cudaSuccess ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusInvalidated);
    if (atEnd != cudaSuccess) CHECK_EQUAL(launch(twice, {1, 1, 0, stream}, values), cudaErrorStreamCaptureInvalidated);
    cudaGraph_t graph;
    CHECK_EQUAL(cudaStreamEndCapture(stream, &graph), atEnd);
    if (atEnd == cudaSuccess) CHECK_EQUAL(cudaGraphDestroy(graph), cudaSuccess);
    CHECK_EQUAL(cudaStreamIsCapturing(stream, &status), cudaSuccess);
    CHECK_EQUAL(status, cudaStreamCaptureStatusNone);
  }
  void spoils(cudaError_t expected, const std::function<cudaError_t()>& call) {
    during(cudaStreamCaptureModeGlobal, expected, cudaErrorStreamCaptureInvalidated, call);
  }

  cudaStream_t stream, other;
  cudaEvent_t event, outside;
  int* values;
  int* pinned;
};

void runsWhenLaunched() {
  Fixture f;
  int amount = 3;
  f.begin();
  unsigned long long id = 0;
  cudaStreamCaptureStatus status;
  CHECK_EQUAL(cudaStreamGetCaptureInfo(f.stream, &status, &id), cudaSuccess);
  CHECK(status == cudaStreamCaptureStatusActive && id != 0);
  CHECK_EQUAL(launch(add, {1, 1, 0, f.stream}, f.values, amount), cudaSuccess);
  CHECK_EQUAL(launch(twice, {1, 1, 0, f.stream}, f.values), cudaSuccess);
  amount = 1000;
  const cudaGraphExec_t graph = f.end();
  CHECK_EQUAL(f.value(0), 0);
  for (int expected : {6, 18, 42}) {
    CHECK_EQUAL(cudaGraphLaunch(graph, f.stream), cudaSuccess);
    CHECK_EQUAL(f.value(0), expected);
  }
  // On another stream a launch comes after the launch before.
  CHECK_EQUAL(cudaGraphLaunch(graph, f.stream), cudaSuccess);
  CHECK_EQUAL(cudaGraphLaunch(graph, f.other), cudaSuccess);
  CHECK_EQUAL(cudaStreamSynchronize(f.other), cudaSuccess);
  CHECK_EQUAL(f.value(0), 186);
  CHECK_EQUAL(cudaGraphExecDestroy(graph), cudaSuccess);
}

// A fork: the other stream takes part by the event, and is joined by another one.
void eventsBringStreamsIn() {
  Fixture f;
  f.begin();
  CHECK_EQUAL(launch(add, {1, 1, 0, f.stream}, f.values, 1), cudaSuccess);
  CHECK_EQUAL(cudaEventRecord(f.event, f.stream), cudaSuccess);
  CHECK_EQUAL(cudaStreamWaitEvent(f.other, f.event), cudaSuccess);
  CHECK_EQUAL(launch(add, {1, 1, 0, f.other}, f.values + 1, 10), cudaSuccess);
  CHECK_EQUAL(cudaEventRecord(f.event, f.other), cudaSuccess);
  CHECK_EQUAL(launch(twice, {1, 1, 0, f.stream}, f.values), cudaSuccess);
  CHECK_EQUAL(cudaStreamWaitEvent(f.stream, f.event), cudaSuccess);
  CHECK_EQUAL(launch(sum, {1, 1, 0, f.stream}, f.values, f.values + 1, f.values + 2), cudaSuccess);
  cudaGraph_t graph;
  CHECK_EQUAL(cudaStreamEndCapture(f.stream, &graph), cudaSuccess);
  size_t nodes = 0;
  CHECK_EQUAL(cudaGraphGetNodes(graph, nullptr, &nodes), cudaSuccess);
  CHECK_EQUAL(nodes, size_t{4});
  cudaStreamCaptureStatus status;
  CHECK_EQUAL(cudaStreamIsCapturing(f.other, &status), cudaSuccess);
  CHECK_EQUAL(status, cudaStreamCaptureStatusNone);
  cudaGraphExec_t executable;
  CHECK_EQUAL(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  CHECK_EQUAL(cudaGraphLaunch(executable, f.stream), cudaSuccess);
  CHECK_EQUAL(f.value(2), 12);
  CHECK_EQUAL(cudaGraphExecDestroy(executable), cudaSuccess);
  CHECK_EQUAL(cudaGraphDestroy(graph), cudaSuccess);
}

void forksMustBeJoined() {
  Fixture f;
  f.begin();
  CHECK_EQUAL(cudaEventRecord(f.event, f.stream), cudaSuccess);
  CHECK_EQUAL(cudaStreamWaitEvent(f.other, f.event), cudaSuccess);
  CHECK_EQUAL(launch(add, {1, 1, 0, f.other}, f.values, 1), cudaSuccess);
  cudaGraph_t graph;
  CHECK_EQUAL(cudaStreamEndCapture(f.other, &graph), cudaErrorStreamCaptureUnmatched);
  CHECK_EQUAL(cudaStreamEndCapture(f.stream, &graph), cudaErrorStreamCaptureInvalidated);
  CHECK_EQUAL(cudaStreamEndCapture(f.stream, &graph), cudaErrorIllegalState);
  CHECK(graph == nullptr);
  f.begin();
  CHECK_EQUAL(cudaEventRecord(f.event, f.stream), cudaSuccess);
  CHECK_EQUAL(cudaStreamWaitEvent(f.other, f.event), cudaSuccess);
  CHECK_EQUAL(launch(add, {1, 1, 0, f.other}, f.values, 1), cudaSuccess);
  CHECK_EQUAL(cudaStreamEndCapture(f.stream, &graph), cudaErrorStreamCaptureUnjoined);
}

void nothingIsWaitedFor() {
  Fixture f;
  unsigned long long id = 0;
  f.spoils(cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamGetId(f.stream, &id); });
  f.during(cudaStreamCaptureModeGlobal, cudaSuccess, cudaSuccess, [&] { return cudaStreamGetId(f.other, &id); });
  f.spoils(cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamSynchronize(f.stream); });
  f.spoils(cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamQuery(f.stream); });
  f.spoils(cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamSynchronize(f.other); });
  f.spoils(cudaErrorStreamCaptureUnsupported, [&] { return cudaDeviceSynchronize(); });
  f.spoils(cudaErrorStreamCaptureUnsupported, [&] { return cudaEventQuery(f.outside); });
  f.spoils(cudaErrorStreamCaptureIsolation, [&] { return cudaStreamWaitEvent(f.stream, f.outside); });
  for (const auto wait : {cudaEventSynchronize, cudaEventQuery})
    f.spoils(cudaErrorCapturedEvent, [&] {
      CHECK_EQUAL(cudaEventRecord(f.event, f.stream), cudaSuccess);
      return wait(f.event);
    });
}

void nothingIsAllocated() {
  Fixture f;
  int* memory = nullptr;
  int pageable = 0;
  f.spoils(cudaErrorStreamCaptureUnsupported, [&] { return cudaMalloc(&memory, 8); });
  f.spoils(cudaErrorStreamCaptureUnsupported, [&] { return cudaMallocHost(&memory, 8); });
  f.spoils(cudaErrorStreamCaptureUnsupported, [&] { return cudaFree(f.values); });
  f.spoils(cudaErrorStreamCaptureUnsupported, [&] { return cudaFreeHost(f.pinned); });
  // CUDA takes these two copies; here they are faults, since a graph would read that memory at every launch.
  f.spoils(cudaErrorStreamCaptureUnsupported, [&] { return cudaMemcpy(f.values, &pageable, sizeof(int), cudaMemcpyHostToDevice); });
  f.spoils(cudaErrorStreamCaptureUnsupported,
           [&] { return cudaMemcpyAsync(f.values, &pageable, sizeof(int), cudaMemcpyHostToDevice, f.stream); });
  f.during(cudaStreamCaptureModeGlobal, cudaSuccess, cudaSuccess,
           [&] { return cudaMemcpyAsync(f.values, f.pinned, sizeof(int), cudaMemcpyHostToDevice, f.stream); });
  f.during(cudaStreamCaptureModeRelaxed, cudaSuccess, cudaSuccess, [&] { return cudaMalloc(&memory, 8); });
  CHECK_EQUAL(cudaFree(memory), cudaSuccess);
}

// What other threads may do meanwhile depends on the mode of the capture and on theirs.
void otherThreads() {
  Fixture f;
  int* memory = nullptr;
  const auto elsewhere = [&](cudaStreamCaptureMode mode) {
    cudaError_t error = cudaErrorUnknown;
    std::thread([&] {
      CHECK_EQUAL(cudaThreadExchangeStreamCaptureMode(&mode), cudaSuccess);
      CHECK_EQUAL(mode, cudaStreamCaptureModeGlobal);
      error = cudaMalloc(&memory, 8);
    }).join();
    return error;
  };
  f.spoils(cudaErrorStreamCaptureUnsupported, [&] { return elsewhere(cudaStreamCaptureModeGlobal); });
  f.during(cudaStreamCaptureModeGlobal, cudaSuccess, cudaSuccess, [&] { return elsewhere(cudaStreamCaptureModeThreadLocal); });
  CHECK_EQUAL(cudaFree(memory), cudaSuccess);
  f.during(cudaStreamCaptureModeThreadLocal, cudaSuccess, cudaSuccess, [&] { return elsewhere(cudaStreamCaptureModeGlobal); });
  CHECK_EQUAL(cudaFree(memory), cudaSuccess);
  f.during(cudaStreamCaptureModeThreadLocal, cudaErrorStreamCaptureUnsupported, cudaErrorStreamCaptureInvalidated,
           [&] { return cudaMalloc(&memory, 8); });
  cudaGraph_t graph = nullptr;
  f.begin();
  std::thread([&] { CHECK_EQUAL(cudaStreamEndCapture(f.stream, &graph), cudaErrorStreamCaptureWrongThread); }).join();
  CHECK_EQUAL(cudaStreamEndCapture(f.stream, &graph), cudaErrorIllegalState);
}

void theLegacyStreamStaysOut() {
  Fixture f(cudaStreamDefault);
  CHECK_EQUAL(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal), cudaErrorStreamCaptureUnsupported);
  f.spoils(cudaErrorStreamCaptureImplicit, [&] { return launch(add, {1, 1}, f.values, 1); });
  f.during(cudaStreamCaptureModeGlobal, cudaErrorStreamCaptureImplicit, cudaSuccess, [] {
    cudaStreamCaptureStatus status;
    return cudaStreamIsCapturing(nullptr, &status);
  });
  Fixture apart;
  apart.during(cudaStreamCaptureModeGlobal, cudaSuccess, cudaSuccess, [&] { return launch(add, {1, 1}, f.values, 1); });
  CHECK_EQUAL(cudaDeviceSynchronize(), cudaSuccess);
}

void capturesStayApart() {
  Fixture a, b;
  b.begin(cudaStreamCaptureModeThreadLocal);
  CHECK_EQUAL(cudaEventRecord(b.event, b.stream), cudaSuccess);
  a.spoils(cudaErrorStreamCaptureMerge, [&] { return cudaStreamWaitEvent(a.stream, b.event); });
  cudaGraph_t graph;
  CHECK_EQUAL(cudaStreamEndCapture(b.stream, &graph), cudaErrorStreamCaptureInvalidated);
}

// An event stays captured until it is recorded again.
void afterwards() {
  Fixture f;
  f.begin();
  CHECK_EQUAL(cudaEventRecord(f.event, f.stream), cudaSuccess);
  CHECK_EQUAL(cudaGraphExecDestroy(f.end()), cudaSuccess);
  CHECK_EQUAL(cudaEventSynchronize(f.event), cudaErrorInvalidValue);
  CHECK_EQUAL(cudaEventQuery(f.event), cudaErrorInvalidValue);
  CHECK_EQUAL(cudaStreamWaitEvent(f.stream, f.event), cudaErrorInvalidValue);
  CHECK_EQUAL(cudaEventRecord(f.event, f.stream), cudaSuccess);
  CHECK_EQUAL(cudaEventSynchronize(f.event), cudaSuccess);
}

}  // namespace

int main() {
  runsWhenLaunched();
  eventsBringStreamsIn();
  forksMustBeJoined();
  nothingIsWaitedFor();
  nothingIsAllocated();
  otherThreads();
  theLegacyStreamStaysOut();
  capturesStayApart();
  afterwards();
  return failures != 0;
}
