// SPDX-License-Identifier: Apache-2.0
//
// A libgomp in the process, as a trainer's libraries bring it, and a team of it that has worked. Tests that need it do not link it: our
// library must find it by itself.
#pragma once
#include <dlfcn.h>
#include <mutex>
#include <pthread.h>
#include <set>
#include <time.h>

class TrainersTeam {
 public:
  // False where the system has no libgomp.
  bool load() {
    void* const library = dlopen("libgomp.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library) return false;
    parallel_ = reinterpret_cast<decltype(parallel_)>(dlsym(library, "GOMP_parallel"));
    setThreads_ = reinterpret_cast<decltype(setThreads_)>(dlsym(library, "omp_set_num_threads"));
    return parallel_ && setThreads_;
  }

  void setThreads(int threads) { setThreads_(threads); }

  void run(void (*body)(void*), void* context, int threads) { parallel_(body, context, static_cast<unsigned>(threads), 0); }

  // Milliseconds of work for each of them, as in a backward pass. The threads that did it.
  std::set<pthread_t> work(int threads) {
    Workers workers;
    setThreads_(threads);
    parallel_(
        [](void* context) {
          Workers& of = *static_cast<Workers*>(context);
          for (const long begin = used(); used() - begin < 3000;) {}
          const std::lock_guard<std::mutex> lock(of.mutex);
          of.threads.insert(pthread_self());
        },
        &workers, static_cast<unsigned>(threads), 0);
    return workers.threads;
  }

 private:
  struct Workers {
    std::mutex mutex;
    std::set<pthread_t> threads;
  };

  // Microseconds of a processor.
  static long used() {
    timespec time = {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * 1000000 + time.tv_nsec / 1000;
  }

  void (*parallel_)(void (*)(void*), void*, unsigned, unsigned) = nullptr;
  void (*setThreads_)(int) = nullptr;
};
