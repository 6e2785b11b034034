// SPDX-License-Identifier: Apache-2.0
//
// The part of the C ABI that is about plans and their memory: checks what comes through the door, keeps the errors, and hands the work to a
// backend.
#include "steptuner.h"
#include "core/addresses.h"
#include "core/failure.h"
#include "core/owned_plan.h"
#include "core/summation.h"
#include <algorithm>
#include <stdlib.h>

using namespace steptuner;

namespace {

st_status addSlot(OwnedPlan& plan, int32_t storage) {
  const int number = static_cast<int>(plan.slots.size());
  if (storage < 0 || storage >= STORAGES) return fail(ST_BAD_ARGUMENT, "unknown storage %d of slot #%d", storage, number);
  plan.slots.reserve(plan.slots.size() + 1);
  char* memory = nullptr;
  const int64_t bytes = plan.stateBytes[storage];
  // At least a byte: null stands for a slot that was released.
  const st_status status = plan.owner->backend->allocate(plan.owner->handle, std::max<int64_t>(bytes, 1), &memory);
  if (status != ST_OK) return fail(status, "cannot allocate %lld bytes of state for slot #%d", static_cast<long long>(bytes), number);
  plan.slots.push_back({memory, Storage(storage)});
  return ST_OK;
}

bool validType(int32_t type) { return type >= 0 && type < TYPES; }

st_status noSlot(int32_t slot) { return fail(ST_BAD_ARGUMENT, "there is no slot #%d, or it was released", slot); }

// Whether there is such a tensor, and such a slot or the parameters (-1); explains what there is not.
bool placed(const OwnedPlan& plan, int32_t slot, int32_t tensor) {
  if (slot != -1 && !plan.hasSlot(slot)) return noSlot(slot) == ST_OK;
  return plan.hasTensor(tensor) || fail(ST_BAD_ARGUMENT, "there is no tensor #%d", tensor) == ST_OK;
}

}  // namespace

st_status st_plan_create(int64_t device, int32_t tensors, const int64_t* parameters, const int32_t* parameterTypes,
                         const int64_t* gradients, const int32_t* gradientTypes, const int64_t* updates, const int64_t* counts,
                         const int32_t* segments, int32_t slots, const int32_t* storage, int32_t verify, int64_t* result) {
  return guarded([&]() -> st_status {
    if (tensors <= 0) return fail(ST_BAD_ARGUMENT, "a plan needs at least one tensor, not %d", tensors);
    if (slots < 0) return fail(ST_BAD_ARGUMENT, "slots must not be negative: %d", slots);
    Device* owner = deviceOf(device);
    auto plan = std::make_unique<OwnedPlan>();
    plan->owner = owner;
    for (int32_t t = 0; t < tensors; ++t) {
      if (!validType(parameterTypes[t]) || !validType(gradientTypes[t])) return fail(ST_BAD_ARGUMENT, "unknown data type of tensor #%d", t);
      Tensor tensor = {};
      tensor.parameter = reinterpret_cast<char*>(parameters[t]);
      tensor.gradient = reinterpret_cast<char*>(gradients[t]);
      tensor.update = updates ? reinterpret_cast<char*>(updates[t]) : nullptr;
      tensor.count = counts[t];
      tensor.parameterType = parameterTypes[t];
      tensor.gradientType = gradientTypes[t];
      tensor.stateType = computeType(tensor.parameterType);
      tensor.segment = segments[t];
      if (tensor.count < 0 || tensor.count > MOST_ELEMENTS)
        return fail(ST_BAD_ARGUMENT, "the count of tensor #%d must be between 0 and 2^40, not %lld", t,
                    static_cast<long long>(tensor.count));
      plan->tensors.push_back(tensor);
    }
    const st_status checked = checkAddresses(*owner, plan->tensors, nullptr, verify != 0);
    if (checked != ST_OK) return checked;
    if (const char* wrong = layOut(*plan)) return fail(ST_BAD_ARGUMENT, "%s", wrong);
    plan->zeroable.resize(plan->tensors.size());
    for (int32_t s = 0; s < slots; ++s) {
      const st_status status = addSlot(*plan, storage ? storage[s] : int32_t(COMPUTED));
      if (status != ST_OK) return status;
    }
    *result = reinterpret_cast<int64_t>(plan.release());
    return ST_OK;
  });
}

