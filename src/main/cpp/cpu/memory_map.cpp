// SPDX-License-Identifier: Apache-2.0
#include "memory_map.h"
#include <stdio.h>

namespace steptuner {

bool isMapped(const void* address, int64_t bytes) {
  FILE* maps = fopen("/proc/self/maps", "re");
  if (!maps) return true;
  const uintptr_t begin = reinterpret_cast<uintptr_t>(address);
  const uintptr_t end = begin + static_cast<uintptr_t>(bytes);
  uintptr_t covered = begin;
  char line[512];
  bool whole = end < begin;  // wrapped around: not memory
  if (!whole) {
    while (fgets(line, sizeof line, maps)) {
      unsigned long low, high;
      char read, write;
      if (sscanf(line, "%lx-%lx %c%c", &low, &high, &read, &write) != 4) continue;
      if (high <= covered) continue;
      if (low > covered || read != 'r' || write != 'w') break;
      covered = high;
      if (covered >= end) {
        whole = true;
        break;
      }
    }
  } else {
    whole = false;
  }
  fclose(maps);
  return whole;
}

}  // namespace steptuner
