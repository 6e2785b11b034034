// SPDX-License-Identifier: Apache-2.0
//
// The 2x2 approximation of MetaOptimize with a step size for every element (see metaoptimize_curved_per_weight.h). A family of its own: all
// of them together would be long in compiling.
#pragma once
#include "metaoptimize_curved_per_weight.h"

namespace steptuner {

template <class Rule>
using TwoByTwoBySgd = MetaOptimizeCurvedPerWeight<Rule, Sgd, true>;
template <class Rule>
using TwoByTwoByRmsProp = MetaOptimizeCurvedPerWeight<Rule, PaperRmsProp, true>;
template <class Rule>
using TwoByTwoByAdam = MetaOptimizeCurvedPerWeight<Rule, PaperAdam, true>;

// By the meta rule Lion B is 1.
namespace families {
using metaoptimize_curved_2x2 =
    join<over<TwoByTwoBySgd, PaperRules>, over<TwoByTwoByRmsProp, PaperRules>, over<TwoByTwoByAdam, PaperRules>>;
}

}  // namespace steptuner
