// SPDX-License-Identifier: Apache-2.0
//
// The floating-point environment of the calling thread, as other libraries leave it, changes no bit of parameters, state or sums, and is
// as it was after every call, exception flags included. Numbers are subnormal where that matters.
#include "../kernels/kernel_run.h"
#include "run.h"
#include <xmmintrin.h>

using namespace door;

namespace {

constexpr unsigned DEFAULT = 0x1f80, TO_ZERO = 0x8000, SUBNORMAL_IS_ZERO = 0x40, DOWN = 0x2000, UP = 0x4000, TOWARDS_ZERO = 0x6000,
                   TRAPS = 0x1f80, FLAGS = 0x3f;
constexpr unsigned ENVIRONMENTS[] = {DEFAULT | TO_ZERO | SUBNORMAL_IS_ZERO,
                                     DEFAULT | TO_ZERO,
                                     DEFAULT | SUBNORMAL_IS_ZERO,
                                     DEFAULT | DOWN,
                                     DEFAULT | UP | FLAGS,
                                     DEFAULT | TOWARDS_ZERO | TO_ZERO,
                                     DEFAULT ^ TRAPS,  // every exception traps
                                     (DEFAULT ^ TRAPS) | TOWARDS_ZERO | TO_ZERO | SUBNORMAL_IS_ZERO};
constexpr size_t COUNT = sizeof ENVIRONMENTS / sizeof *ENVIRONMENTS;

unsigned environment = DEFAULT;

// Does something in the environment, which it must leave as it was. Nothing is computed here between the two.
template <class Body>
void within(Body body) {
  const unsigned before = _mm_getcsr();
  _mm_setcsr(environment);
  body();
  const unsigned after = _mm_getcsr();
  _mm_setcsr(before);
  CHECK_EQUAL(after, environment);
}

void sweepWithin(int64_t plan, int32_t binding) {
  within([&] { kernel_run::sweepAndWait(plan, binding); });
}

bool same(const kernel_run::Result& one, const kernel_run::Result& other) {
  return one.memory == other.memory && one.sums.size() == other.sums.size() &&
         memcmp(one.sums.data(), other.sums.data(), one.sums.size() * sizeof(double)) == 0;
}

struct Whole {
  std::vector<std::vector<float>> parameters;
  std::vector<float> momentum, square;
  double sums[2];
};

// Two steps of Adam and the square of the gradient over tensors that are long enough for every thread to have a part of them.
Whole whole(int64_t device) {
  Tensors tensors({200000, 70000});
  for (size_t t = 0; t < 2; ++t)
    for (size_t i = 0; i < tensors.gradients[t].size(); ++i) {
      tensors.gradients[t][i] = static_cast<float>(1 + i % 97) * (i % 2 ? 1e-22f : 3e-40f);
      tensors.parameters[t][i] = static_cast<float>(i % 89) * 1e-40f;
    }
  const Bound bound(device, tensors, 2);
  const int32_t adam = bound.bind("fixed_rate", "adam", {0, 1}), norm = bound.bind("gradient_norm", "", {});
  Whole result = {};
  for (int step = 0; step < 2; ++step) {
    within([&] {
      if (st_sweep(bound.plan, norm, 0) != ST_OK || st_sweep(bound.plan, adam, 0) != ST_OK || st_wait(bound.plan, 0) != ST_OK) ++failures;
    });
  }
  result.parameters = tensors.parameters;
  for (std::vector<float>* slot : {&result.momentum, &result.square}) {
    slot->resize(200000);
    within([&] {
      if (st_plan_read(bound.plan, slot == &result.momentum ? 0 : 1, 0, 0, slot->data(), 800000, 0) != ST_OK) ++failures;
    });
  }
  memcpy(result.sums, reinterpret_cast<const void*>(st_binding_sums(bound.plan, norm)), sizeof result.sums);
  return result;
}

// The first sweep of all comes from a thread with another environment: the threads that help it are made then.
void everyThread(int count, char** arguments) {
  std::vector<Whole> seen;
  for (size_t e = 0; e <= COUNT; ++e)
    for (int32_t threads : {4, 2, 1}) {
      environment = e < COUNT ? ENVIRONMENTS[e] : DEFAULT;
      const int64_t device = openDevice(count, arguments, threads);
      seen.push_back(whole(device));
      st_device_close(device);
    }
  const Whole& wanted = seen.back();
  CHECK(wanted.sums[0] > 0 && wanted.square[1] > 0 && wanted.square[1] < 1e-38f && wanted.momentum[0] > 0 && wanted.momentum[0] < 1e-38f);
  for (const Whole& one : seen) {
    CHECK(one.parameters == wanted.parameters && one.momentum == wanted.momentum && one.square == wanted.square);
    CHECK(memcmp(one.sums, wanted.sums, sizeof one.sums) == 0);
  }
}

void everyKernel(int count, char** arguments) {
  const struct {
    int32_t parameters, gradients;
  } types[] = {{ST_FLOAT32, ST_FLOAT32}, {ST_FLOAT64, ST_FLOAT64}, {ST_BFLOAT16, ST_FLOAT16}, {ST_FLOAT16, ST_BFLOAT16}};
  std::vector<int64_t> devices;
  for (int32_t threads : {1, 2, 4}) devices.push_back(openDevice(count, arguments, threads));
  size_t next = 0;
  for (int32_t kernel = 0; kernel < st_kernel_count(); ++kernel)
    for (const auto& type : types) {
      environment = DEFAULT;
      kernel_run::sweepOnce = kernel_run::sweepAndWait;
      const kernel_run::Result wanted = kernel_run::run(devices[0], kernel, type.parameters, type.gradients, kernel_run::SPECIAL);
      kernel_run::sweepOnce = sweepWithin;
      for (int64_t device : devices) {
        environment = ENVIRONMENTS[next++ % COUNT];
        if (same(wanted, kernel_run::run(device, kernel, type.parameters, type.gradients, kernel_run::SPECIAL))) continue;
        ++failures;
        fprintf(stderr, "%s, types %d and %d: other bits in environment %x\n", st_kernel_describe(kernel), type.parameters, type.gradients,
                environment);
      }
    }
  for (int64_t device : devices) st_device_close(device);
}

// 0.1 is rounded when it becomes a float.
void filling(int64_t device) {
  Tensors tensors({10, 3});
  const Bound bound(device, tensors, 1);
  for (unsigned each : ENVIRONMENTS)
    for (double value : {0.1, -0.1, 1e-40, 1e300}) {
      const float wanted = static_cast<float>(value);
      float read[10] = {};
      environment = each;
      within([&] {
        if (st_plan_fill(bound.plan, 0, value, 0) != ST_OK || st_plan_read(bound.plan, 0, 0, 0, read, sizeof read, 0) != ST_OK) ++failures;
      });
      CHECK(memcmp(&read[9], &wanted, sizeof wanted) == 0);
    }
}

}  // namespace

int main(int count, char** arguments) {
  everyThread(count, arguments);
  everyKernel(count, arguments);
  const int64_t device = openDevice(count, arguments, 1);
  filling(device);
  st_device_close(device);
  return report("environment_test");
}
