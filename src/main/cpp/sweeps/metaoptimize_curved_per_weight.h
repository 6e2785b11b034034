// SPDX-License-Identifier: Apache-2.0
//
// MetaOptimize with the curvature of the loss (see metaoptimize_curved.h) and a step size for every element.
#pragma once
#include "metaoptimize_curved.h"

namespace steptuner {

// Where stepSizeFirst is positive beta moves before the step that uses it, as in IDBD. The 2x2 approximation has B, and tangents of the
// meta rule, in slots of their own.
//
// Words per element: 8, 2 per slot and 2 per tangent of the base rule, and 2 per slot of the meta rule: SGD 8, momentum 12, RMSProp 12,
// Adam 16; meta SGD + 0, RMSProp + 2, Adam + 4, Lion + 2. The 2x2 approximation: 2 more, and 2 per tangent of the meta rule; over Lion
// 10 + 2 or more.
template <class Rule, class Meta, bool TwoByTwo>
struct MetaOptimizeCurvedPerWeight : PerWeight {
  using C = Curved<Rule>;
  static constexpr Name SWEEP = (TwoByTwo ? "metaoptimize_curved_2x2_per_weight_" : "metaoptimize_curved_per_weight_") + Meta::NAME;
  static constexpr Name RULE = Rule::NAME;
  static constexpr int RULE_SLOTS = decltype(Rule::SLOTS)::SIZE, META_SLOTS = decltype(Meta::SLOTS)::SIZE;
  enum { G = SOURCE, CURVATURE = OPERANDS_END, STATE_BEGIN, TANGENT_BEGIN = STATE_BEGIN + RULE_SLOTS };
  enum { META_STATE_BEGIN = TANGENT_BEGIN + decltype(Tangent<Rule>::SLOTS)::SIZE, BETA_TRACE = META_STATE_BEGIN + META_SLOTS };
  enum { META_TANGENT_BEGIN = BETA_TRACE + 1 };
  static constexpr auto OPERANDS =
      operands(gradient(), parameter(READ_WRITE), state("trace", READ_WRITE), state("logRatio", READ_WRITE), curvature()) +
      states(Rule::SLOTS + Tangent<Rule>::SLOTS + prefixed("meta", Meta::SLOTS) +
                 when<TwoByTwo>(names("betaTrace") + prefixed("meta", Tangent<Meta>::SLOTS)),
             READ_WRITE);
  enum { STEP_SIZE_FIRST = COEFFICIENTS_END, CURVED_BEGIN, META_BEGIN = CURVED_BEGIN + decltype(C::COEFFICIENTS)::SIZE };
  static constexpr auto COEFFICIENTS =
      PerWeight::COEFFICIENTS + names("stepSizeFirst") + C::COEFFICIENTS + prefixed("meta", Meta::COEFFICIENTS);

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[GRADIENT_SCALE] * r[G];
    const T given = c[GRADIENT_SCALE] * r[CURVATURE];
    const T z = bounded(r[TRACE] * g);
    const T metaStep = Meta::template update<T>(z, r[LOG_RATIO], r + META_STATE_BEGIN, c + META_BEGIN);
    const T change = within(c[META_STEP_SIZE] * metaStep, -c[LARGEST_CHANGE], c[LARGEST_CHANGE]);
    const T logRatio = within(r[LOG_RATIO] + change, c[LEAST_LOG_RATIO], c[MOST_LOG_RATIO]);
    const T alpha = c[RATE] * exponential(select(c[STEP_SIZE_FIRST] > T(0), logRatio, r[LOG_RATIO]));
    const T shrinkage = c[DECAY] * alpha;
    const T u = C::template step<T>(g, r[X], r + STATE_BEGIN, c + CURVED_BEGIN);
    const T step = alpha * u - shrinkage * r[X];
    const T kept =
        C::template kept<T>(g, r[TRACE], given, u, alpha, shrinkage, r + STATE_BEGIN, r + TANGENT_BEGIN, c[GAMMA], c + CURVED_BEGIN);
    r[X] = r[X] + step;
    r[LOG_RATIO] = logRatio;
    if constexpr (TwoByTwo) {
      const T b = c[GAMMA] * r[BETA_TRACE] + (T(1) - c[GAMMA]);
      const T dz = r[TRACE] * C::product(r[TRACE], given, c + CURVED_BEGIN);
      const T alongTrace =
          Tangent<Meta>::template along<T>(z, dz, metaStep, r + META_STATE_BEGIN, r + META_TANGENT_BEGIN, c[GAMMA], c + META_BEGIN);
      r[BETA_TRACE] = bounded(b + c[GAMMA] * (c[META_STEP_SIZE] * alongTrace));
      r[TRACE] = bounded(c[GAMMA] * kept + b * step);
    } else {
      r[TRACE] = bounded(c[GAMMA] * kept + step);
    }
    s[TRACE_GRADIENT] = z;
    s[LOG_RATIO_SUM] = logRatio;
    s[ELEMENTS] = T(1);
  }
};

template <class Rule>
using CurvedBySgd = MetaOptimizeCurvedPerWeight<Rule, Sgd, false>;
template <class Rule>
using CurvedByRmsProp = MetaOptimizeCurvedPerWeight<Rule, PaperRmsProp, false>;
template <class Rule>
using CurvedByAdam = MetaOptimizeCurvedPerWeight<Rule, PaperAdam, false>;
template <class Rule>
using CurvedByLion = MetaOptimizeCurvedPerWeight<Rule, Lion, false>;

// Those whose trace has a Hessian.
using CurvedRules = List<Sgd, PaperMomentum, PaperRmsProp, PaperAdam>;

namespace families {
using metaoptimize_curved_per_weight = join<over<CurvedBySgd, CurvedRules>, over<CurvedByRmsProp, CurvedRules>,
                                            over<CurvedByAdam, CurvedRules>, over<CurvedByLion, CurvedRules>>;
}

}  // namespace steptuner
