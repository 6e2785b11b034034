// SPDX-License-Identifier: Apache-2.0
//
// The part of the C ABI that is about steps whose scalars are computed on the device.
#include "core/failure.h"
#include "core/owned_plan.h"
#include "core/registry.h"
#include "scalars/layout.h"
#include "scalars/registry.h"
#include "steptuner.h"
#include <algorithm>
#include <string.h>

using namespace steptuner;

namespace {

int32_t find(const std::vector<std::string>& names, const std::string& name) {
  const auto found = std::find(names.begin(), names.end(), name);
  return found == names.end() ? -1 : static_cast<int32_t>(found - names.begin());
}

st_status missing(const MachineInfo& machine, const std::string& name, const KernelInfo& kernel) {
  return fail(ST_BAD_ARGUMENT, "the scalars of %s need the sum %s, which is none of %s", machine.tuner.c_str(), name.c_str(),
              kernel.description.c_str());
}

// Finds the names of a machine among those of its kernels.
st_status connect(const MachineInfo& machine, const KernelInfo* first, const KernelInfo& second, CaptureTables& t) {
  for (size_t i = 0; i < machine.inputs.size() && first; ++i) {
    t.inputAt[i] = static_cast<int8_t>(find(first->sumNames, machine.inputs[i]));
    if (t.inputAt[i] < 0) return missing(machine, machine.inputs[i], *first);
  }
  for (size_t i = 0; i < machine.late.size(); ++i) {
    t.lateAt[i] = static_cast<int8_t>(find(second.sumNames, machine.late[i]));
    if (t.lateAt[i] < 0) return missing(machine, machine.late[i], second);
  }
  for (size_t i = 0; i < machine.first.size(); ++i)
    t.firstAt[i] = static_cast<int8_t>(first ? find(first->coefficientNames, machine.first[i]) : -1);
  for (size_t i = 0; i < machine.second.size(); ++i) t.secondAt[i] = static_cast<int8_t>(find(second.coefficientNames, machine.second[i]));
  return ST_OK;
}

const KernelInfo& kernelOf(const Binding& binding) { return kernelInfos()[static_cast<size_t>(binding.kernel)]; }

// Numbers from 0 on, one for each segment.
bool numbered(const int32_t* numbers, size_t segments, int32_t count) {
  for (size_t s = 0; s < segments; ++s)
    if (numbers[s] < 0 || numbers[s] >= count) return false;
  return true;
}

Capture* captureOf(int64_t plan) { return planOf(plan)->capture.get(); }

st_status noCapture() { return fail(ST_BAD_ARGUMENT, "the plan has no steps with scalars on the device"); }

void* queue(int64_t stream) { return reinterpret_cast<void*>(stream); }

}  // namespace

int32_t st_scalars_find(const char* tuner) {
  int32_t found = -1;
  guarded([&]() -> st_status {
    const auto& machines = machineInfos();
    for (size_t m = 0; m < machines.size(); ++m)
      if (machines[m].tuner == tuner) found = static_cast<int32_t>(m);
    return found >= 0 ? ST_OK : fail(ST_BAD_ARGUMENT, "no scalars of %s on devices", tuner);
  });
  return found;
}

const char* st_scalars_describe(int32_t scalars) {
  const char* text = nullptr;
  guarded([&]() -> st_status {
    if (scalars < 0 || scalars >= static_cast<int32_t>(machineInfos().size())) return fail(ST_BAD_ARGUMENT, "no scalars %d", scalars);
    text = machineInfos()[static_cast<size_t>(scalars)].description.c_str();
    return ST_OK;
  });
  return text;
}

