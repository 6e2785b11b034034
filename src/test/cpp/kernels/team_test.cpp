// SPDX-License-Identifier: Apache-2.0
//
// A trainer's OpenMP threads leave the bits that ours leave: kernels over enough elements for a team, before and after the process has got a
// libgomp, and on one thread.
#include "kernel_run.h"
#include "../native/trainers_team.h"

using namespace kernel_run;

namespace {

constexpr int EVERY = 7;
constexpr int THREADS = 3;

// Parts of strips and chunks, and a segment of more chunks than a sum has columns.
const Shape LONG = {{90001, 513, 4096, 1200001}, {0, 0, 0, 1}};

std::vector<Result> runSome(int64_t device, TrainersTeam* trainer) {
  std::vector<Result> results;
  for (int32_t kernel = 0; kernel < st_kernel_count(); kernel += EVERY) {
    if (trainer) trainer->work(THREADS);
    results.push_back(run(device, kernel, steptuner::FLOAT32, steptuner::FLOAT32, PLAIN, NONE, nullptr, LONG));
  }
  return results;
}

void compare(const std::vector<Result>& one, const std::vector<Result>& other) {
  for (size_t i = 0; i < one.size(); ++i) CHECK(sameSums(one[i], other[i]) && sameMemory(one[i], other[i]));
}

}  // namespace

int main() {
  int64_t alone = 0, together = 0;
  require(st_device_open(nullptr, 0, 1, "", &alone), "st_device_open");
  require(st_device_open(nullptr, 0, THREADS, "", &together), "st_device_open");
  const std::vector<Result> results = runSome(alone, nullptr);
  compare(results, runSome(together, nullptr));
  TrainersTeam trainer;
  if (trainer.load())
    compare(results, runSome(together, &trainer));
  else
    printf("team_test: this system has no libgomp.so.1\n");
  return report("team_test");
}
