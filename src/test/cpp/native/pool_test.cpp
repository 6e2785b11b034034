// SPDX-License-Identifier: Apache-2.0
//
// The thread pool hands out every index once, whatever the number of threads, order and callers, and in that order on one thread; run
// under ThreadSanitizer too.
#include "check.h"
#include "cpu/pool.h"
#include <chrono>
#include <thread>
#include <vector>

using namespace steptuner;

namespace {

struct Work {
  std::vector<int> seen;
};

void mark(void* context, int64_t begin, int64_t end) {
  Work& work = *static_cast<Work*>(context);
  for (int64_t i = begin; i < end; ++i) ++work.seen[static_cast<size_t>(i)];
}

bool once(int threads, int64_t count, Order order) {
  Work work{std::vector<int>(static_cast<size_t>(count))};
  parallelFor(threads, count, order, mark, &work);
  for (int times : work.seen)
    if (times != 1) return false;
  return true;
}

struct Sequence {
  std::vector<int64_t> begins, ends;
};

void note(void* context, int64_t begin, int64_t end) {
  Sequence& sequence = *static_cast<Sequence*>(context);
  sequence.begins.push_back(begin);
  sequence.ends.push_back(end);
}

// On one thread the pieces follow each other without gaps, from one end to the other.
bool inOrder(int64_t count, Order order) {
  Sequence pieces;
  parallelFor(1, count, order, note, &pieces);
  int64_t at = order == Order::FORWARDS ? 0 : count;
  for (size_t p = 0; p < pieces.begins.size(); ++p) {
    if (pieces.begins[p] >= pieces.ends[p]) return false;
    if ((order == Order::FORWARDS ? pieces.begins[p] : pieces.ends[p]) != at) return false;
    at = order == Order::FORWARDS ? pieces.ends[p] : pieces.begins[p];
  }
  return at == (order == Order::FORWARDS ? count : 0);
}

}  // namespace

int main() {
  for (Order order : {Order::FORWARDS, Order::BACKWARDS}) {
    for (int64_t count : {0, 1, 2, 7, 1000}) {
      for (int threads : {1, 2, 3, 8}) CHECK(once(threads, count, order));
      CHECK(inOrder(count, order));
    }
    for (int round = 0; round < 2000; ++round) CHECK(once(3, 50, order));
  }

  // Workers that sleep and have to be woken up, or come too late.
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    CHECK(once(4, round + 1, Order::FORWARDS));
  }

  // Two callers at once: the one that finds the pool taken works alone.
  bool fine[2] = {true, true};
  std::thread other([&] {
    for (int round = 0; round < 1000; ++round) fine[0] = once(2, 100, Order::BACKWARDS) && fine[0];
  });
  for (int round = 0; round < 1000; ++round) fine[1] = once(2, 100, Order::FORWARDS) && fine[1];
  other.join();
  CHECK(fine[0] && fine[1]);
  return report("pool_test");
}
