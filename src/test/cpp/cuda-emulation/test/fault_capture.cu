// SPDX-License-Identifier: Apache-2.0
//
// Faults: a step that runs, and cannot be captured.
#include "check.h"

__global__ void add(int* value) { *value += 1; }

static bool does(const char* fault, const char* name) { return strcmp(fault, name) == 0; }

static cudaError_t step(const char* fault, int* values, int* pinned, cudaStream_t stream, cudaEvent_t before, cudaEvent_t after) {
  int pageable = 1;
  int* memory = nullptr;
  cudaError_t error = cudaSuccess;
  if (does(fault, "allocation")) error = cudaMalloc(&memory, sizeof(int));
  if (does(fault, "outside")) error = cudaStreamWaitEvent(stream, before);
  if (does(fault, "pageable")) error = cudaMemcpyAsync(values, &pageable, sizeof(int), cudaMemcpyHostToDevice, stream);
  if (error == cudaSuccess) error = launch(add, {1, 1, 0, stream}, values);
  if (error == cudaSuccess) error = cudaMemcpyAsync(pinned, values, sizeof(int), cudaMemcpyDeviceToHost, stream);
  if (error == cudaSuccess) error = cudaEventRecord(after, stream);
  if (does(fault, "wait")) error = cudaEventSynchronize(after);
  if (does(fault, "synchronisation")) error = cudaStreamSynchronize(stream);
  if (does(fault, "query")) error = cudaStreamQuery(stream);
  if (error != cudaSuccess && error != cudaErrorNotReady) fprintf(stderr, "step: %s\n", cudaGetErrorName(error));
  return error == cudaErrorNotReady ? cudaSuccess : error;
}

int main(int, char** arguments) {
  cudaStream_t stream;
  cudaEvent_t before, after;
  int* pinned;
  CHECK_EQUAL(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  CHECK_EQUAL(cudaEventCreateWithFlags(&before, cudaEventDisableTiming), cudaSuccess);
  CHECK_EQUAL(cudaEventCreateWithFlags(&after, cudaEventDisableTiming), cudaSuccess);
  CHECK_EQUAL(cudaMallocHost(&pinned, sizeof(int)), cudaSuccess);
  Buffer<int> values(1);
  CHECK_EQUAL(cudaEventRecord(before, stream), cudaSuccess);
  CHECK_EQUAL(cudaDeviceSynchronize(), cudaSuccess);
  CHECK_EQUAL(step(arguments[1], values.get(), pinned, stream, before, after), cudaSuccess);
  CHECK_EQUAL(cudaDeviceSynchronize(), cudaSuccess);

  CHECK_EQUAL(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  const cudaError_t captured = step(arguments[1], values.get(), pinned, stream, before, after);
  cudaGraph_t graph;
  const cudaError_t ended = cudaStreamEndCapture(stream, &graph);
  if (captured != cudaSuccess || ended != cudaSuccess) fprintf(stderr, "the capture ended with %s\n", cudaGetErrorName(ended));
  return failures != 0 || ended != cudaSuccess;
}
