// SPDX-License-Identifier: Apache-2.0
#include "kernels.h"
#include "../core/registry.h"

namespace steptuner {

#define STEPTUNER_DECLARE(family) Descriptions describe_##family();
STEPTUNER_FAMILIES(STEPTUNER_DECLARE)

std::vector<Descriptions> describeAll() {
#define STEPTUNER_DESCRIBE(family) describe_##family(),
  return {STEPTUNER_FAMILIES(STEPTUNER_DESCRIBE)};
}

}  // namespace steptuner
