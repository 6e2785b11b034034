// SPDX-License-Identifier: Apache-2.0
//
// MetaOptimize: A Framework for Optimizing Step Sizes and Other Meta-parameters, Sharifnassab, Salehkaleybar and Sutton (2024),
// algorithm 3 and what its authors released: the O(d) half. With the base rule's step u at the rate 1 and the step size alpha,
//
//   z = <h, g>;  step = alpha (u - decay x);  x <- x + step;  h <- gamma (1 - decay alpha) h + step
//
// where <h, g> takes the old h: all of a step in one pass. h is the derivative of x by the logarithm beta of alpha, z that of the loss.
// A meta update, which is a rule as well, then moves beta along z: in Java where many elements share a beta, here where each has one.
//
// Words per element: 1 (g) + 2 (x) + 2 (h) + 2 per slot of the base rule: SGD 5, SGD with momentum 7, RMSProp 7, Adam 9, Lion 7. With a
// beta per element 2 more, and 2 per slot of the meta rule: SGD + 2, RMSProp + 4, Adam + 6, Lion + 4.
#pragma once
#include "../core/lists.h"
#include "../rules/lion.h"
#include "../rules/paper.h"
#include "../rules/sgd.h"

namespace steptuner {

using PaperRules = List<Sgd, PaperMomentum, PaperRmsProp, PaperAdam, Lion>;

// One step size for all elements of a segment. rate is alpha, shrinkage is decay alpha, retention is gamma (1 - decay alpha).
template <class Rule>
struct MetaOptimize : Kernel {
  static constexpr Name SWEEP = "metaoptimize", RULE = Rule::NAME;
  enum { SOURCE, X, TRACE, STATE_BEGIN };
  static constexpr auto OPERANDS =
      operands(Rule::SOURCE, parameter(READ_WRITE), state("trace", READ_WRITE)) + states(Rule::SLOTS, READ_WRITE);
  enum { GRADIENT_SCALE, RATE, SHRINKAGE, RETENTION, RULE_BEGIN };
  static constexpr auto COEFFICIENTS = names("gradientScale", "learnedRate", "learnedShrinkage", "retention") + Rule::COEFFICIENTS;
  enum { TRACE_GRADIENT };
  static constexpr auto SUMS = names("traceGradient");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[GRADIENT_SCALE] * r[SOURCE];
    const T u = Rule::template update<T>(g, r[X], r + STATE_BEGIN, c + RULE_BEGIN);
    const T step = c[RATE] * u - c[SHRINKAGE] * r[X];
    s[TRACE_GRADIENT] = r[TRACE] * g;
    r[X] = r[X] + step;
    r[TRACE] = c[RETENTION] * r[TRACE] + step;
  }
};

namespace families {
using metaoptimize = over<MetaOptimize, PaperRules>;
}

}  // namespace steptuner