st_status st_capture_create(int64_t handle, int32_t scalars, int32_t first, int32_t second, int32_t scopes, const int32_t* scopeOfSegment,
                            int32_t groups, const int32_t* groupOfSegment, int32_t length, int32_t capacity) {
  return guarded([&]() -> st_status {
    OwnedPlan* plan = planOf(handle);
    const size_t segments = plan->segments.size();
    if (plan->capture) return fail(ST_BAD_ARGUMENT, "the plan has steps with scalars on the device already");
    if (!st_scalars_describe(scalars)) return ST_BAD_ARGUMENT;
    if (capacity < 1 || length < 0 || scopes < 1 || groups < 1)
      return fail(ST_BAD_ARGUMENT, "capacity %d, length %d, scopes %d, groups %d: none may be less", capacity, length, scopes, groups);
    if (!numbered(scopeOfSegment, segments, scopes) || !numbered(groupOfSegment, segments, groups))
      return fail(ST_BAD_ARGUMENT, "a segment has a scope or a group that there is not");
    auto capture = std::make_unique<Capture>();
    capture->scalars = scalars;
    capture->first = first < 0 ? nullptr : plan->find(first);
    capture->second = plan->find(second);
    if ((first >= 0 && !capture->first) || !capture->second) return fail(ST_BAD_ARGUMENT, "there is no binding %d or %d", first, second);
    const KernelInfo* const firstKernel = capture->first ? &kernelOf(*capture->first) : nullptr;
    const KernelInfo& secondKernel = kernelOf(*capture->second);
    for (const Operand& operand : firstKernel ? firstKernel->operands : std::vector<Operand>())
      if (writes(operand)) return fail(ST_BAD_ARGUMENT, "%s writes, and cannot come before the scalars", firstKernel->description.c_str());
    const MachineInfo& machine = machineInfos()[static_cast<size_t>(scalars)];
    CaptureTables& t = capture->tables;
    t.segments = static_cast<int32_t>(segments);
    t.scopes = scopes;
    t.groups = groups;
    t.length = length;
    t.capacity = capacity;
    t.firstCoefficients = firstKernel ? firstKernel->coefficients : 0;
    t.secondCoefficients = secondKernel.coefficients;
    t.firstSums = firstKernel ? firstKernel->sums : 0;
    t.secondSums = secondKernel.sums;
    t.rowWidth = ROW_HEAD + groups * (t.firstCoefficients + t.secondCoefficients + machine.row);
    t.stateWidth = machine.state + machine.lists * length + 1;
    t.scratchWidth = static_cast<int32_t>(machine.inputs.size() + machine.late.size()) + machine.scratch;
    t.reportWidth = REPORT_HEAD + 2 * scopes;
    t.observes = firstKernel && !machine.inputs.empty();
    capture->decidesFirst = t.firstCoefficients > 0;
    const st_status connected = connect(machine, firstKernel, secondKernel, t);
    if (connected != ST_OK) return connected;
    const Places places = layOut(t, machine, static_cast<int64_t>(plan->chunks.size()));
    const Backend* backend = plan->owner->backend;
    st_status status = backend->allocate(plan->owner->handle, places.all, &capture->memory);
    if (status == ST_OK) status = backend->allocateHost(plan->owner->handle, places.host, &capture->image);
    if (status != ST_OK) {
      backend->release(plan->owner->handle, capture->memory);
      return fail(status, "cannot allocate %lld bytes for steps with scalars on the device", static_cast<long long>(places.all));
    }
    capture->memoryBytes = places.all;
    capture->imageBytes = places.image;
    point(*capture, places);
    memset(capture->image, 0, static_cast<size_t>(places.image));  // rows of the ring too: step 0 is no step
    fillTables(*capture, scopeOfSegment, groupOfSegment);
    plan->capture = std::move(capture);
    return ST_OK;
  });
}

int64_t st_capture_address(int64_t plan, int32_t part) {
  const Capture* capture = captureOf(plan);
  if (!capture) return noCapture() == ST_OK;
  const CaptureTables& t = capture->tables;
  switch (part) {
    case ST_CAPTURE_SETTINGS: return reinterpret_cast<int64_t>(imageOf(*capture, t.memory.settings));
    case ST_CAPTURE_STATE: return reinterpret_cast<int64_t>(imageOf(*capture, t.memory.state));
    case ST_CAPTURE_RING: return reinterpret_cast<int64_t>(imageOf(*capture, t.ring));
    default: return fail(ST_BAD_ARGUMENT, "no part %d with an address", part) == ST_OK;
  }
}

int32_t st_capture_width(int64_t plan, int32_t part) {
  const Capture* capture = captureOf(plan);
  if (!capture) return noCapture() == ST_OK ? 0 : -1;
  const CaptureTables& t = capture->tables;
  switch (part) {
    case ST_CAPTURE_SETTINGS: return machineInfos()[static_cast<size_t>(capture->scalars)].settings + t.length;
    case ST_CAPTURE_STATE: return t.stateWidth;
    case ST_CAPTURE_RING: return t.rowWidth;
    case ST_CAPTURE_REPORT: return t.reportWidth;
    default: return fail(ST_BAD_ARGUMENT, "no part %d", part) == ST_OK ? 0 : -1;
  }
}

