// SPDX-License-Identifier: Apache-2.0
//
// The exponential average behind every kernel that writes parameters: it must leave the bits that a sweep of its own leaves, on every
// instruction set, with one thread and several, within the caches and beyond them, in every type of parameters and with 16-bit state, and on
// the device libraries that are named. What the kernel itself leaves must not change by it.
//
//   followed_test [<device library>...]
#include "kernel_run.h"
#include <string.h>

using namespace kernel_run;

namespace {

bool writesParameters(int32_t kernel) {
  for (const std::string& operand : split(split(st_kernel_describe(kernel), '|')[2], ',')) {
    const std::vector<std::string> parts = split(operand, ':');
    if (parts[1] == "parameter" && parts[2].find('w') != std::string::npos) return true;
  }
  return false;
}

bool same(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && (a.empty() || memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0);
}

// The slot of the average is the last one: after the kernel's own slots, and before what belongs to the trainer.
std::vector<std::vector<char>> withoutAverage(const Result& result) {
  auto memory = result.memory;
  const auto end = memory.end() - 3 * TENSORS;
  memory.erase(end - TENSORS, end);
  return memory;
}

void compare(int64_t device, int32_t kernel, int32_t type, const Precision& precision, const Result& alone, const Result& apart) {
  const Result followed = run(device, kernel, type, steptuner::FLOAT32, PLAIN, FOLLOWS, nullptr, MIXED, precision);
  if (followed.memory == apart.memory && same(followed.sums, apart.sums) && withoutAverage(followed) == alone.memory) return;
  ++failures;
  fprintf(stderr, "%s with parameters of type %d, followed, on %s: other bits than with a sweep of its own after it\n",
          st_kernel_describe(kernel), type, st_device_name(device));
}

// What sums is refused, whichever sweep it is to follow.
void refusesSums(int64_t device) {
  float x[4] = {}, g[4] = {};
  const int64_t parameter = reinterpret_cast<int64_t>(x), gradient = reinterpret_cast<int64_t>(g), count = 4;
  const int32_t type = ST_FLOAT32, segment = 0, slots[] = {-1, 0};
  int64_t plan = 0;
  require(st_plan_create(device, 1, &parameter, &type, &gradient, &type, nullptr, &count, &segment, 1, nullptr, 1, &plan),
          "st_plan_create");
  int32_t average = 0, norm = 0;
  require(st_plan_bind(plan, st_kernel_find("exponential_average", ""), slots, 2, &average), "st_plan_bind");
  require(st_plan_bind(plan, st_kernel_find("gradient_norm", ""), slots, 1, &norm), "st_plan_bind");
  CHECK_EQUAL(st_sweep_followed(plan, average, norm, 0), ST_BAD_ARGUMENT);
  CHECK(strstr(st_last_error(), "gradient_norm") && strstr(st_last_error(), "sums"));
  CHECK_EQUAL(st_sweep_followed(plan, norm, average, 0), ST_OK);
  st_plan_destroy(plan);
}

}  // namespace

int main(int count, char** arguments) {
  std::vector<int64_t> devices;
  for (int32_t threads : {1, 3})
    for (bool beyondCaches : {false, true})
      for (int64_t device : openAll(threads, beyondCaches)) devices.push_back(device);
  for (int i = 1; i < count; ++i) {
    int64_t other = 0;
    require(st_device_open(arguments[i], 0, 0, "", &other), arguments[i]);
    devices.push_back(other);
  }
  int kernels = 0;
  for (int32_t kernel = 0; kernel < st_kernel_count(); ++kernel) {
    if (!writesParameters(kernel)) continue;
    ++kernels;
    const auto behind = [&](int32_t type, const Precision& precision) {
      const Result alone = run(devices[0], kernel, type, steptuner::FLOAT32, PLAIN, NONE, nullptr, MIXED, precision);
      const Result apart = run(devices[0], kernel, type, steptuner::FLOAT32, PLAIN, SWEEP_OF_ITS_OWN, nullptr, MIXED, precision);
      CHECK(withoutAverage(apart) == alone.memory);
      for (int64_t device : devices) compare(device, kernel, type, precision, alone, apart);
    };
    for (int32_t type = 0; type < TYPES; ++type) behind(type, Precision());
    behind(steptuner::BFLOAT16, {{ST_HALF}, ST_AS_PARAMETER, ST_STOCHASTIC});
  }
  CHECK(kernels > 50);
  refusesSums(devices[0]);
  for (int64_t device : devices) st_device_close(device);
  printf("%d kernels on %d devices\n", kernels, static_cast<int>(devices.size()));
  return report("followed_test");
}
