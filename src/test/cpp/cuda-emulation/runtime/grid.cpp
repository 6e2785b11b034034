// SPDX-License-Identifier: Apache-2.0
#include "grid.h"

#include <fenv.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "settings.h"

namespace cuda_emulation {
namespace {

// Waking a helper costs about as much as running a few blocks.
constexpr size_t THREADS_WORTH_A_HELPER = 2048;

// The blocks of a grid, taken one by one by whoever has time.
class Blocks {
 public:
  explicit Blocks(const Grid& grid) : grid_(grid), count_(grid.blocks()), order_(count_) {}

  void run() {
    BlockRunner& runner = BlockRunner::ofThisThread();
    for (size_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < count_;) {
      runner.run(grid_, coordinates(order_[i], grid_.grid));
    }
  }

  // ThreadSanitizer finds races without blocks really running at once. But it takes reused memory for shared memory, so a block
  // has an OS thread of its own there: its stacks and its thread_local, that is __shared__, variables are new.
  void runOnNewThreads() {
    for (size_t i = 0; i < count_; ++i) {
      std::thread([&] { BlockRunner::ofThisThread().run(grid_, coordinates(order_[i], grid_.grid)); }).join();
    }
  }

 private:
  const Grid& grid_;
  const size_t count_;
  const Order order_;
  std::atomic<size_t> next_{0};
};

// Threads that sleep until a grid comes. They are never joined: a process may end while they sleep.
class Helpers {
 public:
  explicit Helpers(unsigned count) {
    for (unsigned i = 0; i < count; ++i) std::thread([this] { help(); }).detach();
  }

  void run(Blocks& blocks) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      blocks_ = &blocks;
      ++generation_;
    }
    arrived_.notify_all();
    blocks.run();
    std::unique_lock<std::mutex> lock(mutex_);
    blocks_ = nullptr;  // a helper that has not woken up by now need not
    left_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void help() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (unsigned long long seen = 0;;) {
      arrived_.wait(lock, [&] { return blocks_ && generation_ != seen; });
      seen = generation_;
      ++busy_;
      Blocks* blocks = blocks_;
      lock.unlock();
      blocks->run();
      lock.lock();
      if (--busy_ == 0) left_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::condition_variable left_;
  Blocks* blocks_ = nullptr;
  unsigned long long generation_ = 0;
  unsigned busy_ = 0;
};

// A GPU does not know the floating-point environment of a host thread. Helpers inherit the one in which they are made.
class DeviceEnvironment {
 public:
  DeviceEnvironment() {
    fegetenv(&before_);
    fesetenv(FE_DFL_ENV);
  }
  ~DeviceEnvironment() { fesetenv(&before_); }
  DeviceEnvironment(const DeviceEnvironment&) = delete;
  DeviceEnvironment& operator=(const DeviceEnvironment&) = delete;

 private:
  fenv_t before_;
};

}  // namespace

void runGrid(const Grid& grid) {
  const DeviceEnvironment environment;
  Blocks blocks(grid);
  if (race::active()) {
    blocks.runOnNewThreads();
  } else if (settings().workers == 1 || grid.blocks() == 1 || grid.blocks() * grid.threads() < THREADS_WORTH_A_HELPER) {
    blocks.run();
  } else {
    static Helpers& helpers = *new Helpers(settings().workers - 1);
    helpers.run(blocks);
  }
}

}  // namespace cuda_emulation
