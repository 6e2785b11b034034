// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace steptuner {

// [address, address + bytes), which is read, and written if `written`.
struct Range {
  const void* address;
  int64_t bytes;
  bool written;
};

// The first range that is not, byte for byte, memory that this process can read (and write, if it is written); `count` if all are. Raw
// addresses come from a trainer; a wrong one is to be an exception when it is bound, not a crash when it is swept. The system
// is asked about each region; where it does not know that question, its memory map is read, once for all ranges. Where it cannot tell,
// all are.
size_t firstUnmapped(const Range* ranges, size_t count);

inline bool isMapped(const void* address, int64_t bytes, bool written) {
  const Range range = {address, bytes, written};
  return firstUnmapped(&range, 1) == 1;
}

}  // namespace steptuner
