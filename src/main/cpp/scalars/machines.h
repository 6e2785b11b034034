// SPDX-License-Identifier: Apache-2.0
//
// The machines that there are. A machine's number is its place; callers find it by name. A new one is a header and a name here.
#pragma once
#include "../core/lists.h"
#include "fixed_rate.h"
#include "mechanic.h"

namespace steptuner {

using Machines = List<FixedRateMachine, MechanicMachine>;

}  // namespace steptuner
