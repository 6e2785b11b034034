// SPDX-License-Identifier: Apache-2.0
//
// Fault: within a capture, work on a second stream does not wait for what it reads. It was given later, and still may run first.
#include "check.h"

__global__ void set(int* value) { *value = 7; }
__global__ void copy(const int* from, int* to) { *to = *from; }

int main(int, char** arguments) {
  const bool sound = strcmp(arguments[1], "sound") == 0;
  cudaStream_t stream, other;
  cudaEvent_t begin, written, end;
  CHECK_EQUAL(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  CHECK_EQUAL(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
  for (cudaEvent_t* event : {&begin, &written, &end}) CHECK_EQUAL(cudaEventCreateWithFlags(event, cudaEventDisableTiming), cudaSuccess);
  Buffer<int> from(1);
  Buffer<int> to(1);
  CHECK_EQUAL(cudaDeviceSynchronize(), cudaSuccess);

  CHECK_EQUAL(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
  CHECK_EQUAL(cudaEventRecord(begin, stream), cudaSuccess);
  CHECK_EQUAL(launch(set, {1, 1, 0, stream}, from.get()), cudaSuccess);
  CHECK_EQUAL(cudaEventRecord(written, stream), cudaSuccess);
  CHECK_EQUAL(cudaStreamWaitEvent(other, sound ? written : begin), cudaSuccess);
  CHECK_EQUAL(launch(copy, {1, 1, 0, other}, from.get(), to.get()), cudaSuccess);
  CHECK_EQUAL(cudaEventRecord(end, other), cudaSuccess);
  CHECK_EQUAL(cudaStreamWaitEvent(stream, end), cudaSuccess);
  cudaGraph_t graph;
  cudaGraphExec_t executable;
  CHECK_EQUAL(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  CHECK_EQUAL(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  CHECK_EQUAL(cudaGraphLaunch(executable, stream), cudaSuccess);
  CHECK_EQUAL(cudaStreamSynchronize(stream), cudaSuccess);
  if (to[0] != 7) {
    fprintf(stderr, "the copy came first\n");
    ++failures;
  }
  return failures != 0;
}
