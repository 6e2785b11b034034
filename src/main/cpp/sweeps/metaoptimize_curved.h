// SPDX-License-Identifier: Apache-2.0
//
// MetaOptimize (see metaoptimize.h) with the curvature of the loss.
#pragma once
#include "../rules/tangent.h"
#include "metaoptimize_per_weight.h"

namespace steptuner {

// With the Hessian H (equation 15 and its L-approximation, 17; appendix A.2 and A.3). h is then what it stands for, also where the gradient
// moves with x. du is the derivative of the base rule's step u along h, by dg = H h (rules/tangent.h), and B that of beta by its own past,
// which is 1 in the L-approximation:
//
//   b = gamma B + 1 - gamma;  step = alpha (u - decay x);  x <- x + step
//   h <- gamma ((1 - decay alpha) h + alpha du) + b step,      the rule's tangents likewise: t <- gamma t'
//   B <- b + gamma metaStepSize du_meta                        2x2 approximation; along dz = <h, H h>, with the old h
//
// For SGD over SGD that is h <- gamma ((1 - decay alpha) h - alpha H h) + b step and B <- b - gamma metaStepSize <h, H h>. Over Lion h has
// no Hessian, but B has.
//
// The caller's vector is H h (product = 1, diagonal = 0) or the diagonal of H (product = 0, diagonal = 1). Over SGD an element whose share
// of h would shrink by a factor below leastRetention forgets h: 0 is IDBD's rectifier, minus infinity none. Where curvature is negative h
// may grow without end: it is held within +-1e15, as are B and the tangents.
//
// Words per element: 6, 2 per slot of the base rule and 2 per tangent: SGD 6, momentum 10, RMSProp 10, Adam 14, Lion 8.
constexpr Operand curvature() { return update("curvature"); }

// |curvature|^2, raw: what the non-finite guard needs. 1 word per element.
struct CurvatureNorm : Kernel {
  static constexpr Name SWEEP = "curvature_norm";
  enum { CURVATURE };
  static constexpr auto OPERANDS = operands(curvature());
  enum { CURVATURE_SQUARE };
  static constexpr auto SUMS = names("curvatureSquare");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T* s) {
    s[CURVATURE_SQUARE] = r[CURVATURE] * r[CURVATURE];
  }
};

// What a base rule is with a curvature, whatever the step sizes.
template <class Rule>
struct Curved {
  static constexpr bool PLAIN = Rule::NAME == Sgd::NAME;  // no state, and at the rate 1 no coefficients
  enum { PRODUCT, DIAGONAL, LEAST_RETENTION, RULE_BEGIN = PLAIN ? LEAST_RETENTION + 1 : LEAST_RETENTION };
  static constexpr auto COEFFICIENTS =
      names("product", "diagonal") + when<PLAIN>(names("leastRetention")) + when<!PLAIN>(Rule::COEFFICIENTS);

  // u.
  template <class T>
  STEPTUNER_HD static T step(T g, T x, T* state, const T* c) {
    if constexpr (PLAIN)
      return -g;
    else
      return Rule::template update<T>(g, x, state, c + RULE_BEGIN);
  }

  // H h of an element.
  template <class T>
  STEPTUNER_HD static T product(T trace, T given, const T* c) {
    return given * (c[PRODUCT] + c[DIAGONAL] * trace);
  }

  // (1 - shrinkage) h + alpha du of an element, rectified.
  template <class T>
  STEPTUNER_HD static T kept(T g, T trace, T given, T u, T alpha, T shrinkage, const T* state, T* tangent, T gamma, const T* c) {
    const T own = T(1) - shrinkage;
    const T du = Tangent<Rule>::template along<T>(g, product(trace, given, c), u, state, tangent, gamma, c + RULE_BEGIN);
    const T all = own * trace + alpha * du;
    if constexpr (PLAIN)
      return select(own - alpha * (c[DIAGONAL] * given) < c[LEAST_RETENTION], T(0), all);
    else
      return all;
  }
};

// One step size for all elements of a segment. stepWeight is b.
template <class Rule>
struct MetaOptimizeCurved : Kernel {
  using C = Curved<Rule>;
  static constexpr Name SWEEP = "metaoptimize_curved", RULE = Rule::NAME;
  enum { G, X, TRACE, STATE_BEGIN, CURVATURE = STATE_BEGIN + decltype(Rule::SLOTS)::SIZE, TANGENT_BEGIN };
  static constexpr auto OPERANDS = MetaOptimize<Rule>::OPERANDS + operands(curvature()) + states(Tangent<Rule>::SLOTS, READ_WRITE);
  enum { GRADIENT_SCALE, RATE, SHRINKAGE, GAMMA, STEP_WEIGHT, CURVED_BEGIN };
  static constexpr auto COEFFICIENTS = names("gradientScale", "learnedRate", "learnedShrinkage", "gamma", "stepWeight") + C::COEFFICIENTS;
  enum { TRACE_GRADIENT, TRACE_PRODUCT };
  static constexpr auto SUMS = names("traceGradient", "traceProduct");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[GRADIENT_SCALE] * r[G];
    const T given = c[GRADIENT_SCALE] * r[CURVATURE];
    const T u = C::template step<T>(g, r[X], r + STATE_BEGIN, c + CURVED_BEGIN);
    const T step = c[RATE] * u - c[SHRINKAGE] * r[X];
    s[TRACE_GRADIENT] = r[TRACE] * g;
    s[TRACE_PRODUCT] = r[TRACE] * C::product(r[TRACE], given, c + CURVED_BEGIN);
    const T kept =
        C::template kept<T>(g, r[TRACE], given, u, c[RATE], c[SHRINKAGE], r + STATE_BEGIN, r + TANGENT_BEGIN, c[GAMMA], c + CURVED_BEGIN);
    r[X] = r[X] + step;
    r[TRACE] = bounded(c[GAMMA] * kept + c[STEP_WEIGHT] * step);
  }
};

namespace families {
using metaoptimize_curved = join<List<CurvatureNorm>, over<MetaOptimizeCurved, PaperRules>>;
}

}  // namespace steptuner
