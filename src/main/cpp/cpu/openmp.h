// SPDX-License-Identifier: Apache-2.0
//
// The OpenMP runtime of the trainer, where the process has one. After a backward pass its threads still spin, for milliseconds, on the
// processors that ours would need, and ours sleep. So a sweep is given to them, as a parallel region.
//
// Nothing is loaded for this: a libgomp is used that is in the process already, by the functions that compilers call. Other runtimes have
// the same functions, but are left alone: how their threads wait is not known here.
#pragma once
#include <dlfcn.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>

namespace steptuner {

class OpenMp {
 public:
  // Whether a sweep of `threads` threads that this one calls for can be a region. With another number than the trainer's, libgomp would end
  // threads and start them again; and within a region each of its threads would get threads of its own. Not for several callers at once.
  bool serves(int threads) { return (parallel_ || find()) && maxThreads_() == threads && !inParallel_(); }

  // The calling thread and its team, of `threads` or fewer, call body(context); returns when all have.
  void run(void (*body)(void*), void* context, int threads) const { parallel_(body, context, static_cast<unsigned>(threads), 0); }

  // Within a region: which thread this is, the caller being 0, and of how many.
  int number() const { return number_(); }
  int size() const { return size_(); }

  // Ends the calling thread's team, if this libgomp can: GCC's can from version 9 on.
  void dissolve() const {
    constexpr int SOFT = 1;
    if (pause_ && host_) pause_(SOFT, host_());
  }

 private:
  struct Libraries {
    unsigned long long loaded = 0;  // so far, whatever became of them
    bool all = false;               // to be looked through
    int found = 0;
    char path[4096] = "";
  };

  static int look(dl_phdr_info* info, size_t, void* context) {
    static constexpr char NAME[] = "libgomp";
    Libraries& libraries = *static_cast<Libraries*>(context);
    libraries.loaded = info->dlpi_adds;
    const char* const slash = strrchr(info->dlpi_name, '/');
    if (libraries.all && strncmp(slash ? slash + 1 : info->dlpi_name, NAME, sizeof NAME - 1) == 0) {
      // One whose path is cut off cannot be opened by it.
      libraries.path[0] = 0;
      strncat(libraries.path, info->dlpi_name, sizeof libraries.path - 1);
      ++libraries.found;
    }
    return libraries.all ? 0 : 1;
  }

  // Looks through the libraries where some have been loaded since the last time. Of several copies of libgomp nobody knows which one the
  // trainer uses: each has threads of its own. One that has been found is never closed, and so it stays.
  bool find() {
    if (off_) return false;
    Libraries libraries;
    dl_iterate_phdr(look, &libraries);
    if (libraries.loaded == seen_) return false;
    libraries.all = true;
    dl_iterate_phdr(look, &libraries);
    seen_ = libraries.loaded;
    void* const libgomp = libraries.found == 1 ? dlopen(libraries.path, RTLD_NOLOAD | RTLD_LAZY) : nullptr;
    if (!libgomp) return false;
    function(libgomp, "omp_pause_resource", pause_);
    function(libgomp, "omp_get_initial_device", host_);
    return function(libgomp, "omp_get_max_threads", maxThreads_) && function(libgomp, "omp_in_parallel", inParallel_) &&
           function(libgomp, "omp_get_thread_num", number_) && function(libgomp, "omp_get_num_threads", size_) &&
           function(libgomp, "GOMP_parallel", parallel_);
  }

  template <class Function>
  static bool function(void* library, const char* name, Function& function) {
    function = reinterpret_cast<Function>(dlsym(library, name));
    return function != nullptr;
  }

  // ThreadSanitizer does not see how libgomp's threads wait for each other, and would find races.
  static bool isOff() {
#if defined(__SANITIZE_THREAD__)
    return true;
#else
    const char* const setting = getenv("STEPTUNER_OPENMP");
    return setting && strcmp(setting, "0") == 0;
#endif
  }

  const bool off_ = isOff();
  unsigned long long seen_ = 0;
  void (*parallel_)(void (*)(void*), void*, unsigned, unsigned) = nullptr;
  int (*maxThreads_)() = nullptr;
  int (*inParallel_)() = nullptr;
  int (*number_)() = nullptr;
  int (*size_)() = nullptr;
  int (*pause_)(int, int) = nullptr;
  int (*host_)() = nullptr;
};

}  // namespace steptuner
