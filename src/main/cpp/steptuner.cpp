// SPDX-License-Identifier: Apache-2.0
//
// The part of the C ABI that is about plans: checks what comes through the door, keeps the errors, and hands the work to a backend.
#include "steptuner.h"
#include "core/failure.h"
#include "core/owned_plan.h"
#include "core/registry.h"
#include <algorithm>
#include <stdlib.h>

using namespace steptuner;

namespace {

st_status checkAddress(const Device& device, const char* what, int32_t tensor, const void* address, int64_t count, int32_t type,
                       bool written, bool verify) {
  if (count == 0) return ST_OK;
  if (!address) return fail(ST_BAD_ARGUMENT, "%s address of tensor %d is null", what, tensor);
  if (reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(bytesOf(type)))
    return fail(ST_BAD_ARGUMENT, "%s address %p of tensor %d is not a multiple of its element's %d bytes", what, address, tensor,
                bytesOf(type));
  if (!verify) return ST_OK;
  const char* why = device.backend->unusable(device.handle, address, count * bytesOf(type), written);
  if (why)
    return fail(ST_BAD_ARGUMENT, "%s of tensor %d (%lld elements from address %p): %s", what, tensor, static_cast<long long>(count),
                address, why);
  return ST_OK;
}

st_status checkTensor(const Device& device, const Tensor& tensor, int32_t number, bool verify) {
  st_status status = checkAddress(device, "parameter", number, tensor.parameter, tensor.count, tensor.parameterType, true, verify);
  if (status == ST_OK && tensor.gradient)
    status = checkAddress(device, "gradient", number, tensor.gradient, tensor.count, tensor.gradientType, false, verify);
  if (status == ST_OK && tensor.update)
    status = checkAddress(device, "update", number, tensor.update, tensor.count, computeType(tensor.parameterType), false, verify);
  return status;
}

// What a bound kernel reads must be there.
st_status checkOperands(const Binding& binding, const Tensor& tensor, int32_t number) {
  for (int o = 0; o < binding.operands && tensor.count > 0; ++o) {
    const Place place = binding.operand[o].place;
    if ((place == GRADIENT && !tensor.gradient) || (place == UPDATE && !tensor.update))
      return fail(ST_BAD_ARGUMENT, "%s needs the %s address of tensor %d, which is null",
                  kernelInfos()[static_cast<size_t>(binding.kernel)].sweep.c_str(), binding.operand[o].name.text, number);
  }
  return ST_OK;
}

// One more slot of `planned`.
st_status addSlot(OwnedPlan& plan, int32_t planned) {
  plan.slots.reserve(plan.slots.size() + 1);
  char* memory = nullptr;
  // At least a byte: null stands for a slot that was released.
  const st_status status = plan.owner->backend->allocate(plan.owner->handle, std::max<int64_t>(plan.stateBytes, 1), &memory);
  if (status != ST_OK)
    return fail(status, "cannot allocate %lld bytes of state for slot %d of %d", static_cast<long long>(plan.stateBytes),
                static_cast<int>(plan.slots.size()) + 1, planned);
  plan.slots.push_back(memory);
  return ST_OK;
}

bool validType(int32_t type) { return type >= 0 && type < TYPES; }

st_status noSlot(int32_t slot) { return fail(ST_BAD_ARGUMENT, "no slot %d, or it was released", slot); }

st_status noBinding(int32_t binding) { return fail(ST_BAD_ARGUMENT, "no binding %d, or it was released", binding); }

// Whether there is such a tensor, and such a slot or the parameters (-1); explains what there is not.
bool placed(const OwnedPlan& plan, int32_t slot, int32_t tensor) {
  if (slot != -1 && !plan.hasSlot(slot)) return noSlot(slot) == ST_OK;
  return plan.hasTensor(tensor) || fail(ST_BAD_ARGUMENT, "the plan has no tensor %d", tensor) == ST_OK;
}

// A slot may have been released since the kernel was bound.
st_status checkSlots(const OwnedPlan& plan, const Binding& binding) {
  for (int o = 0; o < binding.operands; ++o)
    if (binding.operand[o].place == STATE && !plan.hasSlot(binding.slot[o]))
      return fail(ST_BAD_ARGUMENT, "%s: operand %s has no slot", kernelInfos()[static_cast<size_t>(binding.kernel)].description.c_str(),
                  binding.operand[o].name.text);
  return ST_OK;
}

}  // namespace

