// SPDX-License-Identifier: Apache-2.0
#include "failure.h"

#include <stdio.h>
#include <stdlib.h>

#include <atomic>
#include <map>
#include <mutex>
#include <string>

#include "race.h"

namespace cuda_emulation {
namespace {

struct Plan {
  int callsUntil;  // 0: every call
  cudaError_t error;
};

class Plans {
 public:
  Plans() {
    if (const char* error = getenv("CUDA_EMULATION_NO_DRIVER")) noDriver(atoi(error));
    if (const char* list = getenv("CUDA_EMULATION_FAIL")) parse(list);
  }

  void fail(const char* function, int nth, int error) {
    std::lock_guard<race::Mutex> lock(mutex_);
    plans_[function] = {nth, static_cast<cudaError_t>(error)};
    any_ = true;
  }

  void noDriver(int error) {
    std::lock_guard<race::Mutex> lock(mutex_);
    noDriver_ = static_cast<cudaError_t>(error);
    any_ = noDriver_ || !plans_.empty();
  }

  void recover() {
    std::lock_guard<race::Mutex> lock(mutex_);
    plans_.clear();
    noDriver_ = cudaSuccess;
    any_ = false;
  }

  cudaError_t next(const char* function) {
    if (!any_.load(std::memory_order_relaxed)) return cudaSuccess;
    std::lock_guard<race::Mutex> lock(mutex_);
    if (noDriver_) return noDriver_;
    const auto plan = plans_.find(function);
    if (plan == plans_.end()) return cudaSuccess;
    const cudaError_t error = plan->second.error;
    if (plan->second.callsUntil == 0) return error;
    if (--plan->second.callsUntil > 0) return cudaSuccess;
    plans_.erase(plan);
    return error;
  }

  bool driverMissing() const { return noDriver_ != cudaSuccess; }

 private:
  // function:nth:error,...
  void parse(const char* list) {
    for (std::string rest = list; !rest.empty();) {
      const std::string entry = rest.substr(0, rest.find(','));
      rest.erase(0, entry.size() + 1);
      char function[64];
      int nth = 0;
      int error = 0;
      if (sscanf(entry.c_str(), "%63[^:]:%d:%d", function, &nth, &error) == 3) {
        fail(function, nth, error);
      } else {
        fprintf(stderr, "CUDA emulation: CUDA_EMULATION_FAIL takes function:nth:error,... and got \"%s\"\n", entry.c_str());
        abort();
      }
    }
  }

  race::Mutex mutex_;
  std::atomic<bool> any_{false};
  std::atomic<cudaError_t> noDriver_{cudaSuccess};
  std::map<std::string, Plan> plans_;
};

Plans& plans() {
  static Plans& plans = *new Plans;
  return plans;
}

}  // namespace

cudaError_t plannedFailure(const char* function) { return plans().next(function); }
bool driverMissing() { return plans().driverMissing(); }

}  // namespace cuda_emulation

#define EXPORTED __attribute__((visibility("default")))

EXPORTED void cudaEmulationFail(const char* function, int nth, int error) { cuda_emulation::plans().fail(function, nth, error); }
EXPORTED void cudaEmulationNoDriver(int error) { cuda_emulation::plans().noDriver(error); }
EXPORTED void cudaEmulationRecover() { cuda_emulation::plans().recover(); }