void st_plan_destroy(int64_t plan) { delete planOf(plan); }

st_status st_plan_rebind(int64_t handle, int32_t count, const int32_t* tensors, const int64_t* parameters, const int64_t* gradients,
                         const int64_t* updates, int32_t verify) {
  return guarded([&]() -> st_status {
    OwnedPlan* plan = planOf(handle);
    if (count < 0 || (!tensors && count != static_cast<int32_t>(plan->tensors.size())))
      return fail(ST_BAD_ARGUMENT, "there are %d tensors, and not addresses for %d", static_cast<int>(plan->tensors.size()), count);
    std::vector<Tensor>& moved = plan->moved;
    moved = plan->tensors;
    for (int32_t i = 0; i < count; ++i) {
      const int32_t number = tensors ? tensors[i] : i;
      if (!plan->hasTensor(number)) return fail(ST_BAD_ARGUMENT, "there is no tensor #%d", number);
      Tensor& tensor = moved[static_cast<size_t>(number)];
      if (parameters) tensor.parameter = reinterpret_cast<char*>(parameters[i]);
      if (gradients) tensor.gradient = reinterpret_cast<char*>(gradients[i]);
      if (updates) tensor.update = reinterpret_cast<char*>(updates[i]);
    }
    const st_status status = checkAddresses(*plan->owner, moved, &plan->tensors, verify != 0);
    if (status != ST_OK) return status;
    bool changes = false;
    for (size_t t = 0; t < moved.size(); ++t) {
      const Tensor &now = moved[t], &before = plan->tensors[t];
      changes = changes || now.parameter != before.parameter || now.gradient != before.gradient || now.update != before.update;
      if ((now.gradient || !before.gradient) && (now.update || !before.update)) continue;
      for (const auto& binding : plan->bindings) {
        const st_status complete = binding ? checkOperands(*binding, now, static_cast<int32_t>(t)) : ST_OK;
        if (complete != ST_OK) return complete;
      }
    }
    if (!changes) return ST_OK;
    plan->tensors.swap(moved);
    plan->trainerBytes = 0;
    for (size_t t = 0; t < moved.size(); ++t) {
      plan->trainerBytes += trainerBytesOf(plan->tensors[t]);
      if (plan->tensors[t].gradient == moved[t].gradient) continue;
      plan->zeroable[t] = nullptr;
      plan->gradientsCut = false;
    }
    ++plan->version;
    return ST_OK;
  });
}

st_status st_plan_zero_gradients(int64_t handle, int64_t stream, int32_t verify) {
  return guarded([&]() -> st_status {
    OwnedPlan* plan = planOf(handle);
    if (!plan->gradientsCut) {
      const st_status status = verify ? checkGradientsWritable(*plan->owner, plan->tensors, plan->zeroable) : ST_OK;
      if (status != ST_OK) return status;
      cutGradients(*plan);
      for (size_t t = 0; t < plan->tensors.size(); ++t) plan->zeroable[t] = plan->tensors[t].gradient;
      plan->gradientsCut = true;
    }
    return plan->owner->backend->zeroGradients(plan->owner->handle, *plan, reinterpret_cast<void*>(stream));
  });
}

st_status st_plan_set_present(int64_t handle, const int32_t* present) {
  OwnedPlan* plan = planOf(handle);
  bool changes = false;
  for (size_t t = 0; t < plan->tensors.size(); ++t) {
    const int32_t absent = present[t] == 0;
    changes = changes || plan->tensors[t].absent != absent;
    plan->tensors[t].absent = absent;
  }
  if (changes) ++plan->version;
  return ST_OK;
}

st_status st_plan_add_slot(int64_t handle, int32_t storage, int32_t* slot) {
  return guarded([&]() -> st_status {
    OwnedPlan* plan = planOf(handle);
    const int32_t number = static_cast<int32_t>(plan->slots.size());
    const st_status status = addSlot(*plan, storage);
    if (status == ST_OK) *slot = number;
    return status;
  });
}

