// SPDX-License-Identifier: Apache-2.0
//
// What the tests of the C ABI share: a device that is the CPU or the library that was named, and a plan over tensors in memory of the test,
// in two segments, with a kernel bound to it whose coefficients are all 0.5.
//
//   TEST [device library]
#pragma once
#include "../native/check.h"
#include "../native/description.h"
#include "steptuner.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <vector>

namespace door {

using description::split;

inline bool told(const char* what) {
  const bool said = strstr(st_last_error(), what) != nullptr;
  if (!said) fprintf(stderr, "'%s' is not in: %s\n", what, st_last_error());
  return said;
}

#define CHECK_REFUSED(call, what)         \
  do {                                    \
    CHECK_EQUAL((call), ST_BAD_ARGUMENT); \
    CHECK(door::told(what));              \
  } while (false)

inline int64_t address(const void* memory) { return reinterpret_cast<int64_t>(memory); }

inline int64_t openDevice(int count, char** arguments, int32_t threads = 2) {
  int64_t device = 0;
  if (st_device_open(count > 1 ? arguments[1] : nullptr, 0, threads, "", &device) != ST_OK) {
    fprintf(stderr, "no device: %s\n", st_last_error());
    exit(2);
  }
  return device;
}

// Float32 tensors.
struct Tensors {
  std::vector<std::vector<float>> parameters, gradients;

  explicit Tensors(const std::vector<int64_t>& counts) {
    for (int64_t count : counts) {
      parameters.emplace_back(static_cast<size_t>(count));
      gradients.emplace_back(static_cast<size_t>(count));
      for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
        parameters.back()[i] = static_cast<float>(i % 7) - 3;
        gradients.back()[i] = static_cast<float>(i % 5) - 2;
      }
    }
  }
};

struct Bound {
  int64_t plan = 0;

  // The first tensor is a segment, the others are one.
  Bound(int64_t device, const Tensors& tensors, int32_t slots) {
    std::vector<int64_t> parameters, gradients, counts;
    std::vector<int32_t> types, segments;
    for (size_t t = 0; t < tensors.parameters.size(); ++t) {
      parameters.push_back(address(tensors.parameters[t].data()));
      gradients.push_back(address(tensors.gradients[t].data()));
      counts.push_back(static_cast<int64_t>(tensors.parameters[t].size()));
      types.push_back(ST_FLOAT32);
      segments.push_back(t == 0 ? 0 : 1);
    }
    CHECK_EQUAL(st_plan_create(device, static_cast<int32_t>(counts.size()), parameters.data(), types.data(), gradients.data(), types.data(),
                               nullptr, counts.data(), segments.data(), slots, nullptr, 1, &plan),
                ST_OK);
  }
  ~Bound() { st_plan_destroy(plan); }
  Bound(const Bound&) = delete;
  Bound& operator=(const Bound&) = delete;

  // Operands that are state are the slots that are named, in their order.
  int32_t bind(const char* sweep, const char* rule, const std::vector<int32_t>& stateSlots) const {
    const int32_t kernel = st_kernel_find(sweep, rule);
    const std::vector<std::string> parts = split(st_kernel_describe(kernel), '|');
    std::vector<int32_t> slots;
    size_t next = 0;
    for (const std::string& operand : split(parts[2], ','))
      slots.push_back(operand.find(":state:") == std::string::npos ? -1 : stateSlots[next++]);
    int32_t binding = -1;
    if (st_plan_bind(plan, kernel, slots.data(), static_cast<int32_t>(slots.size()), &binding) != ST_OK) return -1;
    double* const rows = reinterpret_cast<double*>(st_binding_coefficients(plan, binding));
    for (size_t i = 0; i < 2 * split(parts[3], ',').size(); ++i) rows[i] = 0.5;
    return binding;
  }
};

}  // namespace door
