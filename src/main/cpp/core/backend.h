// SPDX-License-Identifier: Apache-2.0
//
// What a backend library gives to the core. One entry: `extern "C" const Backend* steptuner_backend()`. Functions return an st_status
// and, on failure, leave their message with `explain`.
#pragma once
#include "../steptuner.h"
#include "capture.h"
#include "memory_map.h"
#include "plan.h"

namespace steptuner {

constexpr int32_t BACKEND_VERSION = 6;

// Sets the message of st_last_error for this thread; printf-like.
using Explain = void (*)(const char* format, ...);

enum class Copy { HOST_TO_DEVICE, DEVICE_TO_HOST };

struct Backend {
  int32_t version;
  st_status (*open)(int32_t index, int32_t threads, const char* isa, Explain explain, void** device);
  void (*close)(void* device);
  const char* (*name)(void* device);
  int32_t (*threads)(void* device);
  // Zeroed device memory.
  st_status (*allocate)(void* device, int64_t bytes, char** memory);
  void (*release)(void* device, char* memory);
  // Host memory that the device can write (pinned, for a GPU), zeroed.
  st_status (*allocateHost)(void* device, int64_t bytes, char** memory);
  void (*releaseHost)(void* device, char* memory);
  st_status (*copy)(void* device, void* to, const void* from, int64_t bytes, Copy direction, void* stream);
  // nullptr, or why this device cannot use one of the ranges, the one at `*which`.
  const char* (*unusable)(void* device, const Range* ranges, size_t count, size_t* which);
  // Enqueued on the stream, as a sweep is: nothing waits for it.
  st_status (*fill)(void* device, Plan& plan, int32_t slot, double value, void* stream);
  // Zeroes the gradients of all tensors that have some, in the same way. They have been found writable.
  st_status (*zeroGradients)(void* device, Plan& plan, void* stream);
  // `follower` (mostly null) goes over the same elements, each after `binding` has been there. It has no sums.
  st_status (*sweep)(void* device, Plan& plan, Binding& binding, const Binding* follower, void* stream);
  st_status (*wait)(void* device, Plan& plan, void* stream);
  // Makes a plan ready for steps that may be captured: afterwards they need nothing but launches. Waits for the plan's work so far.
  st_status (*makeReady)(void* device, Plan& plan, Capture& capture, void* stream);
  // Enqueues a copy from host memory of allocateHost to that of allocate. It is refused while the stream is being captured.
  st_status (*send)(void* device, Plan& plan, void* to, const void* from, int64_t bytes, void* stream);
  // Enqueues a whole step: guard or first sweep, scalars, second sweep. The stream may be one that is being captured.
  st_status (*captureStep)(void* device, Plan& plan, Capture& capture, void* stream);
  // Has the scalars take what the last step left to be taken late, and waits for the stream.
  st_status (*settle)(void* device, Plan& plan, Capture& capture, void* stream);
  // Whether the stream is being captured.
  bool (*capturing)(void* device, void* stream);
  // Frees plan.device; the core frees what it allocated.
  void (*forget)(void* device, Plan& plan);
};

const Backend* cpuBackend();

}  // namespace steptuner
