// SPDX-License-Identifier: Apache-2.0
//
// MetaOptimize (see metaoptimize.h) in the form of its authors' package.
#pragma once
#include "../rules/adam.h"
#include "../rules/rmsprop.h"
#include "metaoptimize.h"

namespace steptuner {

// What a rule makes of one gradient by itself, without momentum, by the scale that its state has after the step.
template <class Rule>
struct Scaled {
  template <class T>
  STEPTUNER_HD static T gradient(T g, const T*, const T*) {
    return g;
  }
};
template <>
struct Scaled<RmsProp> {
  template <class T>
  STEPTUNER_HD static T gradient(T g, const T* state, const T* c) {
    return g / (squareRoot(state[RmsProp::SQUARE] + c[RmsProp::EPSILON_INSIDE]) + c[RmsProp::EPSILON_OUTSIDE]);
  }
};
template <>
struct Scaled<Adam> {
  template <class T>
  STEPTUNER_HD static T gradient(T g, const T* state, const T* c) {
    return g / (squareRoot(state[Adam::SQUARE]) * c[Adam::ROOT_CORRECTION] + c[Adam::EPSILON]);
  }
};
template <>
struct Scaled<Lion> {
  template <class T>
  STEPTUNER_HD static T gradient(T g, const T*, const T*) {
    return sign(g);
  }
};

// Usual rules, and a trace of the scaled gradients, with the opposite sign:
//   h <- gamma (1 - decay alpha) h + alpha g / (sqrt(v) + epsilon)      (Adam; others: see Scaled)
template <class Rule>
struct MetaOptimizePackage : MetaOptimize<Rule> {
  using Base = MetaOptimize<Rule>;
  static constexpr Name SWEEP = "metaoptimize_package";

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[Base::GRADIENT_SCALE] * r[Base::SOURCE];
    const T kept = r[Base::X] - c[Base::SHRINKAGE] * r[Base::X];
    const T u = Rule::template update<T>(g, r[Base::X], r + Base::STATE_BEGIN, c + Base::RULE_BEGIN);
    const T scaled = Scaled<Rule>::template gradient<T>(g, r + Base::STATE_BEGIN, c + Base::RULE_BEGIN);
    s[Base::TRACE_GRADIENT] = r[Base::TRACE] * g;
    r[Base::X] = kept + c[Base::RATE] * u;
    r[Base::TRACE] = c[Base::RETENTION] * r[Base::TRACE] + c[Base::RATE] * scaled;
  }
};

namespace families {
using metaoptimize_package = over<MetaOptimizePackage, List<Sgd, Momentum, RmsProp, Adam, Lion>>;
}

}  // namespace steptuner
