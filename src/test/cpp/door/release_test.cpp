// SPDX-License-Identifier: Apache-2.0
//
// Slots and bindings that are freed while their plan lives: what else there is goes on, what uses them is refused, and no number that comes
// through the door is taken for a place without being looked at.
#include "core/memory_map.h"
#include "run.h"
#include <limits.h>

using namespace door;

namespace {

constexpr int32_t NUMBERS[] = {-2, -1, 4, 99, INT_MIN, INT_MAX};

std::vector<float> slotContent(int64_t plan, int32_t slot, int32_t tensor) {
  std::vector<float> content(static_cast<size_t>(st_plan_bytes(plan, slot, tensor)) / sizeof(float));
  CHECK_EQUAL(st_plan_read(plan, slot, tensor, 0, content.data(), static_cast<int64_t>(content.size() * sizeof(float)), 0), ST_OK);
  return content;
}

// Adam in slots 2 and 3 of a plan, with slots 0 and 1 released in between or not.
void theRestGoesOn(int64_t device) {
  Tensors kept({5000, 3, 9000}), freed({5000, 3, 9000});
  const Bound one(device, kept, 4), other(device, freed, 4);
  const int32_t still = one.bind("fixed_rate", "adam", {2, 3}), moving = other.bind("fixed_rate", "adam", {2, 3});
  const int32_t gone = other.bind("fixed_rate", "adam", {0, 1});
  for (int step = 0; step < 6; ++step) {
    CHECK_EQUAL(st_sweep(one.plan, still, 0), ST_OK);
    CHECK_EQUAL(st_sweep(other.plan, moving, 0), ST_OK);
    if (step == 1) CHECK_EQUAL(st_plan_release_slot(other.plan, 0), ST_OK);
    if (step == 2) CHECK_EQUAL(st_binding_release(other.plan, gone), ST_OK);
    if (step == 3) CHECK_EQUAL(st_plan_release_slot(other.plan, 1), ST_OK);
  }
  CHECK_EQUAL(st_wait(one.plan, 0), ST_OK);
  CHECK_EQUAL(st_wait(other.plan, 0), ST_OK);
  CHECK(kept.parameters == freed.parameters);
  CHECK(kept.parameters[0][0] != -3);
  for (int32_t slot = 2; slot < 4; ++slot)
    for (int32_t t = 0; t < 3; ++t) CHECK(slotContent(one.plan, slot, t) == slotContent(other.plan, slot, t));
}

void whatUsesASlotIsRefused(int64_t device) {
  Tensors tensors({100, 50});
  const Bound bound(device, tensors, 4);
  const int32_t adam = bound.bind("fixed_rate", "adam", {0, 1}), sgd = bound.bind("fixed_rate", "sgd", {});
  CHECK_EQUAL(st_sweep(bound.plan, adam, 0), ST_OK);
  CHECK_EQUAL(st_plan_release_slot(bound.plan, 1), ST_OK);
  const auto before = tensors.parameters;
  CHECK_REFUSED(st_plan_release_slot(bound.plan, 1), "no slot #1");
  CHECK_REFUSED(st_sweep(bound.plan, adam, 0), "operand square has no slot");
  CHECK_EQUAL(bound.bind("fixed_rate", "adam", {1, 0}), -1);
  CHECK(told("operand momentum has no slot"));
  float one = 1;
  CHECK_REFUSED(st_plan_fill(bound.plan, 1, 0, 0), "no slot #1");
  CHECK_REFUSED(st_plan_read(bound.plan, 1, 0, 0, &one, sizeof one, 0), "no slot #1");
  CHECK_REFUSED(st_plan_write(bound.plan, 1, 0, 0, &one, sizeof one, 0), "no slot #1");
  CHECK_EQUAL(st_plan_address(bound.plan, 1, 0), 0);
  CHECK_EQUAL(st_plan_bytes(bound.plan, 1, 0), -1);
  CHECK(before == tensors.parameters);
  // The number stays taken, and the sweep without the slot runs.
  int32_t added = -1;
  CHECK_EQUAL(st_plan_add_slot(bound.plan, ST_COMPUTED, &added), ST_OK);
  CHECK_EQUAL(added, 4);
  CHECK_EQUAL(st_sweep(bound.plan, sgd, 0), ST_OK);
  CHECK_EQUAL(st_wait(bound.plan, 0), ST_OK);
  CHECK(before != tensors.parameters);
}

void whatUsesABindingIsRefused(int64_t device) {
  Tensors tensors({100, 50});
  const Bound bound(device, tensors, 2);
  const int32_t norm = bound.bind("gradient_norm", "", {}), other = bound.bind("gradient_norm", "", {});
  CHECK_EQUAL(st_sweep(bound.plan, norm, 0), ST_OK);
  CHECK_EQUAL(st_binding_release(bound.plan, norm), ST_OK);
  CHECK_REFUSED(st_binding_release(bound.plan, norm), "no binding 0");
  CHECK_REFUSED(st_sweep(bound.plan, norm, 0), "no binding 0");
  CHECK_EQUAL(st_binding_coefficients(bound.plan, norm), 0);
  CHECK_EQUAL(st_binding_sums(bound.plan, norm), 0);
  CHECK_EQUAL(st_binding_bytes(bound.plan, norm), -1);
  CHECK_EQUAL(bound.bind("gradient_norm", "", {}), norm);
  CHECK_EQUAL(st_sweep(bound.plan, other, 0), ST_OK);
  CHECK_EQUAL(st_wait(bound.plan, 0), ST_OK);
  CHECK_EQUAL(reinterpret_cast<const double*>(st_binding_sums(bound.plan, other))[0], 200.0);  // of 4, 1, 0, 1, 4, ...
}

void numbersThatAreNoPlaces(int64_t device) {
  Tensors tensors({100, 50});
  const Bound bound(device, tensors, 4);
  bound.bind("fixed_rate", "adam", {0, 1});
  float one = 1;
  for (int32_t number : NUMBERS) {
    CHECK_REFUSED(st_sweep(bound.plan, number, 0), "no binding");
    CHECK_REFUSED(st_binding_release(bound.plan, number), "no binding");
    CHECK_EQUAL(st_binding_coefficients(bound.plan, number), 0);
    CHECK_EQUAL(st_binding_sums(bound.plan, number), 0);
    CHECK_EQUAL(st_binding_bytes(bound.plan, number), -1);
    CHECK_REFUSED(st_plan_release_slot(bound.plan, number), "no slot");
    CHECK_REFUSED(st_plan_fill(bound.plan, number, 1, 0), "no slot");
    CHECK_EQUAL(st_plan_address(bound.plan, number, 0), 0);
    CHECK_EQUAL(st_plan_address(bound.plan, 0, number), 0);
    CHECK_EQUAL(st_plan_bytes(bound.plan, 0, number), -1);
    CHECK_EQUAL(st_plan_bytes(bound.plan, -1, number), -1);
    CHECK_REFUSED(st_plan_read(bound.plan, 0, number, 0, &one, sizeof one, 0), "no tensor");
    if (number == -1) continue;  // stands for the parameters
    CHECK_EQUAL(st_plan_bytes(bound.plan, number, 0), -1);
    CHECK_REFUSED(st_plan_read(bound.plan, number, 0, 0, &one, sizeof one, 0), "no slot");
  }
}

// A large block is the system's again. Memory of a GPU is not looked for here.
void theMemoryIsGivenBack(int64_t device) {
  if (st_device_threads(device) == 0) return;
  constexpr int64_t COUNT = 12 << 20;
  Tensors tensors({COUNT});
  const Bound bound(device, tensors, 2);
  const auto there = [&](int64_t at) { return steptuner::isMapped(reinterpret_cast<const void*>(at), COUNT * 4, true); };
  const int64_t first = st_plan_address(bound.plan, 0, 0), second = st_plan_address(bound.plan, 1, 0);
  CHECK(there(first) && there(second));
  CHECK_EQUAL(st_plan_release_slot(bound.plan, 0), ST_OK);
  CHECK(!there(first) && there(second));
}

// Slots of plans whose tensors are all empty are slots too.
void emptyTensors(int64_t device) {
  Tensors tensors({0, 0});
  const Bound bound(device, tensors, 2);
  const int32_t adam = bound.bind("fixed_rate", "adam", {0, 1});
  CHECK_EQUAL(st_sweep(bound.plan, adam, 0), ST_OK);
  CHECK_EQUAL(st_plan_bytes(bound.plan, 0, 0), 0);
  CHECK_EQUAL(st_plan_fill(bound.plan, 0, 3, 0), ST_OK);
  CHECK_EQUAL(st_plan_release_slot(bound.plan, 0), ST_OK);
  CHECK_REFUSED(st_sweep(bound.plan, adam, 0), "no slot");
}

}  // namespace

int main(int count, char** arguments) {
  const int64_t device = openDevice(count, arguments);
  theRestGoesOn(device);
  whatUsesASlotIsRefused(device);
  whatUsesABindingIsRefused(device);
  numbersThatAreNoPlaces(device);
  theMemoryIsGivenBack(device);
  emptyTensors(device);
  st_device_close(device);
  return report("release_test");
}
