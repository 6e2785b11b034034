// SPDX-License-Identifier: Apache-2.0
//
// Faults: the block that finishes last reads what the others wrote. It takes a fence between the write and the ticket, and one
// between the ticket and the reads.
#include "check.h"

enum Fault { NONE, NO_FENCE, FENCE_BEFORE_WRITE, FENCE_AFTER_TICKET, BLOCK_FENCE, NO_READER_FENCE };

__global__ void finish(int* parts, unsigned* ticket, int* out, Fault fault) {
  __shared__ bool last;
  if (threadIdx.x == 0) {
    if (fault == FENCE_BEFORE_WRITE) __threadfence();
    parts[blockIdx.x] = blockIdx.x + 1;
    if (fault == NONE || fault == NO_READER_FENCE) __threadfence();
    if (fault == BLOCK_FENCE) __threadfence_block();
    last = atomicAdd(ticket, 1) == gridDim.x - 1;
    if (fault != NO_FENCE && fault != NO_READER_FENCE) __threadfence();
  }
  __syncthreads();
  if (last && threadIdx.x == 1) {
    int sum = 0;
    for (unsigned i = 0; i < gridDim.x; ++i) sum += parts[i];
    *out = sum;
    atomicExch(ticket, 0);
  }
}

int main(int, char** arguments) {
  const char* names[] = {"sound", "no-fence", "fence-before-write", "fence-after-ticket", "block-fence", "no-reader-fence"};
  int fault = 0;
  while (strcmp(arguments[1], names[fault]) != 0) ++fault;
  constexpr int BLOCKS = 6;
  Buffer<int> parts(BLOCKS);
  Buffer<unsigned> ticket(1);
  Buffer<int> out(1);
  CHECK_EQUAL(launch(finish, {BLOCKS, 32}, parts.get(), ticket.get(), out.get(), static_cast<Fault>(fault)), cudaSuccess);
  CHECK_EQUAL(out[0], BLOCKS * (BLOCKS + 1) / 2);
  return failures != 0;
}
