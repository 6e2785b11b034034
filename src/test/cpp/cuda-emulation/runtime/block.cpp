// SPDX-License-Identifier: Apache-2.0
#include "block.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <map>
#include <new>
#include <numeric>
#include <string>
#include <tuple>

#include "device.h"
#include "settings.h"

__thread uint3 threadIdx;
__thread uint3 blockIdx;
__thread dim3 blockDim;
__thread dim3 gridDim;

namespace cuda_emulation {
namespace {

constexpr unsigned LANES = 32;
constexpr unsigned long long POISON_WORD = 0x0101010101010101ull * POISON;

std::string text(uint3 v) { return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")"; }

const char* nameOf(WarpOperation operation) {
  switch (operation) {
    case WarpOperation::SYNC: return "__syncwarp";
    case WarpOperation::SHUFFLE: return "__shfl_sync";
    case WarpOperation::SHUFFLE_UP: return "__shfl_up_sync";
    case WarpOperation::SHUFFLE_DOWN: return "__shfl_down_sync";
    case WarpOperation::SHUFFLE_XOR: return "__shfl_xor_sync";
    case WarpOperation::VOTE: return "a vote";
  }
  return "?";
}

__thread BlockRunner* running;

}  // namespace

Order::Order(size_t count) : count_(count), shuffled_(settings().shuffle && count > 1) {
  if (!shuffled_) return;
  const size_t seed = settings().shuffle;
  first_ = seed * 2654435761u % count;
  step_ = (seed * 40503u + 1) % count;
  while (std::gcd(step_, count) != 1) step_ = (step_ + 1) % count;
}

BlockRunner& BlockRunner::ofThisThread() {
  static thread_local BlockRunner runner;
  return runner;
}

void FreeMemory::operator()(void* memory) const { free(memory); }

void BlockRunner::run(const Grid& grid, uint3 blockIndex) {
  running = this;
  grid_ = &grid;
  blockIndex_ = blockIndex;
  ++serial_;
  count_ = grid.threads();
  started_ = returned_ = atBarrier_ = 0;
  if (threads_.size() < count_) threads_.resize(count_);
  warps_.assign((count_ + LANES - 1) / LANES, Warp{~0u, 0});
  if (count_ % LANES) warps_.back().live = (1u << count_ % LANES) - 1;
  order_.emplace(count_);

  // Memory of its own for each block, and no more than asked for, so that AddressSanitizer sees both ends.
  dynamicShared_.reset();
  if (grid.sharedBytes) {
    void* memory = nullptr;
    if (posix_memalign(&memory, 16, grid.sharedBytes)) throw std::bad_alloc();
    memset(memory, POISON, grid.sharedBytes);
    dynamicShared_.reset(memory);
  }
  if (race::active()) {
    home_.context = race::currentContext();
    cast_.emplace(count_, grid.stream);
    points_.emplace(count_);
    points_->begin.release();
  }
  for (unsigned i = 0; i < count_; ++i) {
    threads_[i].state = State::UNSTARTED;
    threads_[i].actor = cast_ ? cast_->actor(i) : nullptr;
  }

  blockIdx = blockIndex;
  blockDim = grid.block;
  gridDim = grid.grid;
  switchFiber(home_, *nextFiber());
  if (returned_ != count_) report("no thread can go on", nullptr);

  if (race::active()) {
    cast_.reset();
    grid.leftovers.push_back(std::move(dynamicShared_));
  }
  running = nullptr;
}

// Threads that can go on come before threads that have not begun: a block then needs fewer stacks at a time. Where none is left the
// block is done, or stuck.
Fiber* BlockRunner::nextFiber() {
  if (runnableCount_) {
    Thread* thread = runnable_[firstRunnable_];
    firstRunnable_ = (firstRunnable_ + 1) % MAX_THREADS;
    --runnableCount_;
    return thread->fiber;
  }
  if (started_ < count_) {
    Fiber* fiber = fibers_.take();
    Thread& next = threads_[(*order_)[started_]];
    next.fiber = fiber;
    if (next.actor) fiber->context = next.actor->context();
    return fiber;
  }
  return &home_;
}

void BlockRunner::fiberMain() {
  arriveOnFiber();
  running->fiberLoop();
}

// A thread that never waits leaves its fiber to the next one, so a block without barriers runs on a single fiber.
// ThreadSanitizer would take the stack that two threads then use for something that they race for: with it a fiber serves once.
void BlockRunner::fiberLoop() {
  Fiber* self = threads_[(*order_)[started_]].fiber;
  for (;;) {
    do {
      startNextThread(self);
      grid_->kernel->run();
      finishThread();
    } while (!runnableCount_ && started_ < count_ && !race::active());
    if (!race::active()) fibers_.giveBack(self);
    switchFiber(*self, *nextFiber());
  }
}

void BlockRunner::startNextThread(Fiber* fiber) {
  const size_t number = (*order_)[started_++];
  Thread& thread = threads_[number];
  thread.index = coordinates(number, grid_->block);
  thread.state = State::RUNNABLE;
  thread.fiber = fiber;
  current_ = &thread;
  threadIdx = thread.index;
  if (points_) points_->begin.acquire();
}

void BlockRunner::finishThread() {
  grid_->finished.release();
  current_->state = State::RETURNED;
  ++returned_;
  const unsigned number = numberOf(*current_);
  Warp& warp = warps_[number / LANES];
  warp.live &= ~(1u << number % LANES);
  // Lanes that waited for this one wait no longer.
  for (unsigned lanes = warp.waiting; lanes; lanes &= lanes - 1) {
    const unsigned lane = __builtin_ctz(lanes);
    if (warp.waiting >> lane & 1) completeWarpOperation(number / LANES, threads_[number / LANES * LANES + lane].offer.mask);
  }
}

void BlockRunner::waitTurn() {
  Thread* self = current_;
  switchFiber(*self->fiber, *nextFiber());
  current_ = self;
  threadIdx = self->index;
}

void BlockRunner::makeRunnable(Thread& thread) {
  thread.state = State::RUNNABLE;
  runnable_[(firstRunnable_ + runnableCount_++) % MAX_THREADS] = &thread;
}

// CUDA lets a barrier count threads that have returned, and threads that wait at another barrier in the source, as arrived on
// some devices and hangs or worse on others. Here all threads of the block have to come, to the same one.
void BlockRunner::barrier(Site site) {
  Thread& self = *current_;
  self.site = site;
  self.state = State::AT_BARRIER;
  if (points_) points_->barrier.release();
  if (++atBarrier_ < count_) {
    waitTurn();
    return;
  }
  for (unsigned i = 0; i < count_; ++i) {
    const Site& other = threads_[i].site;
    const bool same = other.line == site.line && (other.file == site.file || strcmp(other.file, site.file) == 0);
    if (!same) report("threads meet at different barriers", &self);
  }
  atBarrier_ = 0;
  for (unsigned i = 0; i < count_; ++i) {
    Thread& thread = threads_[i];
    if (thread.actor) {
      race::As other(thread.actor->context());
      points_->barrier.acquire();
    }
    if (&thread != &self) makeRunnable(thread);
  }
  self.state = State::RUNNABLE;
}

template <class F>
void BlockRunner::forLanes(unsigned warp, unsigned lanes, F f) {
  for (; lanes; lanes &= lanes - 1) f(threads_[warp * LANES + __builtin_ctz(lanes)]);
}

unsigned long long BlockRunner::meet(Offer offer, Site site) {
  Thread& self = *current_;
  const unsigned number = numberOf(self);
  const unsigned bit = 1u << number % LANES;
  Warp& warp = warps_[number / LANES];
  self.state = State::AT_WARP_OPERATION;
  self.site = site;
  self.offer = offer;
  if (!(offer.mask & bit)) report("a thread's mask leaves out the thread itself", &self);
  if (offer.operation == WarpOperation::SYNC && points_) points_->lanes.release(number / LANES * LANES + __builtin_ctz(offer.mask));
  warp.waiting |= bit;
  completeWarpOperation(number / LANES, offer.mask);
  if (warp.waiting & bit) {
    waitTurn();
  } else {
    self.state = State::RUNNABLE;
  }
  return self.answer;
}

// If all lanes of the mask are there, each gets its answer now: later none of them could be sure that another still has the
// same word.
void BlockRunner::completeWarpOperation(unsigned warp, unsigned mask) {
  Warp& w = warps_[warp];
  const unsigned lanes = mask & w.live;
  if (!lanes || (w.waiting & lanes) != lanes) return;

  Thread* const threads = &threads_[warp * LANES];
  const WarpOperation operation = threads[__builtin_ctz(lanes)].offer.operation;
  unsigned long long votes = 0;
  forLanes(warp, lanes, [&](Thread& thread) {
    if (thread.offer.mask != mask || thread.offer.operation != operation) {
      report("lanes of a warp wait for each other in different operations, or with different masks", &thread);
    }
    votes |= (thread.offer.word & 1) << (&thread - threads);
  });
  w.waiting &= ~lanes;
  forLanes(warp, lanes, [&](Thread& thread) {
    if (operation == WarpOperation::VOTE) {
      thread.answer = votes;
    } else {
      const unsigned source = thread.offer.source;
      thread.answer = lanes >> source & 1 ? threads[source].offer.word : POISON_WORD;
    }
    if (operation == WarpOperation::SYNC && thread.actor) {
      race::As other(thread.actor->context());
      points_->lanes.acquire(warp * LANES + __builtin_ctz(mask));
    }
    if (&thread != current_) makeRunnable(thread);
  });
}

unsigned BlockRunner::liveLanes() const { return warps_[numberOf(*current_) / LANES].live; }

void BlockRunner::fence(bool wholeDevice) {
  if (current_->actor) current_->actor->fence(wholeDevice);
}

void BlockRunner::beforeAtomic(const void* address) {
  if (current_->actor) current_->actor->beforeAtomic(address, points_->atomics);
}

void BlockRunner::afterAtomic(const void* address) {
  if (current_->actor) current_->actor->afterAtomic(address, points_->atomics);
}

// Undefined behaviour on a device has no continuation here.
void BlockRunner::report(const char* what, const Thread* culprit) {
  std::map<std::tuple<std::string, unsigned>, std::pair<unsigned, uint3>> groups;  // where, mask -> how many, the first
  for (unsigned i = 0; i < count_; ++i) {
    const Thread& thread = threads_[i];
    const std::string place = " at " + std::string(thread.site.file ? thread.site.file : "?") + ":" + std::to_string(thread.site.line);
    std::string where;
    unsigned mask = 0;
    switch (thread.state) {
      case State::UNSTARTED: where = "not begun"; break;
      case State::RUNNABLE: where = "able to go on"; break;
      case State::RETURNED: where = "returned"; break;
      case State::AT_BARRIER: where = "waiting in __syncthreads" + place; break;
      case State::AT_WARP_OPERATION: where = std::string("waiting in ") + nameOf(thread.offer.operation) + place; mask = thread.offer.mask;
    }
    auto& group = groups[{where, mask}];
    if (group.first++ == 0) group.second = coordinates(i, grid_->block);
  }
  fprintf(stderr, "CUDA emulation: %s: block %s of grid %s, block size %s", what, text(blockIndex_).c_str(), text(grid_->grid).c_str(),
          text(grid_->block).c_str());
  if (culprit) fprintf(stderr, ", seen by thread %s", text(coordinates(numberOf(*culprit), grid_->block)).c_str());
  fputc('\n', stderr);
  for (const auto& [key, group] : groups) {
    const auto& [where, mask] = key;
    fprintf(stderr, "  %u thread%s, thread %s first: %s", group.first, group.first == 1 ? "" : "s", text(group.second).c_str(),
            where.c_str());
    if (mask) fprintf(stderr, ", mask 0x%08x", mask);
    fputc('\n', stderr);
  }
  fflush(stderr);
  abort();
}

// A thread of a kernel always runs within a BlockRunner, so `running` is set.
void blockBarrier(Site site) { running->barrier(site); }
unsigned long long meet(Offer offer, Site site) { return running->meet(offer, site); }
unsigned liveLanes() { return running->liveLanes(); }
void* dynamicShared() { return running->dynamicShared(); }

void fence(bool wholeDevice) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  running->fence(wholeDevice);
}

void beforeAtomic(const void* address) { running->beforeAtomic(address); }
void afterAtomic(const void* address) { running->afterAtomic(address); }

unsigned long long currentBlockSerial() { return running->serial(); }

}  // namespace cuda_emulation
