// SPDX-License-Identifier: Apache-2.0
#include "fiber.h"

#include <sys/mman.h>

#include <new>
#include <type_traits>

extern "C" {
__attribute__((weak)) void __sanitizer_start_switch_fiber(void** fakeStack, const void* stackLow, size_t stackBytes);
__attribute__((weak)) void __sanitizer_finish_switch_fiber(void* fakeStack, const void** stackLow, size_t* stackBytes);
}

namespace cuda_emulation {
namespace {

constexpr size_t PAGE = 4096;
constexpr size_t STACKS_IN_A_MAP = 32;

// A fiber is described at the top of its stack, next to what a switch touches anyway.
constexpr size_t FIBER_BYTES = 64;
static_assert(sizeof(Fiber) <= FIBER_BYTES && FIBER_BYTES % 16 == 0 && std::is_trivially_destructible_v<Fiber>);

// AddressSanitizer's frames are large, and a sanitizer writes its report on the stack where it found something.
size_t stackBytes() {
  static const size_t bytes = (__sanitizer_start_switch_fiber || race::active() ? 256 : 64) * 1024;
  return bytes;
}

// The fiber that the OS thread was on before the last switch.
__thread Fiber* previous;

// Pushes what the System V ABI has a function keep, changes stacks, and pops. (The floating-point control words are also to be
// kept, but nothing here changes them.)
__attribute__((naked, noinline)) void switchStack(void** /* leave: rdi */, void* /* enter: rsi */) {
  asm("push %rbp\n\t"
      "push %rbx\n\t"
      "push %r12\n\t"
      "push %r13\n\t"
      "push %r14\n\t"
      "push %r15\n\t"
      "mov %rsp, (%rdi)\n\t"
      "mov %rsi, %rsp\n\t"
      "pop %r15\n\t"
      "pop %r14\n\t"
      "pop %r13\n\t"
      "pop %r12\n\t"
      "pop %rbx\n\t"
      "pop %rbp\n\t"
      "ret");
}

// As if `entry` had been called, from nowhere, and had been about to begin.
void* prepareStack(char* top, FiberPool::Entry entry) {
  constexpr int KEPT_REGISTERS = 6;
  void** word = reinterpret_cast<void**>(top);
  *--word = nullptr;
  *--word = reinterpret_cast<void*>(entry);
  for (int i = 0; i < KEPT_REGISTERS; ++i) *--word = nullptr;
  return word;
}

}  // namespace

void switchFiber(Fiber& from, Fiber& to) {
  previous = &from;
  if (__sanitizer_start_switch_fiber) __sanitizer_start_switch_fiber(&from.fakeStack, to.stackLow, to.stackBytes);
  race::switchTo(to.context);
  switchStack(&from.stackPointer, to.stackPointer);
  if (__sanitizer_finish_switch_fiber) {
    __sanitizer_finish_switch_fiber(from.fakeStack, &previous->stackLow, &previous->stackBytes);
  }
}

void arriveOnFiber() {
  // This is also how the bounds of the OS thread's own stack become known, before anyone switches back to it.
  if (__sanitizer_finish_switch_fiber) __sanitizer_finish_switch_fiber(nullptr, &previous->stackLow, &previous->stackBytes);
}

Fiber* FiberPool::take() {
  if (idle_.empty()) return make();
  Fiber* fiber = idle_.back();
  idle_.pop_back();
  return fiber;
}

Fiber* FiberPool::make() {
  const race::Unseen unseen;
  if (stacksLeft_ == 0) mapStacks();
  --stacksLeft_;
  char* const low = nextStack_ + PAGE;
  nextStack_ = low + stackBytes();
  // Stacks that all began at the same distance from a large power of two would compete for the same few lines of the cache.
  const size_t colour = (made_++ % 32) * 128;
  char* const top = nextStack_ - colour - FIBER_BYTES;
  Fiber* fiber = new (top) Fiber;
  fiber->stackPointer = prepareStack(top, entry_);
  fiber->stackLow = low;
  fiber->stackBytes = static_cast<size_t>(top - low);
  return fiber;
}

// Below each stack lies a page that nobody may touch, so a kernel that needs more is stopped by the memory.
void FiberPool::mapStacks() {
  void* memory =
      mmap(nullptr, STACKS_IN_A_MAP * (PAGE + stackBytes()), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  maps_.push_back(memory);
  nextStack_ = static_cast<char*>(memory);
  stacksLeft_ = STACKS_IN_A_MAP;
  for (size_t i = 0; i < STACKS_IN_A_MAP; ++i) mprotect(nextStack_ + i * (PAGE + stackBytes()), PAGE, PROT_NONE);
}

FiberPool::~FiberPool() {
  for (void* memory : maps_) munmap(memory, STACKS_IN_A_MAP * (PAGE + stackBytes()));
}

}  // namespace cuda_emulation
