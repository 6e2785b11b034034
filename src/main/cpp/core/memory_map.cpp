// SPDX-License-Identifier: Apache-2.0
#include "memory_map.h"
#include <stdio.h>

namespace steptuner {

bool isMapped(const void* address, int64_t bytes, bool written) {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(address);
  const uintptr_t end = begin + static_cast<uintptr_t>(bytes);
  if (end < begin) return false;
  FILE* maps = fopen("/proc/self/maps", "re");
  if (!maps) return true;
  uintptr_t covered = begin;
  char line[512];
  // Regions come in the order of their addresses; a long path makes a line longer than ours, and its rest is no region.
  while (covered < end && fgets(line, sizeof line, maps)) {
    unsigned long low, high;
    char read, write;
    if (sscanf(line, "%lx-%lx %c%c", &low, &high, &read, &write) != 4 || high <= covered) continue;
    if (low > covered || read != 'r' || (written && write != 'w')) break;
    covered = high;
  }
  fclose(maps);
  return covered >= end;
}

}  // namespace steptuner
