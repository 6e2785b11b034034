// SPDX-License-Identifier: Apache-2.0
//
// Captured steps on the CPU: the same sweeps and the same scalars, one after the other. Nothing is captured there, but for a trainer who
// wants the same code on both, and for tests.
#pragma once
#include "../core/backend.h"

namespace steptuner::cpu_capture {

st_status makeReady(void* device, Plan& plan, Capture& capture, void* stream);
st_status send(void* device, Plan& plan, void* to, const void* from, int64_t bytes, void* stream);
st_status step(void* device, Plan& plan, Capture& capture, void* stream);
st_status settle(void* device, Plan& plan, Capture& capture, void* stream);
bool capturing(void* device, void* stream);

}  // namespace steptuner::cpu_capture
