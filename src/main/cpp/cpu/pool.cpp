// SPDX-License-Identifier: Apache-2.0
#include "pool.h"
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <sched.h>
#include <system_error>
#include <thread>

namespace steptuner {
namespace {

// A worker looks for the next sweep this many times before it sleeps: about 20 us, longer than the scalar step between two sweeps
// of an optimizer, shorter than what a trainer would notice.
constexpr int SPINS = 400;

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

class Pool {
 public:
  // False where the pool serves another sweep.
  bool run(int helpers, int64_t count, int64_t grain, void (*body)(void*, int64_t, int64_t), void* context) {
    std::unique_lock<std::mutex> owner(owner_, std::try_to_lock);
    if (!owner) return false;
    grow(helpers);
    helpers = std::min(helpers, workers_);
    if (helpers == 0) return false;
    body_ = body;
    context_ = context;
    count_ = count;
    grain_ = grain;
    next_.store(0, std::memory_order_relaxed);
    running_.store(helpers, std::memory_order_relaxed);
    {
      std::lock_guard<std::mutex> lock(sleep_);
      helpers_ = helpers;
      sweep_.fetch_add(1, std::memory_order_release);
    }
    if (sleeping_.load() > 0) wake_.notify_all();
    work();
    for (int spins = 0; running_.load(std::memory_order_acquire) > 0; ++spins) {
      if (spins < SPINS)
        pause();
      else
        std::this_thread::yield();
    }
    return true;
  }

 private:
  void grow(int workers) {
    while (workers_ < workers) {
      try {
        std::thread(&Pool::serve, this, workers_, sweep_.load()).detach();
      } catch (const std::system_error&) {
        return;  // as many as the system gives
      }
      ++workers_;
    }
  }

  void serve(int number, uint64_t seen) {
    for (;;) {
      for (int spins = 0; spins < SPINS && sweep_.load(std::memory_order_acquire) == seen; ++spins) pause();
      int helpers;
      {
        std::unique_lock<std::mutex> lock(sleep_);
        ++sleeping_;
        wake_.wait(lock, [&] { return sweep_.load(std::memory_order_acquire) != seen; });
        --sleeping_;
        seen = sweep_.load(std::memory_order_acquire);
        helpers = helpers_;
      }
      if (number >= helpers) continue;
      work();
      running_.fetch_sub(1, std::memory_order_release);
    }
  }

  void work() {
    for (int64_t begin; (begin = next_.fetch_add(grain_, std::memory_order_relaxed)) < count_;)
      body_(context_, begin, std::min(begin + grain_, count_));
  }

  std::mutex owner_;
  std::mutex sleep_;
  std::condition_variable wake_;
  std::atomic<uint64_t> sweep_{0};
  std::atomic<int> sleeping_{0};
  std::atomic<int> running_{0};
  std::atomic<int64_t> next_{0};
  int workers_ = 0;
  int helpers_ = 0;
  int64_t count_ = 0;
  int64_t grain_ = 1;
  void (*body_)(void*, int64_t, int64_t) = nullptr;
  void* context_ = nullptr;
};

// Never destroyed: workers may outlive static destructors.
Pool& pool() {
  static Pool* const instance = new Pool;
  return *instance;
}

}  // namespace

void parallelFor(int threads, int64_t count, int64_t grain, void (*body)(void*, int64_t, int64_t), void* context) {
  const int64_t parts = (count + grain - 1) / grain;
  const int helpers = static_cast<int>(std::min<int64_t>(threads, parts)) - 1;
  if (helpers <= 0 || !pool().run(helpers, count, grain, body, context)) body(context, 0, count);
}

int processors() {
  cpu_set_t set;
  const int allowed = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
  return allowed > 0 ? allowed : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace steptuner