st_status st_plan_create(int64_t device, int32_t tensors, const int64_t* parameters, const int32_t* parameterTypes,
                         const int64_t* gradients, const int32_t* gradientTypes, const int64_t* updates, const int64_t* counts,
                         const int32_t* segments, int32_t slots, int32_t verify, int64_t* result) {
  return guarded([&]() -> st_status {
    if (tensors <= 0) return fail(ST_BAD_ARGUMENT, "a plan needs at least one tensor, not %d", tensors);
    if (slots < 0) return fail(ST_BAD_ARGUMENT, "slots must not be negative: %d", slots);
    Device* owner = deviceOf(device);
    auto plan = std::make_unique<OwnedPlan>();
    plan->owner = owner;
    for (int32_t t = 0; t < tensors; ++t) {
      if (!validType(parameterTypes[t]) || !validType(gradientTypes[t])) return fail(ST_BAD_ARGUMENT, "unknown data type of tensor %d", t);
      Tensor tensor = {};
      tensor.parameter = reinterpret_cast<char*>(parameters[t]);
      tensor.gradient = reinterpret_cast<char*>(gradients[t]);
      tensor.update = updates ? reinterpret_cast<char*>(updates[t]) : nullptr;
      tensor.count = counts[t];
      tensor.parameterType = parameterTypes[t];
      tensor.gradientType = gradientTypes[t];
      tensor.segment = segments[t];
      if (tensor.count < 0) return fail(ST_BAD_ARGUMENT, "count of tensor %d is negative", t);
      const st_status status = checkTensor(*owner, tensor, t, verify != 0);
      if (status != ST_OK) return status;
      plan->tensors.push_back(tensor);
    }
    if (const char* wrong = layOut(*plan)) return fail(ST_BAD_ARGUMENT, "%s", wrong);
    for (int32_t s = 0; s < slots; ++s) {
      const st_status status = addSlot(*plan, slots);
      if (status != ST_OK) return status;
    }
    *result = reinterpret_cast<int64_t>(plan.release());
    return ST_OK;
  });
}

void st_plan_destroy(int64_t plan) { delete planOf(plan); }

st_status st_plan_rebind(int64_t handle, int32_t number, int64_t parameter, int64_t gradient, int64_t update, int32_t verify) {
  OwnedPlan* plan = planOf(handle);
  if (!plan->hasTensor(number)) return fail(ST_BAD_ARGUMENT, "no tensor %d", number);
  Tensor moved = plan->tensors[static_cast<size_t>(number)];
  moved.parameter = reinterpret_cast<char*>(parameter);
  moved.gradient = reinterpret_cast<char*>(gradient);
  moved.update = reinterpret_cast<char*>(update);
  const st_status status = checkTensor(*plan->owner, moved, number, verify != 0);
  if (status != ST_OK) return status;
  for (const auto& binding : plan->bindings) {
    if (!binding) continue;
    const st_status bound = checkOperands(*binding, moved, number);
    if (bound != ST_OK) return bound;
  }
  plan->tensors[static_cast<size_t>(number)] = moved;
  ++plan->version;
  return ST_OK;
}

st_status st_plan_add_slot(int64_t handle, int32_t* slot) {
  return guarded([&]() -> st_status {
    OwnedPlan* plan = planOf(handle);
    const int32_t number = static_cast<int32_t>(plan->slots.size());
    const st_status status = addSlot(*plan, number + 1);
    if (status == ST_OK) *slot = number;
    return status;
  });
}

