// SPDX-License-Identifier: Apache-2.0
//
// The C ABI: checks what comes through the door, keeps the errors, and hands the work to a backend.
#include "steptuner.h"
#include "core/backend.h"
#include "core/failure.h"
#include "core/registry.h"
#include <dlfcn.h>
#include <stdlib.h>

using namespace steptuner;

namespace {

struct Device {
  const Backend* backend;
  void* handle;
};

struct OwnedPlan : Plan {
  Device* owner = nullptr;

  ~OwnedPlan() {
    if (!owner) return;
    owner->backend->forget(owner->handle, *this);
    for (auto& binding : bindings) {
      free(binding->coefficientRows);
      owner->backend->releaseHost(owner->handle, reinterpret_cast<char*>(binding->sumRows));
    }
    for (char* slot : slots) owner->backend->release(owner->handle, slot);
  }
};

Device* deviceOf(int64_t handle) { return reinterpret_cast<Device*>(handle); }
OwnedPlan* planOf(int64_t handle) { return reinterpret_cast<OwnedPlan*>(handle); }

const Backend* loadBackend(const char* library) {
  void* handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    explain("cannot load the device library: %s", dlerror());
    return nullptr;
  }
  using Entry = const Backend* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(handle, "steptuner_backend"));
  const Backend* backend = entry ? entry() : nullptr;
  if (!backend || backend->version != BACKEND_VERSION) {
    explain("%s is not a Step Tuner device library of version %d", library, BACKEND_VERSION);
    return nullptr;
  }
  return backend;
}

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
  const st_status status = plan.owner->backend->allocate(plan.owner->handle, plan.stateBytes, &memory);
  if (status != ST_OK)
    return fail(status, "cannot allocate %lld bytes of state for slot %d of %d", static_cast<long long>(plan.stateBytes),
                static_cast<int>(plan.slots.size()) + 1, planned);
  plan.slots.push_back(memory);
  return ST_OK;
}

bool validType(int32_t type) { return type >= 0 && type < TYPES; }

}  // namespace

int32_t st_abi_version(void) { return ST_ABI_VERSION; }

const char* st_type_name(int32_t type) { return validType(type) ? nameOfType(type) : nullptr; }

const char* st_last_error(void) { return lastError(); }

st_status st_device_open(const char* library, int32_t index, int32_t threads, const char* isa, int64_t* device) {
  return guarded([&]() -> st_status {
    const Backend* backend = library ? loadBackend(library) : cpuBackend();
    if (!backend) return ST_NO_DEVICE;
    auto opened = std::make_unique<Device>(Device{backend, nullptr});
    const st_status status = backend->open(index, threads, isa ? isa : "", explain, &opened->handle);
    if (status == ST_OK) *device = reinterpret_cast<int64_t>(opened.release());
    return status;
  });
}

void st_device_close(int64_t device) {
  Device* closing = deviceOf(device);
  closing->backend->close(closing->handle);
  delete closing;
}

const char* st_device_name(int64_t device) { return deviceOf(device)->backend->name(deviceOf(device)->handle); }

int32_t st_device_threads(int64_t device) { return deviceOf(device)->backend->threads(deviceOf(device)->handle); }

st_status st_host_allocate(int64_t bytes, int64_t* address) {
  if (bytes < 0) return fail(ST_BAD_ARGUMENT, "bytes must not be negative: %lld", static_cast<long long>(bytes));
  void* memory = malloc(bytes == 0 ? 1 : static_cast<size_t>(bytes));  // null would mean that there is none
  if (!memory) return fail(ST_OUT_OF_MEMORY, "cannot allocate %lld bytes of host memory", static_cast<long long>(bytes));
  *address = reinterpret_cast<int64_t>(memory);
  return ST_OK;
}

void st_host_free(int64_t address) { free(reinterpret_cast<void*>(address)); }

int32_t st_kernel_find(const char* sweep, const char* rule) {
  const auto& infos = kernelInfos();
  for (size_t k = 0; k < infos.size(); ++k)
    if (infos[k].sweep == sweep && infos[k].rule == rule) return static_cast<int32_t>(k);
  return -1;
}

int32_t st_kernel_count(void) { return static_cast<int32_t>(kernelInfos().size()); }

