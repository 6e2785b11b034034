// SPDX-License-Identifier: Apache-2.0
//
// Sweeps in a process that has a libgomp: a trainer's team does them where it can, in our floating-point environment, and whatever it is
// like, every index is handed out once. With the argument `off` no other thread of a team may help.
#include "check.h"
#include "cpu/pool.h"
#include "trainers_team.h"
#include <atomic>
#include <chrono>
#include <dirent.h>
#include <string.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>
#include <xmmintrin.h>

using namespace steptuner;

namespace {

constexpr int64_t COUNT = 1000;
constexpr unsigned FLUSH = 0x8040, DEFAULT = 0x1f80;

TrainersTeam trainer;

struct Work {
  std::vector<int> seen = std::vector<int>(COUNT);
  std::atomic<int> others{0};  // threads that are not the caller
  std::atomic<int> wrong{0};   // pieces in another floating-point environment
  pthread_t caller = pthread_self();
  std::mutex mutex;
  std::set<pthread_t> threads;
  bool meet = false;  // the caller waits for another thread, for a second at most
};

void mark(void* context, int64_t begin, int64_t end) {
  Work& work = *static_cast<Work*>(context);
  for (int64_t i = begin; i < end; ++i) ++work.seen[static_cast<size_t>(i)];
  if (_mm_getcsr() != DEFAULT) ++work.wrong;
  {
    const std::lock_guard<std::mutex> lock(work.mutex);
    if (!work.threads.insert(pthread_self()).second) return;
  }
  if (!pthread_equal(work.caller, pthread_self())) ++work.others;
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(1);
  while (work.meet && work.others.load() == 0 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
}

bool once(Work& work, int threads) {
  parallelFor(threads, COUNT, Order::FORWARDS, mark, &work);
  for (int times : work.seen)
    if (times != 1) return false;
  return work.wrong.load() == 0;
}

bool once(int threads) {
  Work work;
  return once(work, threads);
}

// Whether a thread of the team does a part of one of several sweeps. Between them our own threads go to sleep.
bool helps(const std::set<pthread_t>& team, int threads) {
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    Work work;
    work.meet = true;
    CHECK(once(work, threads));
    for (pthread_t thread : work.threads)
      if (!pthread_equal(thread, pthread_self()) && team.count(thread)) return true;
  }
  return false;
}

void flush(void*) { _mm_setcsr(DEFAULT | FLUSH); }

void stillFlushes(void* context) {
  if (_mm_getcsr() != (DEFAULT | FLUSH)) ++*static_cast<std::atomic<int>*>(context);
  _mm_setcsr(DEFAULT);
}

int threadsOfProcess() {
  int threads = 0;
  DIR* const tasks = opendir("/proc/self/task");
  while (const dirent* const entry = tasks ? readdir(tasks) : nullptr) threads += entry->d_name[0] != '.';
  if (tasks) closedir(tasks);
  return threads;
}

}  // namespace

int main(int count, char** arguments) {
  const bool isOff = count > 1 && strcmp(arguments[1], "off") == 0;
  // Before there is one, so that our own threads are there too.
  CHECK(once(2));
  if (!trainer.load()) {
    printf("openmp_test: this system has no libgomp.so.1\n");
    return report("openmp_test");
  }
  const std::set<pthread_t> team = trainer.work(2);
  CHECK_EQUAL(helps(team, 2), !isOff);

  // The environment is our own within a sweep, and the team's again afterwards.
  std::atomic<int> wrong{0};
  trainer.run(flush, nullptr, 2);
  _mm_setcsr(DEFAULT);  // the caller's is not the pool's to set
  CHECK_EQUAL(helps(team, 2), !isOff);
  _mm_setcsr(DEFAULT | FLUSH);
  trainer.run(stillFlushes, &wrong, 2);
  CHECK_EQUAL(wrong.load(), 0);

  // A team of another size is left alone.
  CHECK(!helps(team, 3));
  CHECK(trainer.work(2) == team);

  // Within a region.
  std::atomic<int> failed{0};
  trainer.run([](void* context) { *static_cast<std::atomic<int>*>(context) += !once(2); }, &failed, 2);
  CHECK_EQUAL(failed.load(), 0);

  for (int round = 0; round < 200; ++round) CHECK(once(2));

  // A thread that has no team gets none to keep.
  const int threads = threadsOfProcess();
  std::thread([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    CHECK(once(2));
    // One that has ended may still be seen for a moment.
    for (int rounds = 0; rounds < 1000 && threadsOfProcess() != threads + 1; ++rounds)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    CHECK_EQUAL(threadsOfProcess(), threads + 1);
  }).join();

  // Several callers at once, each with a team.
  std::atomic<int> lost{0};
  const auto call = [&] {
    trainer.work(2);
    for (int round = 0; round < 500; ++round) lost += !once(2);
  };
  std::thread other(call);
  call();
  other.join();
  CHECK_EQUAL(lost.load(), 0);

  // A child of fork() has neither a team nor our own threads, and must not wait for them.
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);
    _exit(once(2) ? 0 : 1);
  }
  int status = -1;
  CHECK(child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  return report("openmp_test");
}
