// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <stdint.h>

namespace steptuner {

// Whether every byte of [address, address + bytes) is memory that this process can read, and write if `written`. Raw addresses come from a trainer;
// a wrong one is to be an exception when it is bound, not a crash when it is swept. Where the system cannot tell, the answer is yes.
bool isMapped(const void* address, int64_t bytes, bool written);

}  // namespace steptuner
