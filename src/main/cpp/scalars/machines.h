// SPDX-License-Identifier: Apache-2.0
//
// The machines that there are. A machine's number is its place; callers find it by name. A new one is a header and a name here.
#pragma once
#include "../core/lists.h"
#include "dadaptation.h"
#include "fixed_rate.h"
#include "mechanic.h"
#include "metaoptimize.h"
#include "momo.h"
#include "prodigy.h"

namespace steptuner {

using Machines =
    List<FixedRateMachine, MechanicMachine, ProdigyMachine, DAdaptationSgdMachine, DAdaptationAdamMachine, DAdaptationAdaGradMachine,
         DAdaptationLionMachine, DAdaptationAdanMachine, MoMoMachine, MetaOptimizeMachine<MetaRule::SGD>,
         MetaOptimizeMachine<MetaRule::RMSPROP>, MetaOptimizeMachine<MetaRule::ADAM>, MetaOptimizeMachine<MetaRule::LION>>;

}  // namespace steptuner
