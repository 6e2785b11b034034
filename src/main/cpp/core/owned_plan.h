// SPDX-License-Identifier: Apache-2.0
//
// What the handles of the C ABI stand for: a device with its backend, and a plan with all that it must free.
#pragma once
#include "backend.h"
#include <stdlib.h>

namespace steptuner {

struct Device {
  const Backend* backend;
  void* handle;
};

struct OwnedPlan : Plan {
  Device* owner = nullptr;
  std::vector<Tensor> moved;         // the tensors as a rebind would have them, while it is checked
  std::vector<char*> zeroable;       // by tensor: its gradient address, if that has been found writable since it moved there
  bool gradientsCut = false;         // into pieces, since the last gradient moved
  std::unique_ptr<Capture> capture;  // null where steps are ordinary ones

  // What is left of a plan's work may still use what is freed here: backends wait for it in forget().
  ~OwnedPlan() {
    if (!owner) return;
    owner->backend->forget(owner->handle, *this);
    endCapture();
    for (auto& binding : bindings)
      if (binding) freeRows(*binding);
    for (const Slot& slot : slots) owner->backend->release(owner->handle, slot.memory);
  }

  void freeRows(Binding& binding) {
    free(binding.coefficientRows);
    owner->backend->releaseHost(owner->handle, reinterpret_cast<char*>(binding.sumRows));
  }

  // The plan's work has been waited for.
  void endCapture() {
    if (!capture) return;
    owner->backend->release(owner->handle, capture->memory);
    owner->backend->releaseHost(owner->handle, capture->image);
    capture.reset();
  }

  bool hasSlot(int32_t slot) const {
    return slot >= 0 && slot < static_cast<int32_t>(slots.size()) && slots[static_cast<size_t>(slot)].memory;
  }

  bool hasTensor(int32_t tensor) const { return tensor >= 0 && tensor < static_cast<int32_t>(tensors.size()); }

  // Null where there is none, or none any more.
  Binding* find(int32_t binding) const {
    return binding >= 0 && binding < static_cast<int32_t>(bindings.size()) ? bindings[static_cast<size_t>(binding)].get() : nullptr;
  }
};

inline Device* deviceOf(int64_t handle) { return reinterpret_cast<Device*>(handle); }
inline OwnedPlan* planOf(int64_t handle) { return reinterpret_cast<OwnedPlan*>(handle); }

}  // namespace steptuner
