// SPDX-License-Identifier: Apache-2.0
//
// MetaOptimize (see metaoptimize.h) with a step size for every element.
#pragma once
#include "../math/exponential.h"
#include "metaoptimize.h"

namespace steptuner {

// A step size for every element, and the meta update elementwise: a rule that takes z = h g for its gradient and beta for its
// parameter. logRatio is beta - ln alpha_0: it starts at 0 and stays small, where float32 is finest.
//
//   alpha = rate exp(logRatio);  logRatio <- bound(logRatio + cap(metaStepSize u_meta(z)))
//
// z is held within +-1e15, whose square is a float32: no element can make its own step size not a number.
// Sums z and logRatio, for the report, and 1.

// What all such sweeps take and sum.
struct PerWeight : Kernel {
  enum { SOURCE, X, TRACE, LOG_RATIO, OPERANDS_END };
  enum { GRADIENT_SCALE, RATE, DECAY, GAMMA, META_STEP_SIZE, LARGEST_CHANGE, LEAST_LOG_RATIO, MOST_LOG_RATIO, COEFFICIENTS_END };
  static constexpr auto COEFFICIENTS =
      names("gradientScale", "initialRate", "decay", "gamma", "metaStepSize", "largestChange", "leastLogRatio", "mostLogRatio");
  enum { TRACE_GRADIENT, LOG_RATIO_SUM, ELEMENTS };
  static constexpr auto SUMS = names("traceGradient", "logRatio", "elements");
};

template <class Rule, class Meta>
struct MetaOptimizePerWeight : PerWeight {
  static constexpr Name SWEEP = "metaoptimize_per_weight_" + Meta::NAME, RULE = Rule::NAME;
  enum { STATE_BEGIN = OPERANDS_END, META_STATE_BEGIN = STATE_BEGIN + decltype(Rule::SLOTS)::SIZE };
  static constexpr auto OPERANDS = operands(Rule::SOURCE, parameter(READ_WRITE)) +
                                   states(names("trace", "logRatio") + Rule::SLOTS + prefixed("meta", Meta::SLOTS), READ_WRITE);
  enum { RULE_BEGIN = COEFFICIENTS_END, META_BEGIN = RULE_BEGIN + decltype(Rule::COEFFICIENTS)::SIZE };
  static constexpr auto COEFFICIENTS = PerWeight::COEFFICIENTS + Rule::COEFFICIENTS + prefixed("meta", Meta::COEFFICIENTS);

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[GRADIENT_SCALE] * r[SOURCE];
    const T alpha = c[RATE] * exponential(r[LOG_RATIO]);
    const T shrinkage = c[DECAY] * alpha;
    const T u = Rule::template update<T>(g, r[X], r + STATE_BEGIN, c + RULE_BEGIN);
    const T step = alpha * u - shrinkage * r[X];
    const T z = bounded(r[TRACE] * g);
    r[X] = r[X] + step;
    r[TRACE] = c[GAMMA] * (T(1) - shrinkage) * r[TRACE] + step;
    const T change = c[META_STEP_SIZE] * Meta::template update<T>(z, r[LOG_RATIO], r + META_STATE_BEGIN, c + META_BEGIN);
    r[LOG_RATIO] = within(r[LOG_RATIO] + within(change, -c[LARGEST_CHANGE], c[LARGEST_CHANGE]), c[LEAST_LOG_RATIO], c[MOST_LOG_RATIO]);
    s[TRACE_GRADIENT] = z;
    s[LOG_RATIO_SUM] = r[LOG_RATIO];
    s[ELEMENTS] = T(1);
  }
};

template <class Rule>
using PerWeightBySgd = MetaOptimizePerWeight<Rule, Sgd>;
template <class Rule>
using PerWeightByRmsProp = MetaOptimizePerWeight<Rule, PaperRmsProp>;

namespace families {
using metaoptimize_per_weight = join<over<PerWeightBySgd, PaperRules>, over<PerWeightByRmsProp, PaperRules>>;
}

}  // namespace steptuner
