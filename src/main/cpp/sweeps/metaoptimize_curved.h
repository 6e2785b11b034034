// SPDX-License-Identifier: Apache-2.0
//
// MetaOptimize (see metaoptimize.h) with the curvature of the loss.
#pragma once
#include "metaoptimize_per_weight.h"

namespace steptuner {

// With the Hessian H, for base SGD without momentum (equation 15 and its L-approximation, 17). h is then what it stands for, also where
// the gradient moves with x. With B the derivative of beta by its own past, which is 1 in the L-approximation:
//
//   b = gamma B + 1 - gamma;  step = -alpha (g + decay x);  x <- x + step
//   h <- gamma ((1 - decay alpha) h - alpha H h) + b step
//   B <- b - gamma metaStepSize <h, H h>                       2x2 approximation, meta rule SGD; h is the old one
//
// The caller's vector is H h (product = 1, diagonal = 0) or the diagonal of H (product = 0, diagonal = 1). An element whose share of h
// would shrink by a factor below leastRetention forgets h: 0 is IDBD's rectifier, minus infinity none. Where curvature is negative h may
// grow without end: it is held within +-1e15, as is B.
//
// Words per element: shared 6; per weight 8, and 2 per slot of the meta rule, and 2 for B.
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

struct Curvature {
  enum { PRODUCT, DIAGONAL, LEAST_RETENTION };
  static constexpr auto COEFFICIENTS = names("product", "diagonal", "leastRetention");

  // H h of an element.
  template <class T>
  STEPTUNER_HD static T product(T trace, T given, const T* c) {
    return given * (c[PRODUCT] + c[DIAGONAL] * trace);
  }

  // (1 - shrinkage) h - alpha H h of an element, rectified.
  template <class T>
  STEPTUNER_HD static T kept(T trace, T given, T alpha, T shrinkage, const T* c) {
    const T own = T(1) - shrinkage;
    return select(own - alpha * (c[DIAGONAL] * given) < c[LEAST_RETENTION], T(0), own * trace - alpha * product(trace, given, c));
  }
};

// One step size for all elements of a segment. stepWeight is b.
struct MetaOptimizeCurved : Kernel {
  static constexpr Name SWEEP = "metaoptimize_curved", RULE = Sgd::NAME;
  enum { G, X, TRACE, CURVATURE };
  static constexpr auto OPERANDS = MetaOptimize<Sgd>::OPERANDS + operands(curvature());
  enum { GRADIENT_SCALE, RATE, SHRINKAGE, GAMMA, STEP_WEIGHT, CURVATURE_BEGIN };
  static constexpr auto COEFFICIENTS =
      names("gradientScale", "learnedRate", "learnedShrinkage", "gamma", "stepWeight") + Curvature::COEFFICIENTS;
  enum { TRACE_GRADIENT, TRACE_PRODUCT };
  static constexpr auto SUMS = names("traceGradient", "traceProduct");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[GRADIENT_SCALE] * r[G];
    const T given = c[GRADIENT_SCALE] * r[CURVATURE];
    const T step = -(c[RATE] * g) - c[SHRINKAGE] * r[X];
    s[TRACE_GRADIENT] = r[TRACE] * g;
    s[TRACE_PRODUCT] = r[TRACE] * Curvature::product(r[TRACE], given, c + CURVATURE_BEGIN);
    const T kept = Curvature::kept(r[TRACE], given, c[RATE], c[SHRINKAGE], c + CURVATURE_BEGIN);
    r[X] = r[X] + step;
    r[TRACE] = bounded(c[GAMMA] * kept + c[STEP_WEIGHT] * step);
  }
};

// A step size for every element. Where stepSizeFirst is positive beta moves before the step that uses it, as in IDBD.
template <class Meta, bool TwoByTwo>
struct MetaOptimizeCurvedPerWeight : PerWeight {
  static constexpr Name SWEEP = TwoByTwo ? "metaoptimize_curved_2x2_per_weight" : "metaoptimize_curved_per_weight";
  static constexpr Name RULE = Meta::NAME;  // of the meta update
  enum { G = SOURCE, CURVATURE = OPERANDS_END, META_STATE_BEGIN, BETA_TRACE = META_STATE_BEGIN + decltype(Meta::SLOTS)::SIZE };
  static constexpr auto OPERANDS =
      operands(gradient(), parameter(READ_WRITE), state("trace", READ_WRITE), state("logRatio", READ_WRITE), curvature()) +
      states(prefixed("meta", Meta::SLOTS) + when<TwoByTwo>(names("betaTrace")), READ_WRITE);
  enum { STEP_SIZE_FIRST = COEFFICIENTS_END, CURVATURE_BEGIN, META_BEGIN = CURVATURE_BEGIN + decltype(Curvature::COEFFICIENTS)::SIZE };
  static constexpr auto COEFFICIENTS =
      PerWeight::COEFFICIENTS + names("stepSizeFirst") + Curvature::COEFFICIENTS + prefixed("meta", Meta::COEFFICIENTS);

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[GRADIENT_SCALE] * r[G];
    const T given = c[GRADIENT_SCALE] * r[CURVATURE];
    const T z = bounded(r[TRACE] * g);
    const T change = c[META_STEP_SIZE] * Meta::template update<T>(z, r[LOG_RATIO], r + META_STATE_BEGIN, c + META_BEGIN);
    const T logRatio = within(r[LOG_RATIO] + within(change, -c[LARGEST_CHANGE], c[LARGEST_CHANGE]), c[LEAST_LOG_RATIO], c[MOST_LOG_RATIO]);
    const T alpha = c[RATE] * exponential(select(c[STEP_SIZE_FIRST] > T(0), logRatio, r[LOG_RATIO]));
    const T shrinkage = c[DECAY] * alpha;
    const T step = -(alpha * g) - shrinkage * r[X];
    const T kept = Curvature::kept(r[TRACE], given, alpha, shrinkage, c + CURVATURE_BEGIN);
    r[X] = r[X] + step;
    r[LOG_RATIO] = logRatio;
    if constexpr (TwoByTwo) {
      const T b = c[GAMMA] * r[BETA_TRACE] + (T(1) - c[GAMMA]);
      const T product = r[TRACE] * Curvature::product(r[TRACE], given, c + CURVATURE_BEGIN);
      r[BETA_TRACE] = bounded(b - c[GAMMA] * (c[META_STEP_SIZE] * product));
      r[TRACE] = bounded(c[GAMMA] * kept + b * step);
    } else {
      r[TRACE] = bounded(c[GAMMA] * kept + step);
    }
    s[TRACE_GRADIENT] = z;
    s[LOG_RATIO_SUM] = logRatio;
    s[ELEMENTS] = T(1);
  }
};

template <class Meta>
using CurvedPerWeight = MetaOptimizeCurvedPerWeight<Meta, false>;

namespace families {
using metaoptimize_curved = join<List<CurvatureNorm, MetaOptimizeCurved>, over<CurvedPerWeight, List<Sgd, PaperRmsProp, PaperAdam, Lion>>,
                                 List<MetaOptimizeCurvedPerWeight<Sgd, true>>>;
}

}  // namespace steptuner
