// SPDX-License-Identifier: Apache-2.0
//
// The part of the C ABI that needs no plan: types, errors, devices, host memory, the list of kernels.
#include "core/failure.h"
#include "core/owned_plan.h"
#include "core/registry.h"
#include "steptuner.h"
#include <dlfcn.h>
#include <stdlib.h>

using namespace steptuner;

namespace {

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
    dlclose(handle);
    return nullptr;
  }
  return backend;
}

}  // namespace

int32_t st_abi_version(void) { return ST_ABI_VERSION; }

const char* st_type_name(int32_t type) { return type >= 0 && type < TYPES ? nameOfType(type) : nullptr; }

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

// The list of kernels is made by the call that first needs it, for which there may be no memory.
int32_t st_kernel_find(const char* sweep, const char* rule) {
  int32_t found = -1;
  const st_status status = guarded([&]() -> st_status {
    const auto& infos = kernelInfos();
    for (size_t k = 0; k < infos.size() && found < 0; ++k)
      if (infos[k].sweep == sweep && infos[k].rule == rule) found = static_cast<int32_t>(k);
    return found < 0 ? fail(ST_BAD_ARGUMENT, "no kernel '%s' over '%s'", sweep, rule) : ST_OK;
  });
  return status == ST_OK ? found : -1;
}

int32_t st_kernel_count(void) {
  int32_t count = -1;
  const st_status status = guarded([&]() -> st_status {
    count = static_cast<int32_t>(kernelInfos().size());
    return ST_OK;
  });
  return status == ST_OK ? count : -1;
}

const char* st_kernel_describe(int32_t kernel) {
  if (kernel >= 0 && kernel < st_kernel_count()) return kernelInfos()[static_cast<size_t>(kernel)].description.c_str();
  return nullptr;
}
