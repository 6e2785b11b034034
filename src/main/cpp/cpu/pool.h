// SPDX-License-Identifier: Apache-2.0
//
// Threads that share the chunks of a sweep. They are our own, because libgomp is missing from slim containers, and a second copy arrives
// with every libtorch. One pool serves the process; a sweep that finds it busy runs on its own thread alone.
//
// A sweep that comes after work of a trainer whose libgomp is in the process is done by the trainer's threads instead, if there are as many
// (openmp.h). The environment variable STEPTUNER_OPENMP=0 forbids it.
#pragma once
#include <stdint.h>

namespace steptuner {

enum class Order { FORWARDS, BACKWARDS };

// Runs body(context, begin, end) over consecutive pieces of [0, count) on at most `threads` threads, the caller among them; returns
// when all are done. Every thread has a part of the range, the same one in every call with the same count, so that it finds its own
// caches warm; it takes pieces of its part in the given order, long ones first, and then helps the others. Nothing may depend on which
// thread takes which piece: that is left to chance.
void parallelFor(int threads, int64_t count, Order order, void (*body)(void*, int64_t, int64_t), void* context);

int processors();

}  // namespace steptuner
