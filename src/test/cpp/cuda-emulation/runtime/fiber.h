// SPDX-License-Identifier: Apache-2.0
//
// A fiber: a stack, and where it was left. AddressSanitizer and ThreadSanitizer are told of every switch.
#pragma once
#include <stddef.h>

#include <vector>

#include "race.h"

namespace cuda_emulation {

struct Fiber {
  void* stackPointer = nullptr;
  const void* stackLow = nullptr;
  size_t stackBytes = 0;
  void* fakeStack = nullptr;  // AddressSanitizer's
  race::Context context = nullptr;
};

// Leaves `from`, on which this runs, and goes on where `to` was left. Returns when someone switches to `from`.
void switchFiber(Fiber& from, Fiber& to);

// To be called first on a new fiber.
void arriveOnFiber();

// The fibers of an OS thread, which start in `entry`. Making one costs a page fault or two, taking one that was given back nothing.
class FiberPool {
 public:
  using Entry = void (*)();
  explicit FiberPool(Entry entry) : entry_(entry) {}
  ~FiberPool();
  FiberPool(const FiberPool&) = delete;
  FiberPool& operator=(const FiberPool&) = delete;

  Fiber* take();
  void giveBack(Fiber* fiber) { idle_.push_back(fiber); }

 private:
  void mapStacks();
  Fiber* make();

  Entry entry_;
  std::vector<Fiber*> idle_;
  std::vector<void*> maps_;
  char* nextStack_ = nullptr;
  size_t stacksLeft_ = 0;
  size_t made_ = 0;
};

}  // namespace cuda_emulation
