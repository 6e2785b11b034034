// SPDX-License-Identifier: Apache-2.0
#include "capture.h"
#include "../scalars/registry.h"
#include "../scalars/step.h"
#include <string.h>

namespace steptuner::cpu_capture {
namespace {

// A sweep with the coefficients and sums of the capture in the place of its own.
st_status sweep(void* device, Plan& plan, const Binding& bound, double* coefficients, double* sums, void* stream) {
  Binding binding = bound;
  binding.coefficientRows = coefficients;
  binding.sumRows = sums;
  const st_status status = cpuBackend()->sweep(device, plan, binding, nullptr, stream);
  ++plan.sweeps;
  return status;
}

void run(const Capture& capture, int begin, int end) {
  const MachineInfo& machine = machineInfos()[static_cast<size_t>(capture.scalars)];
  for (int phase = begin; phase < end; ++phase) machine.run(phase, capture.tables);
}

}  // namespace

st_status makeReady(void*, Plan&, Capture&, void*) { return ST_OK; }

st_status send(void*, Plan&, void* to, const void* from, int64_t bytes, void*) {
  memcpy(to, from, static_cast<size_t>(bytes));
  return ST_OK;
}

st_status step(void* device, Plan& plan, Capture& capture, void* stream) {
  CaptureTables& tables = capture.tables;
  run(capture, Phase::FIND_ROW, Phase::BEGIN_END);
  st_status status = ST_OK;
  if (capture.first && (!capture.decidesFirst || tables.memory.whole->goFirst))
    status = sweep(device, plan, *capture.first, tables.firstRows, tables.memory.firstSumRows, stream);
  if (status != ST_OK) return status;
  run(capture, Phase::BEGIN_END, Phase::STEP_END);
  plan.step = tables.memory.whole->made;  // which the scalars have counted this step among
  if (tables.memory.whole->goSecond) status = sweep(device, plan, *capture.second, tables.secondRows, tables.memory.secondSumRows, stream);
  __atomic_store_n(tables.arrived, tables.memory.whole->attempts, __ATOMIC_RELEASE);
  return status;
}

st_status settle(void*, Plan&, Capture& capture, void*) {
  run(capture, Phase::SETTLE, Phase::END);
  return ST_OK;
}

bool capturing(void*, void*) { return false; }

}  // namespace steptuner::cpu_capture