st_status st_capture_begin(int64_t handle, double multiplier, double clipNorm, int32_t checks, int64_t made, int64_t skipped, int64_t loss,
                           int32_t lossType, int64_t stream) {
  return guarded([&]() -> st_status {
    OwnedPlan* plan = planOf(handle);
    Capture* capture = plan->capture.get();
    if (!capture) return noCapture();
    if (!st_type_name(lossType)) return fail(ST_BAD_ARGUMENT, "unknown data type of the loss");
    const Backend* backend = plan->owner->backend;
    if (loss != 0) {
      const Range range = {reinterpret_cast<const void*>(loss), bytesOf(lossType), false};
      size_t which = 0;
      if (loss % bytesOf(lossType) != 0) return fail(ST_BAD_ARGUMENT, "loss: its address is not aligned for %s", st_type_name(lossType));
      if (const char* why = backend->unusable(plan->owner->handle, &range, 1, &which)) return fail(ST_BAD_ARGUMENT, "loss: %s", why);
    }
    CaptureTables& t = capture->tables;
    t.multiplier = multiplier;
    t.clipNorm = clipNorm;
    t.checks = checks != 0;
    t.loss = reinterpret_cast<const void*>(loss);
    t.lossType = lossType;
    CaptureState& whole = *imageOf(*capture, t.memory.whole);
    whole = {};
    whole.made = made;
    whole.skipped = skipped;
    __atomic_store_n(t.arrived, int64_t(0), __ATOMIC_RELEASE);
    const st_status status = backend->makeReady(plan->owner->handle, *plan, *capture, queue(stream));
    if (status != ST_OK) return status;
    return backend->copy(plan->owner->handle, capture->memory, capture->image, capture->imageBytes, Copy::HOST_TO_DEVICE, queue(stream));
  });
}

st_status st_capture_send(int64_t handle, int32_t row, int32_t rows, int64_t stream) {
  return guarded([&]() -> st_status {
    OwnedPlan* plan = planOf(handle);
    Capture* capture = plan->capture.get();
    if (!capture) return noCapture();
    CaptureTables& t = capture->tables;
    if (row < 0 || rows < 0 || row > t.capacity || rows > t.capacity - row)
      return fail(ST_BAD_ARGUMENT, "%d rows from number %d on are outside of a ring of %d", rows, row, t.capacity);
    double* const to = t.ring + int64_t(row) * t.rowWidth;
    return plan->owner->backend->send(plan->owner->handle, *plan, to, imageOf(*capture, to),
                                      int64_t(rows) * t.rowWidth * int64_t(sizeof(double)), queue(stream));
  });
}

st_status st_capture_step(int64_t handle, int64_t stream) {
  return guarded([&]() -> st_status {
    OwnedPlan* plan = planOf(handle);
    if (!plan->capture) return noCapture();
    return plan->owner->backend->captureStep(plan->owner->handle, *plan, *plan->capture, queue(stream));
  });
}

int32_t st_capture_capturing(int64_t handle, int64_t stream) {
  const OwnedPlan* plan = planOf(handle);
  return plan->owner->backend->capturing(plan->owner->handle, queue(stream));
}

// The device writes a report, and then that it has arrived. By the time it has been copied the device may have begun to write another one
// in its place: then there is a newer one.
int32_t st_capture_report(int64_t handle, double* report) {
  const Capture* capture = captureOf(handle);
  if (!capture) return noCapture() == ST_OK;
  const CaptureTables& t = capture->tables;
  for (;;) {
    const int64_t arrived = __atomic_load_n(t.arrived, __ATOMIC_ACQUIRE);
    if (arrived == 0) return 0;
    const double* const from = t.reports + arrived % REPORTS * t.reportWidth;
    for (int32_t i = 0; i < t.reportWidth; ++i) __atomic_load(from + i, report + i, __ATOMIC_ACQUIRE);  // what is loaded next comes after
    if (__atomic_load_n(t.arrived, __ATOMIC_ACQUIRE) < arrived + REPORTS - 1) return 1;
  }
}

st_status st_capture_end(int64_t handle, int64_t stream) {
  return guarded([&]() -> st_status {
    OwnedPlan* plan = planOf(handle);
    Capture* capture = plan->capture.get();
    if (!capture) return noCapture();
    const Backend* backend = plan->owner->backend;
    const st_status status = backend->settle(plan->owner->handle, *plan, *capture, queue(stream));
    if (status != ST_OK) return status;
    CaptureTables& t = capture->tables;
    const int64_t bytes = int64_t(t.scopes) * t.stateWidth * int64_t(sizeof(double));
    return backend->copy(plan->owner->handle, imageOf(*capture, t.memory.state), t.memory.state, bytes, Copy::DEVICE_TO_HOST,
                         queue(stream));
  });
}

void st_capture_destroy(int64_t plan) { planOf(plan)->endCapture(); }
