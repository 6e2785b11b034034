// SPDX-License-Identifier: Apache-2.0
//
// The thread pool hands out every index once, whatever the number of threads, grains and callers; run under ThreadSanitizer too.
#include "check.h"
#include "cpu/pool.h"
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

bool once(int threads, int64_t count, int64_t grain) {
  Work work{std::vector<int>(static_cast<size_t>(count))};
  parallelFor(threads, count, grain, mark, &work);
  for (int times : work.seen)
    if (times != 1) return false;
  return true;
}

}  // namespace

int main() {
  for (int threads : {1, 2, 3, 8})
    for (int64_t count : {0, 1, 2, 7, 1000})
      for (int64_t grain : {1, 3, 64}) CHECK(once(threads, count, grain));
  for (int round = 0; round < 2000; ++round) CHECK(once(3, 50, 1));

  // Two callers at once: the one that finds the pool taken works alone.
  bool fine[2] = {true, true};
  std::thread other([&] {
    for (int round = 0; round < 1000; ++round) fine[0] = once(2, 100, 1) && fine[0];
  });
  for (int round = 0; round < 1000; ++round) fine[1] = once(2, 100, 1) && fine[1];
  other.join();
  CHECK(fine[0] && fine[1]);
  return report("pool_test");
}