st_status st_plan_fill(int64_t handle, int32_t slot, double value, int64_t stream) {
  return guarded([&]() -> st_status {
    OwnedPlan* plan = planOf(handle);
    if (!plan->hasSlot(slot)) return noSlot(slot);
    return plan->owner->backend->fill(plan->owner->handle, *plan, slot, value, reinterpret_cast<void*>(stream));
  });
}

st_status st_plan_release_slot(int64_t handle, int32_t slot) {
  return guarded([&]() -> st_status {
    OwnedPlan* plan = planOf(handle);
    if (!plan->hasSlot(slot)) return noSlot(slot);
    const Backend* backend = plan->owner->backend;
    // Work that has been enqueued may still use the memory.
    const st_status status = backend->wait(plan->owner->handle, *plan, nullptr);
    if (status != ST_OK) return status;
    backend->release(plan->owner->handle, plan->slots[static_cast<size_t>(slot)]);
    plan->slots[static_cast<size_t>(slot)] = nullptr;
    return ST_OK;
  });
}

int64_t st_plan_bytes(int64_t handle, int32_t slot, int32_t tensor) {
  const OwnedPlan* plan = planOf(handle);
  if (!placed(*plan, slot, tensor)) return -1;
  const Tensor& t = plan->tensors[static_cast<size_t>(tensor)];
  return t.count * bytesOf(slot < 0 ? t.parameterType : t.stateType);
}

int64_t st_plan_address(int64_t handle, int32_t slot, int32_t tensor) {
  const OwnedPlan* plan = planOf(handle);
  if (slot == -1) noSlot(slot);
  if (slot == -1 || !placed(*plan, slot, tensor)) return 0;
  return reinterpret_cast<int64_t>(plan->slots[static_cast<size_t>(slot)] + plan->tensors[static_cast<size_t>(tensor)].stateOffset);
}

namespace {

st_status transfer(int64_t handle, int32_t slot, int32_t tensor, int64_t offset, void* host, int64_t bytes, Copy direction,
                   int64_t stream) {
  OwnedPlan* plan = planOf(handle);
  if (!placed(*plan, slot, tensor)) return ST_BAD_ARGUMENT;
  const int64_t size = st_plan_bytes(handle, slot, tensor);
  if (offset < 0 || bytes < 0 || offset > size || bytes > size - offset)
    return fail(ST_BAD_ARGUMENT, "%lld bytes from byte %lld on are outside of a tensor of %lld bytes", static_cast<long long>(bytes),
                static_cast<long long>(offset), static_cast<long long>(size));
  if (bytes == 0) return ST_OK;
  const Tensor& t = plan->tensors[static_cast<size_t>(tensor)];
  char* memory = (slot < 0 ? t.parameter : plan->slots[static_cast<size_t>(slot)] + t.stateOffset) + offset;
  void* const queue = reinterpret_cast<void*>(stream);
  const Backend* backend = plan->owner->backend;
  // What the plan has been given to do may be on another stream.
  const st_status status = backend->wait(plan->owner->handle, *plan, queue);
  if (status != ST_OK) return status;
  return direction == Copy::DEVICE_TO_HOST ? backend->copy(plan->owner->handle, host, memory, bytes, direction, queue)
                                           : backend->copy(plan->owner->handle, memory, host, bytes, direction, queue);
}

}  // namespace

st_status st_plan_read(int64_t plan, int32_t slot, int32_t tensor, int64_t offset, void* host, int64_t bytes, int64_t stream) {
  return transfer(plan, slot, tensor, offset, host, bytes, Copy::DEVICE_TO_HOST, stream);
}

st_status st_plan_write(int64_t plan, int32_t slot, int32_t tensor, int64_t offset, const void* host, int64_t bytes, int64_t stream) {
  return transfer(plan, slot, tensor, offset, const_cast<void*>(host), bytes, Copy::HOST_TO_DEVICE, stream);
}

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
      for (const Tensor& tensor : plan->tensors)
        binding->bytes += tensor.count * bytesOf(operandType(tensor, operand.place)) * (reads(operand) + writes(operand));
    }
    const st_status complete = checkSlots(*plan, *binding);
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
