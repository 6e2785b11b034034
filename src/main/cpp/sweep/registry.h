// SPDX-License-Identifier: Apache-2.0
//
// The table of kernels as data, for the core: names, operands, counts.
#pragma once
#include "plan.h"

namespace steptuner {

const std::vector<KernelInfo>& kernelInfos();

}  // namespace steptuner
