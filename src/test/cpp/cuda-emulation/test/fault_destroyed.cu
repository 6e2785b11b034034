// SPDX-License-Identifier: Apache-2.0
//
// Fault: a stream is taken for the one that had its handle before, which was destroyed with work to do. So nothing waits for that work.
#include "check.h"

__global__ void set(int* value) { *value = 7; }
__global__ void copy(const int* from, int* to) { *to = *from; }

int main(int, char** arguments) {
  const bool sound = strcmp(arguments[1], "sound") == 0;
  cudaStream_t first, second;
  cudaEvent_t event;
  CHECK_EQUAL(cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking), cudaSuccess);
  CHECK_EQUAL(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  Buffer<int> from(1);
  Buffer<int> to(1);
  CHECK_EQUAL(cudaDeviceSynchronize(), cudaSuccess);
  unsigned long long firstId = 0, secondId = 0;
  CHECK_EQUAL(cudaStreamGetId(first, &firstId), cudaSuccess);
  CHECK_EQUAL(launch(set, {1, 1, 0, first}, from.get()), cudaSuccess);
  CHECK_EQUAL(cudaEventRecord(event, first), cudaSuccess);
  CHECK_EQUAL(cudaStreamDestroy(first), cudaSuccess);
  CHECK_EQUAL(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking), cudaSuccess);
  CHECK_EQUAL(cudaStreamGetId(second, &secondId), cudaSuccess);
  const bool other = sound ? secondId != firstId : second != first;
  if (other) CHECK_EQUAL(cudaStreamWaitEvent(second, event), cudaSuccess);
  CHECK_EQUAL(launch(copy, {1, 1, 0, second}, from.get(), to.get()), cudaSuccess);
  CHECK_EQUAL(cudaStreamSynchronize(second), cudaSuccess);
  if (to[0] != 7) {
    fprintf(stderr, "the copy came first\n");
    ++failures;
  }
  return failures != 0;
}
