// SPDX-License-Identifier: Apache-2.0
//
// Fault: of memory only the first byte is looked at, which says nothing of where it ends.
#include "check.h"

using AddressRange = int (*)(unsigned long long* base, size_t* size, unsigned long long address);

static bool usable(const char* memory, size_t bytes, bool sound) {
  cudaPointerAttributes attributes;
  if (cudaPointerGetAttributes(&attributes, memory) != cudaSuccess || attributes.type != cudaMemoryTypeDevice) return false;
  if (!sound) return true;
  void* entry = nullptr;
  cudaDriverEntryPointQueryResult status;
  CHECK_EQUAL(cudaGetDriverEntryPointByVersion("cuMemGetAddressRange", &entry, 12000, cudaEnableDefault, &status), cudaSuccess);
  unsigned long long base = 0;
  size_t size = 0;
  const unsigned long long address = reinterpret_cast<unsigned long long>(memory);
  CHECK_EQUAL(reinterpret_cast<AddressRange>(entry)(&base, &size, address), 0);
  return address + bytes <= base + size;
}

int main(int, char** arguments) {
  const bool sound = strcmp(arguments[1], "sound") == 0;
  char* memory;
  CHECK_EQUAL(cudaMalloc(&memory, 1000), cudaSuccess);
  CHECK(usable(memory + 900, 100, sound));
  if (usable(memory + 900, 101, sound)) {
    fprintf(stderr, "it goes past the end\n");
    ++failures;
  }
  CHECK_EQUAL(cudaFree(memory), cudaSuccess);
  return failures != 0;
}
