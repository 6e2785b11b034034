// SPDX-License-Identifier: Apache-2.0
//
// Runs one block: its threads are fibers that take turns on one OS thread, each until it has to wait for others.
#pragma once
#include <stddef.h>

#include <memory>
#include <optional>
#include <vector>

#include "cuda_runtime.h"
#include "fiber.h"
#include "race.h"

namespace cuda_emulation {

struct FreeMemory {
  void operator()(void* memory) const;
};
using Memory = std::unique_ptr<void, FreeMemory>;

struct Grid {
  const Kernel* kernel;
  dim3 grid;
  dim3 block;
  size_t sharedBytes;
  const void* stream;

  // For ThreadSanitizer: each thread releases this point when it returns. What the blocks leave to be freed has to wait until
  // that is known.
  race::Tokens finished{1};
  mutable std::vector<Memory> leftovers = {};

  size_t blocks() const { return size_t{grid.x} * grid.y * grid.z; }
  unsigned threads() const { return block.x * block.y * block.z; }
};

// Of the ith thread of a block, or block of a grid.
inline uint3 coordinates(size_t i, const dim3& extent) {
  if (i < extent.x) return {static_cast<unsigned>(i), 0, 0};
  return {static_cast<unsigned>(i % extent.x), static_cast<unsigned>(i / extent.x % extent.y),
          static_cast<unsigned>(i / extent.x / extent.y)};
}

// The numbers 0 .. count - 1 in an order drawn from the setting CUDA_EMULATION_SHUFFLE; as they are if that is 0.
class Order {
 public:
  explicit Order(size_t count);
  size_t operator[](size_t i) const { return shuffled_ ? (i * step_ + first_) % count_ : i; }

 private:
  size_t count_;
  bool shuffled_;
  size_t step_ = 1;
  size_t first_ = 0;
};

class BlockRunner {
 public:
  static BlockRunner& ofThisThread();

  void run(const Grid& grid, uint3 blockIndex);

  // What the threads of the block call.
  void barrier(Site site);
  unsigned long long meet(Offer offer, Site site);
  unsigned liveLanes() const;
  void fence(bool wholeDevice);
  void beforeAtomic(const void* address);
  void afterAtomic(const void* address);
  void* dynamicShared() { return dynamicShared_.get(); }
  unsigned long long serial() const { return serial_; }  // of the block, among those of this OS thread

 private:
  enum class State : unsigned char { UNSTARTED, RUNNABLE, AT_BARRIER, AT_WARP_OPERATION, RETURNED };

  struct Thread {
    State state;
    Fiber* fiber;
    uint3 index;
    Site site;                  // where it waits, or did last
    Offer offer;                // to the warp operation that it waits in
    unsigned long long answer;  // what it has got there
    race::Actor* actor;
  };

  struct Warp {
    unsigned live;     // lanes that have not returned
    unsigned waiting;  // lanes that wait in a warp operation
  };

  static constexpr unsigned MAX_THREADS = 1024;

  static void fiberMain();
  void fiberLoop();
  void startNextThread(Fiber* fiber);
  void finishThread();
  Fiber* nextFiber();
  void waitTurn();
  void makeRunnable(Thread& thread);

  unsigned numberOf(const Thread& thread) const { return static_cast<unsigned>(&thread - threads_.data()); }
  void completeWarpOperation(unsigned warp, unsigned mask);
  template <class F>
  void forLanes(unsigned warp, unsigned lanes, F f);

  [[noreturn]] void report(const char* what, const Thread* culprit);

  FiberPool fibers_{fiberMain};
  Fiber home_;  // whoever called run
  const Grid* grid_ = nullptr;
  uint3 blockIndex_{};
  unsigned long long serial_ = 0;
  Memory dynamicShared_;

  unsigned count_ = 0;
  unsigned started_ = 0;
  unsigned returned_ = 0;
  unsigned atBarrier_ = 0;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  Thread* current_ = nullptr;
  std::optional<Order> order_;

  // A ring: a thread is in it at most once.
  Thread* runnable_[MAX_THREADS];
  unsigned firstRunnable_ = 0;
  unsigned runnableCount_ = 0;

  // For ThreadSanitizer.
  struct Points {
    explicit Points(unsigned threads) : lanes(threads) {}
    race::Tokens begin;
    race::Tokens barrier;
    race::Tokens lanes;  // a __syncwarp uses the one of its lowest lane, since there may be several in a warp
    race::Tokens atomics{race::BLOCK_POINTS};
  };
  std::optional<race::Cast> cast_;
  std::optional<Points> points_;
};

// Of the block that this OS thread runs.
unsigned long long currentBlockSerial();

}  // namespace cuda_emulation
