// SPDX-License-Identifier: Apache-2.0
//
// Faults: a kernel in a stream that does not block reads what was copied from memory that is not pinned; the copy lands later, in the
// legacy stream. In "rewritten", memory is written again while an asynchronous copy still has to read it.
#include "check.h"

__global__ void copy(const int* from, int* to) { *to = *from; }

int main(int, char** arguments) {
  const bool rewritten = strcmp(arguments[1], "rewritten") == 0;
  cudaStream_t stream;
  CHECK_EQUAL(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  Buffer<int> from(1);
  Buffer<int> to(1);
  CHECK_EQUAL(cudaDeviceSynchronize(), cudaSuccess);
  int value = 7;
  int* pinned;
  CHECK_EQUAL(cudaMallocHost(&pinned, sizeof(int)), cudaSuccess);
  *pinned = 7;
  if (rewritten) {
    CHECK_EQUAL(cudaMemcpyAsync(from.get(), pinned, sizeof(int), cudaMemcpyHostToDevice, stream), cudaSuccess);
    *pinned = 8;
  } else {
    CHECK_EQUAL(cudaMemcpy(from.get(), &value, sizeof(int), cudaMemcpyHostToDevice), cudaSuccess);
    value = 8;  // which the copy does not notice
    if (strcmp(arguments[1], "sound") == 0) CHECK_EQUAL(cudaStreamSynchronize(nullptr), cudaSuccess);
  }
  CHECK_EQUAL(launch(copy, {1, 1, 0, stream}, from.get(), to.get()), cudaSuccess);
  CHECK_EQUAL(cudaStreamSynchronize(stream), cudaSuccess);
  if (to[0] != 7) {
    fprintf(stderr, "the kernel read something else\n");
    ++failures;
  }
  return failures != 0;
}
