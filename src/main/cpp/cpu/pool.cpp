// SPDX-License-Identifier: Apache-2.0
#include "pool.h"
#include "../core/floating_point.h"
#include "openmp.h"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <pthread.h>
#include <sched.h>
#include <system_error>
#include <thread>
#include <time.h>

namespace steptuner {
namespace {

using Clock = std::chrono::steady_clock;

// How long a worker looks for the next sweep before it sleeps: longer than the scalar step between two sweeps of an optimizer, and
// than the wake-up that it saves (40 us in a virtual machine), shorter than what a trainer would notice.
constexpr auto PATIENCE = std::chrono::microseconds(100);

// A piece is a quarter of what is left of a part, so that the threads end together, and no more than this.
constexpr int64_t LONGEST_PIECE = 32;

// Ranges shorter than this are done before a sleeping thread has woken up.
constexpr int64_t WORTH_WAKING = 8;

// An OpenMP team disappoints whose threads kept the caller waiting for longer than this, as they do if they have to be woken up or find no
// processor, and for more than this part of the sweep. The next sweeps are then left to our own threads, which are not waited for if they
// come late: one sweep at first, twice as many after each further disappointment, and this many at most.
constexpr auto LONG_WAIT = std::chrono::microseconds(20);
constexpr int LARGE_PART = 8;
constexpr int LONGEST_PAUSE = 1023;

// A thread of a team that has used less of a processor was started for this sweep. One that works for a trainer has at least spun.
constexpr auto NEW = std::chrono::microseconds(300);

inline std::chrono::nanoseconds processorTime() {
  timespec used = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

inline void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// What one thread has of the range. Pieces are taken by their owner and by whoever has finished before.
class Part {
 public:
  void set(int64_t begin, int64_t end) {
    begin_ = begin;
    end_ = end;
    taken_.store(0, std::memory_order_relaxed);
  }

  // The next piece; false where none is left.
  bool take(Order order, int64_t& begin, int64_t& end) {
    const int64_t size = end_ - begin_;
    int64_t taken = taken_.load(std::memory_order_relaxed);
    int64_t piece;
    do {
      if (taken >= size) return false;
      piece = std::clamp<int64_t>((size - taken) / 4, 1, LONGEST_PIECE);
    } while (!taken_.compare_exchange_weak(taken, taken + piece, std::memory_order_relaxed));
    begin = order == Order::FORWARDS ? begin_ + taken : end_ - taken - piece;
    end = begin + piece;
    return true;
  }

 private:
  int64_t begin_ = 0;
  int64_t end_ = 0;
  alignas(64) std::atomic<int64_t> taken_{0};
};

// The gate that workers enter a sweep by, in one word: the sweep's number, whether it is closed, how many workers may enter (by their
// own numbers), how many have entered. One that comes late, as those do that have to be woken up, finds it closed and is not waited for.
struct Gate {
  static constexpr uint64_t ENTERED = 0xffff;
  static constexpr uint64_t CLOSED = uint64_t(1) << 31;
  static constexpr int HELPERS_AT = 16;
  static constexpr int NUMBER_AT = 32;

  static uint64_t of(uint32_t number, int helpers) { return uint64_t(number) << NUMBER_AT | uint64_t(helpers) << HELPERS_AT; }
  static uint32_t number(uint64_t gate) { return static_cast<uint32_t>(gate >> NUMBER_AT); }
  static int helpers(uint64_t gate) { return static_cast<int>(gate >> HELPERS_AT & 0x7fff); }
};

constexpr int MOST_WORKERS = 0x7fff;

// What a thread that calls for sweeps knows of its OpenMP team.
struct Acquaintance {
  bool isTrainers = false;  // and not one that was started for a sweep
  int pause = 0;            // how many sweeps it shall not be asked for
  int penalty = 0;          // how many that were the last time
};

class Pool {
  // A sweep as a parallel region.
  struct Region {
    Pool* pool;
    int threads;
    bool asks;                     // whether the team is the trainer's
    bool isNew;                    // it is not
    bool isIncomplete;             // fewer threads came
    Clock::time_point begin, end;  // of what the caller did in it
  };

 public:
  // False where the pool serves another sweep, or has no thread that is worth its wake-up.
  bool run(int helpers, int64_t count, Order order, void (*body)(void*, int64_t, int64_t), void* context) {
    std::unique_lock<std::mutex> owner(owner_, std::try_to_lock);
    if (!owner) return false;
    // Where our own threads sleep, something else has been at work, such as a backward pass.
    if (count >= WORTH_WAKING && sleeping_.load() == workers_ && runByTeam(helpers + 1, count, order, body, context)) return true;
    grow(std::min(helpers, MOST_WORKERS));
    helpers = std::min(helpers, workers_);
    if (helpers == 0 || (count < WORTH_WAKING && sleeping_.load() == workers_)) return false;
    const int parts = helpers + 1;
    share(parts, count, order, body, context);
    finished_.store(0, std::memory_order_relaxed);
    gate_.store(Gate::of(++sweeps_, helpers));
    if (sleeping_.load() > 0) {
      { std::lock_guard<std::mutex> lock(sleep_); }
      wake_.notify_all();
    }
    work(0, parts);
    const uint64_t entered = gate_.fetch_or(Gate::CLOSED) & Gate::ENTERED;
    for (int spins = 0; finished_.load(std::memory_order_acquire) < entered; ++spins) {
      if (spins < 1000)
        pause();
      else
        std::this_thread::yield();
    }
    return true;
  }

 private:
  void share(int parts, int64_t count, Order order, void (*body)(void*, int64_t, int64_t), void* context) {
    if (parts > capacity_) {
      parts_.reset(new Part[static_cast<size_t>(parts)]);
      capacity_ = parts;
    }
    for (int p = 0; p < parts; ++p) parts_[static_cast<size_t>(p)].set(count * p / parts, count * (p + 1) / parts);
    order_ = order;
    body_ = body;
    context_ = context;
  }

  // False where the calling thread has no team that would be of use. A thread that is not a trainer's has none at all, and libgomp starts one
  // for it: it is ended again, because libgomp lets the threads of all teams spin for a shorter time as soon as there are more than
  // processors.
  bool runByTeam(int threads, int64_t count, Order order, void (*body)(void*, int64_t, int64_t), void* context) {
    if (!openMp_.serves(threads)) return false;
    static thread_local Acquaintance team;
    if (team.pause > 0) {
      --team.pause;
      return false;
    }
    share(threads, count, order, body, context);
    Region region = {this, threads, !team.isTrainers, false, false, {}, {}};
    const Clock::time_point begin = Clock::now();
    openMp_.run(workInRegion, &region, threads);
    const Clock::duration whole = Clock::now() - begin, waited = whole - (region.end - region.begin);
    team.isTrainers = !region.isNew;
    if (region.isNew) openMp_.dissolve();
    if (region.isNew || region.isIncomplete || (waited > LONG_WAIT && waited > whole / LARGE_PART))
      team.pause = team.penalty = std::min(2 * team.penalty + 1, LONGEST_PAUSE);
    else
      team.penalty /= 2;
    return true;
  }

  static void workInRegion(void* context) {
    const DefaultFloatingPoint environment;  // a team's threads have the trainer's
    Region& region = *static_cast<Region*>(context);
    Pool& pool = *region.pool;
    const int number = pool.openMp_.number();
    if (number == 1 && region.asks) region.isNew = processorTime() < NEW;
    if (number == 0) {
      region.begin = Clock::now();
      region.isIncomplete = pool.openMp_.size() < region.threads;
    }
    pool.work(number, region.threads);
    if (number == 0) region.end = Clock::now();
  }

  void grow(int workers) {
    while (workers_ < workers) {
      try {
        std::thread(&Pool::serve, this, workers_, sweeps_).detach();
      } catch (const std::system_error&) {
        return;  // as many as the system gives
      }
      ++workers_;
    }
  }

  void serve(int number, uint32_t seen) {
    const DefaultFloatingPoint environment;  // not that of the thread that needed a worker first
    for (;;) {
      uint64_t gate = next(seen);
      seen = Gate::number(gate);
      const int helpers = Gate::helpers(gate);
      if (number < helpers && enter(gate)) {
        work(number + 1, helpers + 1);
        finished_.fetch_add(1, std::memory_order_release);
      }
    }
  }

  // The gate of a sweep that comes after the one seen last.
  uint64_t next(uint32_t seen) {
    const auto until = Clock::now() + PATIENCE;
    do {
      for (int spins = 0; spins < 32; ++spins) {
        const uint64_t gate = gate_.load();
        if (Gate::number(gate) != seen) return gate;
        pause();
      }
    } while (Clock::now() < until);
    std::unique_lock<std::mutex> lock(sleep_);
    ++sleeping_;
    wake_.wait(lock, [&] { return Gate::number(gate_.load()) != seen; });
    --sleeping_;
    return gate_.load();
  }

  bool enter(uint64_t gate) {
    const uint32_t number = Gate::number(gate);
    while (Gate::number(gate) == number && !(gate & Gate::CLOSED))
      if (gate_.compare_exchange_weak(gate, gate + 1)) return true;
    return false;
  }

  void work(int own, int parts) {
    int64_t begin, end;
    for (int p = 0; p < parts; ++p)
      while (parts_[static_cast<size_t>((own + p) % parts)].take(order_, begin, end)) body_(context_, begin, end);
  }

  std::mutex owner_;
  std::mutex sleep_;
  std::condition_variable wake_;
  std::atomic<uint64_t> gate_{0};
  std::atomic<uint64_t> finished_{0};
  std::atomic<int> sleeping_{0};
  // Below: written by the owner while no worker is inside.
  OpenMp openMp_;
  int workers_ = 0;
  uint32_t sweeps_ = 0;
  std::unique_ptr<Part[]> parts_;
  int capacity_ = 0;
  Order order_ = Order::FORWARDS;
  void (*body_)(void*, int64_t, int64_t) = nullptr;
  void* context_ = nullptr;
};

// Never destroyed: workers may outlive static destructors.
Pool& pool() {
  static Pool* const instance = new Pool;
  return *instance;
}

// Set in a child of fork(), which has none of these threads, and would wait for them for ever.
std::atomic<bool> isChild{false};

bool isChildOfFork() {
  static const int registered = pthread_atfork(nullptr, nullptr, [] { isChild.store(true, std::memory_order_relaxed); });
  return registered == 0 && isChild.load(std::memory_order_relaxed);
}

}  // namespace

void parallelFor(int threads, int64_t count, Order order, void (*body)(void*, int64_t, int64_t), void* context) {
  const int helpers = static_cast<int>(std::min<int64_t>(threads, count)) - 1;
  if (helpers > 0 && !isChildOfFork() && pool().run(helpers, count, order, body, context)) return;
  Part all;
  all.set(0, count);
  for (int64_t begin, end; all.take(order, begin, end);) body(context, begin, end);
}

int processors() {
  cpu_set_t set;
  const int allowed = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
  return allowed > 0 ? allowed : std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace steptuner
