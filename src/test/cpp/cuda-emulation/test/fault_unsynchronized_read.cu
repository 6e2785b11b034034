// SPDX-License-Identifier: Apache-2.0
//
// Faults: the host reads a result that it has not waited for; in "streams", a stream reads what another one writes. Deferred,
// the result is not there yet. Otherwise it is there by luck, and only ThreadSanitizer sees that nothing made it so.
#include "check.h"

__global__ void fill(int* out) { out[threadIdx.x] = threadIdx.x; }

int main(int, char** arguments) {
  constexpr int COUNT = 32;
  cudaStream_t stream;
  cudaStream_t reader;
  int* device;
  int* host;
  CHECK_EQUAL(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  CHECK_EQUAL(cudaStreamCreateWithFlags(&reader, cudaStreamNonBlocking), cudaSuccess);
  CHECK_EQUAL(cudaMalloc(&device, COUNT * sizeof(int)), cudaSuccess);
  CHECK_EQUAL(cudaHostAlloc(&host, COUNT * sizeof(int), cudaHostAllocDefault), cudaSuccess);

  CHECK_EQUAL(launch(fill, {1, COUNT, 0, stream}, device), cudaSuccess);
  const bool otherStream = strcmp(arguments[1], "streams") == 0;
  CHECK_EQUAL(cudaMemcpyAsync(host, device, COUNT * sizeof(int), cudaMemcpyDeviceToHost, otherStream ? reader : stream), cudaSuccess);
  if (strcmp(arguments[1], "planted") != 0) CHECK_EQUAL(cudaDeviceSynchronize(), cudaSuccess);
  if (host[7] != 7) {
    fprintf(stderr, "the result was not there\n");
    ++failures;
  }
  return failures != 0;
}
