// SPDX-License-Identifier: Apache-2.0
//
// The machines as data, for the core: names, sizes, and what runs them on the host.
#pragma once
#include "../core/capture.h"

namespace steptuner {

struct MachineInfo {
  std::string tuner, description;
  std::vector<std::string> inputs, late, first, second;
  int settings, state, lists, row, kept, scratch;
  // One phase (scalars/step.h), on the host.
  void (*run)(int phase, const CaptureTables& tables);
};

const std::vector<MachineInfo>& machineInfos();

}  // namespace steptuner
