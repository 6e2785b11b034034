// SPDX-License-Identifier: Apache-2.0
//
// Threads that share the chunks of a sweep. Our own and not OpenMP's: libgomp is missing from slim containers, and a second copy
// arrives with every libtorch. One pool serves the process; a sweep that finds it busy runs on its own thread alone.
#pragma once
#include <stdint.h>

namespace steptuner {

// Runs body(context, begin, end) over consecutive parts of [0, count), handed out in grains, on at most `threads` threads, the caller
// among them; returns when all are done. Which thread takes which part is left to chance: nothing may depend on it.
void parallelFor(int threads, int64_t count, int64_t grain, void (*body)(void*, int64_t, int64_t), void* context);

int processors();

}  // namespace steptuner
