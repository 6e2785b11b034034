// SPDX-License-Identifier: Apache-2.0
//
// MetaOptimize with a step size for every element (see metaoptimize_per_weight.h) and meta rules that have a momentum. A family of its own:
// all meta rules over all base rules would be long in compiling.
#pragma once
#include "metaoptimize_per_weight.h"

namespace steptuner {

template <class Rule>
using PerWeightByAdam = MetaOptimizePerWeight<Rule, PaperAdam>;
template <class Rule>
using PerWeightByLion = MetaOptimizePerWeight<Rule, Lion>;

namespace families {
using metaoptimize_per_weight_momentum = join<over<PerWeightByAdam, PaperRules>, over<PerWeightByLion, PaperRules>>;
}

}  // namespace steptuner
