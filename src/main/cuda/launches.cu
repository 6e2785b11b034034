// SPDX-License-Identifier: Apache-2.0
#include "launches.h"
#include "../cpp/sweeps/kernels.h"

namespace steptuner {

#define STEPTUNER_DECLARE(family) LaunchList launches_##family();
STEPTUNER_FAMILIES(STEPTUNER_DECLARE)

namespace {

std::vector<Launches> join() {
#define STEPTUNER_LAUNCHES(family) launches_##family(),
  std::vector<Launches> all;
  for (const LaunchList& family : std::vector<LaunchList>{STEPTUNER_FAMILIES(STEPTUNER_LAUNCHES)})
    all.insert(all.end(), family.first, family.first + family.count);
  return all;
}

}  // namespace

const std::vector<Launches>& allLaunches() {
  static const std::vector<Launches> all = join();
  return all;
}

}  // namespace steptuner
