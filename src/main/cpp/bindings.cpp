// SPDX-License-Identifier: Apache-2.0
//
// The part of the C ABI that is about kernels bound to a plan, and their sweeps.
#include "core/addresses.h"
#include "core/failure.h"
#include "core/owned_plan.h"
#include "core/registry.h"
#include "steptuner.h"
#include <algorithm>
#include <stdlib.h>

using namespace steptuner;

namespace {

st_status noBinding(int32_t binding) { return fail(ST_BAD_ARGUMENT, "there is no binding %d, or it was released", binding); }

st_status noRest() { return fail(ST_BAD_ARGUMENT, "the slot with the rest of the parameters was released"); }

// A slot may have been released since the kernel was bound.
st_status checkSlots(const OwnedPlan& plan, const Binding& binding) {
  for (int o = 0; o < binding.operands; ++o)
    if (binding.operand[o].place == STATE && !plan.hasSlot(binding.slot[o]))
      return fail(ST_BAD_ARGUMENT, "%s: operand %s has no slot", kernelInfos()[static_cast<size_t>(binding.kernel)].description.c_str(),
                  binding.operand[o].name.text);
  if (binding.inParts && !plan.hasSlot(plan.restSlot)) return noRest();
  return ST_OK;
}

// Of a name, the same on every machine (FNV-1a).
uint64_t hashOf(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

// How the operands of a binding are stored and rounded.
st_status place(const OwnedPlan& plan, const KernelInfo& info, Binding& binding) {
  binding.key = mixed(plan.seed + hashOf(info.sweep));
  for (int32_t o = 0; o < binding.operands; ++o) {
    const Operand& operand = binding.operand[o];
    if (operand.place == PARAMETER) {
      binding.inParts = plan.rounding == IN_PARTS;
      if (binding.inParts && !plan.hasSlot(plan.restSlot)) return noRest();
      if (plan.rounding == STOCHASTIC && operand.access == READ_WRITE && !info.toNearest) binding.stochastic |= 1u << o;
    }
    if (operand.place != STATE) continue;
    const Storage storage = binding.storage[o] = plan.slots[static_cast<size_t>(binding.slot[o])].storage;
    if (storage == REST)
      return fail(ST_BAD_ARGUMENT, "operand %s of %s: slot #%d holds no numbers", operand.name.text, info.description.c_str(),
                  binding.slot[o]);
    if (writes(operand)) binding.stochastic |= 1u << o;
  }
  for (const Tensor& tensor : plan.tensors)
    for (int32_t o = 0; o < binding.operands; ++o) {
      const Operand& operand = binding.operand[o];
      const bool parts = operand.place == PARAMETER && restBase(plan, binding, tensor);
      binding.bytes += tensor.count * (bytesOf(operandType(tensor, operand.place, binding.storage[o])) + (parts ? 2 : 0)) *
                       (reads(operand) + writes(operand));
    }
  return ST_OK;
}

}  // namespace

st_status st_plan_bind(int64_t handle, int32_t kernel, const int32_t* slots, int32_t operands, int32_t* result) {
  return guarded([&]() -> st_status {
    OwnedPlan* plan = planOf(handle);
    if (kernel < 0 || kernel >= st_kernel_count()) return fail(ST_BAD_ARGUMENT, "no kernel %d", kernel);
    const KernelInfo& info = kernelInfos()[static_cast<size_t>(kernel)];
    if (operands != static_cast<int32_t>(info.operands.size()))
      return fail(ST_BAD_ARGUMENT, "%s has %d operands, not %d", info.description.c_str(), static_cast<int>(info.operands.size()),
                  operands);
    auto binding = std::make_unique<Binding>(Binding{});
    binding->kernel = kernel;
    binding->operands = operands;
    binding->coefficients = info.coefficients;
    binding->sums = info.sums;
    for (int32_t o = 0; o < operands; ++o) {
      const Operand operand = binding->operand[o] = info.operands[static_cast<size_t>(o)];
      binding->slot[o] = operand.place == STATE ? slots[o] : -1;
    }
    st_status complete = checkSlots(*plan, *binding);
    if (complete == ST_OK) complete = place(*plan, info, *binding);
    if (complete != ST_OK) return complete;
    for (size_t t = 0; t < plan->tensors.size(); ++t) {
      const st_status status = checkOperands(*binding, plan->tensors[t], static_cast<int32_t>(t));
      if (status != ST_OK) return status;
    }
    const Backend* backend = plan->owner->backend;
    const size_t segments = plan->segments.size();
    plan->bindings.reserve(plan->bindings.size() + 1);
    binding->coefficientRows = static_cast<double*>(calloc(segments * static_cast<size_t>(binding->coefficients) + 1, sizeof(double)));
    if (!binding->coefficientRows) return fail(ST_OUT_OF_MEMORY, "out of host memory");
    const int64_t sumBytes = static_cast<int64_t>(segments * static_cast<size_t>(binding->sums) * sizeof(double));
    const st_status status = backend->allocateHost(plan->owner->handle, sumBytes, reinterpret_cast<char**>(&binding->sumRows));
    if (status != ST_OK) {
      free(binding->coefficientRows);
      return fail(status, "cannot allocate the sums of %s", info.description.c_str());
    }
    // The number of a binding that was released is free: settings may change thousands of times in a run.
    const auto place = std::find(plan->bindings.begin(), plan->bindings.end(), nullptr);
    *result = static_cast<int32_t>(place - plan->bindings.begin());
    if (place == plan->bindings.end())
      plan->bindings.push_back(std::move(binding));
    else
      *place = std::move(binding);
    return ST_OK;
  });
}

st_status st_binding_release(int64_t handle, int32_t number) {
  return guarded([&]() -> st_status {
    OwnedPlan* plan = planOf(handle);
    Binding* binding = plan->find(number);
    if (!binding) return noBinding(number);
    // A sweep that has been enqueued may still write its sums.
    const st_status status = plan->owner->backend->wait(plan->owner->handle, *plan, nullptr);
    if (status != ST_OK) return status;
    plan->freeRows(*binding);
    plan->bindings[static_cast<size_t>(number)].reset();
    return ST_OK;
  });
}

int64_t st_binding_coefficients(int64_t plan, int32_t number) {
  const Binding* binding = planOf(plan)->find(number);
  return binding ? reinterpret_cast<int64_t>(binding->coefficientRows) : (noBinding(number), 0);
}

int64_t st_binding_sums(int64_t plan, int32_t number) {
  const Binding* binding = planOf(plan)->find(number);
  return binding ? reinterpret_cast<int64_t>(binding->sumRows) : (noBinding(number), 0);
}

int64_t st_binding_bytes(int64_t plan, int32_t number) {
  const Binding* binding = planOf(plan)->find(number);
  return binding ? binding->bytes : (noBinding(number), -1);
}

namespace {

st_status sweepWith(OwnedPlan& plan, Binding& binding, const Binding* follower, int64_t stream) {
  const st_status status = plan.owner->backend->sweep(plan.owner->handle, plan, binding, follower, reinterpret_cast<void*>(stream));
  ++plan.sweeps;
  return status;
}

}  // namespace

st_status st_sweep(int64_t handle, int32_t number, int64_t stream) {
  return guarded([&]() -> st_status {
    OwnedPlan* plan = planOf(handle);
    Binding* binding = plan->find(number);
    if (!binding) return noBinding(number);
    const st_status complete = checkSlots(*plan, *binding);
    if (complete != ST_OK) return complete;
    return sweepWith(*plan, *binding, nullptr, stream);
  });
}

st_status st_sweep_followed(int64_t handle, int32_t number, int32_t followerNumber, int64_t stream) {
  return guarded([&]() -> st_status {
    OwnedPlan* plan = planOf(handle);
    Binding* binding = plan->find(number);
    if (!binding) return noBinding(number);
    const Binding* follower = plan->find(followerNumber);
    if (!follower) return noBinding(followerNumber);
    if (follower->sums > 0)
      return fail(ST_BAD_ARGUMENT, "%s has sums, and cannot follow another sweep",
                  kernelInfos()[static_cast<size_t>(follower->kernel)].description.c_str());
    for (const Binding* bound : {static_cast<const Binding*>(binding), follower}) {
      const st_status complete = checkSlots(*plan, *bound);
      if (complete != ST_OK) return complete;
    }
    return sweepWith(*plan, *binding, follower, stream);
  });
}

st_status st_wait(int64_t plan, int64_t stream) {
  return guarded([&] {
    OwnedPlan* p = planOf(plan);
    return p->owner->backend->wait(p->owner->handle, *p, reinterpret_cast<void*>(stream));
  });
}
