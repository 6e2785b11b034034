// SPDX-License-Identifier: Apache-2.0
//
// Every kernel of the table, in every pair of parameter and gradient types, through the C ABI, on the CPU, on every instruction set as
// for tensors beyond the caches, and on another device whose memory this process can address (the emulation of CUDA): all memory and all
// sums must have the same bits, and nothing outside of the tensors may have changed. Tensors that are left out do not change, nor anything
// of the others. Run under sanitizers, this is the memory and race
// check of the kernels.
//
//   kernels_test <device library> [every n-th type pair]
#include "kernel_run.h"
#include <string.h>

using namespace kernel_run;

namespace {

void compare(const Result& here, const Result& there, const char* where, int32_t kernel, int32_t parameterType, int32_t gradientType) {
  const bool sums = here.sums.empty() || memcmp(here.sums.data(), there.sums.data(), here.sums.size() * sizeof(double)) == 0;
  if (sums && here.memory == there.memory) return;
  ++failures;
  fprintf(stderr, "%s with parameters of type %d and gradients of type %d: other %s %s than on the CPU\n", st_kernel_describe(kernel),
          parameterType, gradientType, sums ? "memory" : "sums", where);
}

// Some tensors are left out: they are as they were, and the others do not notice.
void leaveOut(int64_t cpu, int64_t other, int32_t kernel, int32_t parameterType, int32_t gradientType) {
  constexpr int32_t NOBODY[TENSORS] = {}, SOME[TENSORS] = {0, 1, 1, 1, 0, 1};
  const Result whole = run(cpu, kernel, parameterType, gradientType);
  const Result before = run(cpu, kernel, parameterType, gradientType, PLAIN, NONE, NOBODY);
  const Result here = run(cpu, kernel, parameterType, gradientType, PLAIN, NONE, SOME);
  compare(here, run(other, kernel, parameterType, gradientType, PLAIN, NONE, SOME), "there, without some tensors,", kernel, parameterType,
          gradientType);
  for (double sum : before.sums) CHECK(sum == 0);
  for (size_t i = 0; i < here.memory.size(); ++i) CHECK(here.memory[i] == (SOME[i % TENSORS] ? whole : before).memory[i]);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) return 2;
  const int every = count > 2 ? atoi(arguments[2]) : 1;
  int64_t cpu = 0, other = 0, opened = 0;
  require(st_device_open(nullptr, 0, 1, "", &cpu), "the CPU");
  setenv("STEPTUNER_CACHE_BYTES", "many", 1);
  CHECK(st_device_open(nullptr, 0, 1, "", &opened) == ST_BAD_ARGUMENT && strstr(st_last_error(), "STEPTUNER_CACHE_BYTES"));
  const std::vector<int64_t> beyondCaches = openAll(2, true);
  require(st_device_open(arguments[1], 0, 0, "", &other), arguments[1]);
  int pair = 0, runs = 0;
  for (int32_t kernel = 0; kernel < st_kernel_count(); ++kernel)
    for (int32_t parameterType = 0; parameterType < TYPES; ++parameterType)
      for (int32_t gradientType = 0; gradientType < TYPES; ++gradientType) {
        if (pair++ % every) continue;
        const Result here = run(cpu, kernel, parameterType, gradientType);
        for (int64_t device : beyondCaches)
          compare(here, run(device, kernel, parameterType, gradientType), "beyond the caches", kernel, parameterType, gradientType);
        compare(here, run(other, kernel, parameterType, gradientType), "there", kernel, parameterType, gradientType);
        if (parameterType == gradientType) leaveOut(cpu, other, kernel, parameterType, gradientType);
        ++runs;
      }
  printf("%d kernels and type pairs on %s against %s\n", runs, st_device_name(other), st_device_name(cpu));
  st_device_close(other);
  for (int64_t device : beyondCaches) st_device_close(device);
  st_device_close(cpu);
  return report("kernels_test");
}