st_status st_plan_set_rounding(int64_t handle, int32_t rounding, int32_t rest, int64_t seed, const int64_t* keys, const int64_t* begins) {
  OwnedPlan* plan = planOf(handle);
  if (rounding < ST_NEAREST || rounding > ST_IN_PARTS) return fail(ST_BAD_ARGUMENT, "unknown rounding %d", rounding);
  if (rounding == ST_IN_PARTS && (!plan->hasSlot(rest) || plan->slots[static_cast<size_t>(rest)].storage != REST))
    return fail(ST_BAD_ARGUMENT, "parameters in parts need a slot of ST_REST, which slot #%d is not", rest);
  for (size_t t = 0; t < plan->tensors.size() && begins; ++t)
    if (begins[t] < 0 || begins[t] > MOST_ELEMENTS || begins[t] % CHUNK != 0)
      return fail(ST_BAD_ARGUMENT, "the first element of tensor #%d must be a multiple of %d up to 2^40, not %lld", static_cast<int>(t),
                  CHUNK, static_cast<long long>(begins[t]));
  plan->rounding = Rounding(rounding);
  plan->restSlot = rounding == ST_IN_PARTS ? rest : -1;
  plan->seed = static_cast<uint64_t>(seed);
  for (size_t t = 0; t < plan->tensors.size(); ++t) {
    const uint64_t begin = begins ? static_cast<uint64_t>(begins[t] / CHUNK) : 0;
    plan->tensors[t].key = (keys ? mixed(static_cast<uint64_t>(keys[t])) : 0) + begin * KEY_STEP;
  }
  ++plan->version;
  return ST_OK;
}

void st_plan_set_step(int64_t plan, int64_t step) { planOf(plan)->step = step; }

st_status st_plan_fill(int64_t handle, int32_t slot, double value, int64_t stream) {
  return guarded([&]() -> st_status {
    OwnedPlan* plan = planOf(handle);
    if (!plan->hasSlot(slot)) return noSlot(slot);
    const bool isRest = plan->slots[static_cast<size_t>(slot)].storage == REST;
    if (isRest && value != 0) return fail(ST_BAD_ARGUMENT, "slot #%d holds no numbers, and cannot be filled with %g", slot, value);
    // A zero of no sign: as bits, the other one is no zero.
    return plan->owner->backend->fill(plan->owner->handle, *plan, slot, isRest ? 0.0 : value, reinterpret_cast<void*>(stream));
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
    backend->release(plan->owner->handle, plan->slots[static_cast<size_t>(slot)].memory);
    plan->slots[static_cast<size_t>(slot)].memory = nullptr;
    return ST_OK;
  });
}

int64_t st_plan_bytes(int64_t handle, int32_t slot, int32_t tensor) {
  const OwnedPlan* plan = planOf(handle);
  if (!placed(*plan, slot, tensor)) return -1;
  const Tensor& t = plan->tensors[static_cast<size_t>(tensor)];
  return slot < 0 ? t.count * bytesOf(t.parameterType) : storedBytes(t, plan->slots[static_cast<size_t>(slot)].storage);
}

int32_t st_plan_type(int64_t handle, int32_t slot, int32_t tensor) {
  const OwnedPlan* plan = planOf(handle);
  if (!placed(*plan, slot, tensor)) return -1;
  const Tensor& t = plan->tensors[static_cast<size_t>(tensor)];
  return slot < 0 ? t.parameterType : storedType(t, plan->slots[static_cast<size_t>(slot)].storage);
}

int64_t st_plan_address(int64_t handle, int32_t slot, int32_t tensor) {
  const OwnedPlan* plan = planOf(handle);
  if (slot == -1) noSlot(slot);
  if (slot == -1 || !placed(*plan, slot, tensor)) return 0;
  return reinterpret_cast<int64_t>(inSlot(plan->slots[static_cast<size_t>(slot)], plan->tensors[static_cast<size_t>(tensor)]));
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
  char* memory = (slot < 0 ? t.parameter : inSlot(plan->slots[static_cast<size_t>(slot)], t)) + offset;
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
  return guarded([&] { return transfer(plan, slot, tensor, offset, host, bytes, Copy::DEVICE_TO_HOST, stream); });
}

st_status st_plan_write(int64_t plan, int32_t slot, int32_t tensor, int64_t offset, const void* host, int64_t bytes, int64_t stream) {
  return guarded([&] { return transfer(plan, slot, tensor, offset, const_cast<void*>(host), bytes, Copy::HOST_TO_DEVICE, stream); });
}