const char* st_kernel_describe(int32_t kernel) {
  return kernel < 0 || kernel >= st_kernel_count() ? nullptr : kernelInfos()[static_cast<size_t>(kernel)].description.c_str();
}

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
  if (number < 0 || number >= static_cast<int32_t>(plan->tensors.size())) return fail(ST_BAD_ARGUMENT, "no tensor %d", number);
  Tensor moved = plan->tensors[static_cast<size_t>(number)];
  moved.parameter = reinterpret_cast<char*>(parameter);
  moved.gradient = reinterpret_cast<char*>(gradient);
  moved.update = reinterpret_cast<char*>(update);
  const st_status status = checkTensor(*plan->owner, moved, number, verify != 0);
  if (status != ST_OK) return status;
  for (const auto& binding : plan->bindings) {
    const st_status bound = checkOperands(*binding, moved, number);
    if (bound != ST_OK) return bound;
  }
  plan->tensors[static_cast<size_t>(number)] = moved;
  ++plan->version;
  return ST_OK;
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
    if (slot < 0 || slot >= static_cast<int32_t>(plan->slots.size())) return fail(ST_BAD_ARGUMENT, "no slot %d", slot);
    return plan->owner->backend->fill(plan->owner->handle, *plan, slot, value, reinterpret_cast<void*>(stream));
  });
}

int64_t st_plan_bytes(int64_t handle, int32_t slot, int32_t tensor) {
  const Tensor& t = planOf(handle)->tensors[static_cast<size_t>(tensor)];
  return t.count * bytesOf(slot < 0 ? t.parameterType : t.stateType);
}

int64_t st_plan_address(int64_t handle, int32_t slot, int32_t tensor) {
  const OwnedPlan* plan = planOf(handle);
  return reinterpret_cast<int64_t>(plan->slots[static_cast<size_t>(slot)] + plan->tensors[static_cast<size_t>(tensor)].stateOffset);
}

namespace {

st_status transfer(int64_t handle, int32_t slot, int32_t tensor, int64_t offset, void* host, int64_t bytes, Copy direction,
                   int64_t stream) {
  OwnedPlan* plan = planOf(handle);
  if (tensor < 0 || tensor >= static_cast<int32_t>(plan->tensors.size()) || slot < -1 || slot >= static_cast<int32_t>(plan->slots.size()))
    return fail(ST_BAD_ARGUMENT, "no tensor %d in slot %d", tensor, slot);
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
      if (operand.place == STATE && (slots[o] < 0 || slots[o] >= static_cast<int32_t>(plan->slots.size())))
        return fail(ST_BAD_ARGUMENT, "%s: operand %s has no slot", info.description.c_str(), operand.name.text);
      for (const Tensor& tensor : plan->tensors)
        binding->bytes += tensor.count * bytesOf(operandType(tensor, operand.place)) * (reads(operand) + writes(operand));
    }
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
    *result = static_cast<int32_t>(plan->bindings.size());
    plan->bindings.push_back(std::move(binding));
    return ST_OK;
  });
}

int64_t st_binding_coefficients(int64_t plan, int32_t binding) {
  return reinterpret_cast<int64_t>(planOf(plan)->bindings[static_cast<size_t>(binding)]->coefficientRows);
}

int64_t st_binding_sums(int64_t plan, int32_t binding) {
  return reinterpret_cast<int64_t>(planOf(plan)->bindings[static_cast<size_t>(binding)]->sumRows);
}

int64_t st_binding_bytes(int64_t plan, int32_t binding) { return planOf(plan)->bindings[static_cast<size_t>(binding)]->bytes; }

st_status st_sweep(int64_t plan, int32_t binding, int64_t stream) {
  return guarded([&] {
    OwnedPlan* p = planOf(plan);
    const st_status status =
        p->owner->backend->sweep(p->owner->handle, *p, *p->bindings[static_cast<size_t>(binding)], reinterpret_cast<void*>(stream));
    ++p->sweeps;
    return status;
  });
}

st_status st_wait(int64_t plan, int64_t stream) {
  return guarded([&] {
    OwnedPlan* p = planOf(plan);
    return p->owner->backend->wait(p->owner->handle, *p, reinterpret_cast<void*>(stream));
  });
}
