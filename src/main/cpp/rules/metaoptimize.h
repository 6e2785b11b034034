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
#include "adam.h"
#include "exponential.h"
#include "lion.h"
#include "rmsprop.h"
#include "sgd.h"

namespace steptuner {

// The paper's forms of the rules that differ from the usual ones. The coefficient `correction` is mu = (1 - discount) / (1 - discount^t):
// it turns a discounted sum of squares into a weighted mean. epsilon is inside of the root.

// u = -m with the old m; m <- momentum m + (1 - momentum) g.
struct PaperMomentum {
  static constexpr const char* NAME = "momentum";
  static constexpr Operand SOURCE = GRADIENT_OPERAND;
  enum { BUFFER, SLOTS };
  enum { MOMENTUM, ONE_MINUS_MOMENTUM, COEFFICIENTS };
  static constexpr const char* slot(int) { return "momentum"; }
  static constexpr const char* coefficient(int i) { return i == MOMENTUM ? "momentum" : "oneMinusMomentum"; }

  template <class T>
  STEPTUNER_HD static T update(T g, T, T* state, const T* c) {
    const T m = state[BUFFER];
    state[BUFFER] = c[MOMENTUM] * m + c[ONE_MINUS_MOMENTUM] * g;
    return -m;
  }
};

// v <- discount v + g^2;  u = -g / sqrt(correction v + epsilon).
struct PaperRmsProp {
  static constexpr const char* NAME = "rmsprop";
  static constexpr Operand SOURCE = GRADIENT_OPERAND;
  enum { SQUARE, SLOTS };
  enum { DISCOUNT, CORRECTION, EPSILON, COEFFICIENTS };
  static constexpr const char* slot(int) { return "square"; }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"discount", "correction", "epsilon"};
    return names[i];
  }

  template <class T>
  STEPTUNER_HD static T update(T g, T, T* state, const T* c) {
    const T v = c[DISCOUNT] * state[SQUARE] + g * g;
    state[SQUARE] = v;
    return -(g / squareRoot(c[CORRECTION] * v + c[EPSILON]));
  }
};

// m <- momentum m + g, a sum and not a mean; v as in RMSProp;  u = -m / sqrt(correction v + epsilon).
struct PaperAdam {
  static constexpr const char* NAME = "adam";
  static constexpr Operand SOURCE = GRADIENT_OPERAND;
  enum { MEAN, SQUARE, SLOTS };
  enum { MOMENTUM, DISCOUNT, CORRECTION, EPSILON, COEFFICIENTS };
  static constexpr const char* slot(int i) { return i == MEAN ? "momentum" : "square"; }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"momentum", "discount", "correction", "epsilon"};
    return names[i];
  }

  template <class T>
  STEPTUNER_HD static T update(T g, T, T* state, const T* c) {
    const T m = c[MOMENTUM] * state[MEAN] + g;
    const T v = c[DISCOUNT] * state[SQUARE] + g * g;
    state[MEAN] = m;
    state[SQUARE] = v;
    return -(m / squareRoot(c[CORRECTION] * v + c[EPSILON]));
  }
};

// One step size for all elements of a segment. rate is alpha, shrinkage is decay alpha, retention is gamma (1 - decay alpha).
template <class Rule>
struct MetaOptimize {
  static constexpr const char* SWEEP = "metaoptimize";
  static constexpr const char* RULE = Rule::NAME;
  enum { SOURCE, X, TRACE, STATE_BEGIN, OPERANDS = STATE_BEGIN + Rule::SLOTS };
  enum { GRADIENT_SCALE, RATE, SHRINKAGE, RETENTION, RULE_BEGIN, COEFFICIENTS = RULE_BEGIN + Rule::COEFFICIENTS };
  enum { TRACE_GRADIENT, SUMS };
  static constexpr Operand operand(int i) {
    return i == SOURCE  ? Rule::SOURCE
           : i == X     ? Operand{"parameter", PARAMETER, READ_WRITE}
           : i == TRACE ? Operand{"trace", STATE, READ_WRITE}
                        : Operand{Rule::slot(i - STATE_BEGIN), STATE, READ_WRITE};
  }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"gradientScale", "rate", "shrinkage", "retention"};
    return i < RULE_BEGIN ? names[i] : Rule::coefficient(i - RULE_BEGIN);
  }
  static constexpr const char* sum(int) { return "traceGradient"; }

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

// The form of the authors' package: usual rules, and a trace of the scaled gradients, with the opposite sign:
//   h <- gamma (1 - decay alpha) h + alpha g / (sqrt(v) + epsilon)      (Adam; others: see Scaled)
template <class Rule>
struct MetaOptimizePackage : MetaOptimize<Rule> {
  using Base = MetaOptimize<Rule>;
  static constexpr const char* SWEEP = "metaoptimize_package";

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

// A step size for every element, and the meta update elementwise: a rule that takes z = h g for its gradient and beta for its
// parameter. logRatio is beta - ln alpha_0: it starts at 0 and stays small, where float32 is finest.
//
//   alpha = rate exp(logRatio);  logRatio <- bound(logRatio + cap(metaStepSize u_meta(z)))
//
// z is held within +-1e15, whose square is a float32: no element can make its own step size not a number.
// Sums z and logRatio, for the report, and 1.
template <class Meta>
constexpr const char* PER_WEIGHT_SWEEP = nullptr;
template <>
inline constexpr const char* PER_WEIGHT_SWEEP<Sgd> = "metaoptimize_per_weight_sgd";
template <>
inline constexpr const char* PER_WEIGHT_SWEEP<PaperRmsProp> = "metaoptimize_per_weight_rmsprop";
template <>
inline constexpr const char* PER_WEIGHT_SWEEP<PaperAdam> = "metaoptimize_per_weight_adam";
template <>
inline constexpr const char* PER_WEIGHT_SWEEP<Lion> = "metaoptimize_per_weight_lion";

template <class T>
STEPTUNER_HD T within(T value, T least, T most) {
  return select(value < least, least, select(value > most, most, value));
}

template <class T>
STEPTUNER_HD T bounded(T value) {
  return within(value, T(-1e15f), T(1e15f));
}

template <class Rule, class Meta>
struct MetaOptimizePerWeight {
  static constexpr const char* SWEEP = PER_WEIGHT_SWEEP<Meta>;
  static constexpr const char* RULE = Rule::NAME;
  enum {
    SOURCE,
    X,
    TRACE,
    LOG_RATIO,
    STATE_BEGIN,
    META_STATE_BEGIN = STATE_BEGIN + Rule::SLOTS,
    OPERANDS = META_STATE_BEGIN + Meta::SLOTS
  };
  enum {
    GRADIENT_SCALE,
    RATE,
    DECAY,
    GAMMA,
    META_STEP_SIZE,
    LARGEST_CHANGE,
    LEAST_LOG_RATIO,
    MOST_LOG_RATIO,
    RULE_BEGIN,
    META_BEGIN = RULE_BEGIN + Rule::COEFFICIENTS,
    COEFFICIENTS = META_BEGIN + Meta::COEFFICIENTS
  };
  enum { TRACE_GRADIENT, LOG_RATIO_SUM, ELEMENTS, SUMS };
  static constexpr Operand operand(int i) {
    return i == SOURCE            ? Rule::SOURCE
           : i == X               ? Operand{"parameter", PARAMETER, READ_WRITE}
           : i == TRACE           ? Operand{"trace", STATE, READ_WRITE}
           : i == LOG_RATIO       ? Operand{"logRatio", STATE, READ_WRITE}
           : i < META_STATE_BEGIN ? Operand{Rule::slot(i - STATE_BEGIN), STATE, READ_WRITE}
                                  : Operand{metaSlot(i - META_STATE_BEGIN), STATE, READ_WRITE};
  }
  // The meta rules' slots are "momentum" and "square", as the base rules' may be.
  static constexpr const char* metaSlot(int i) { return Meta::slot(i)[0] == 'm' ? "metaMomentum" : "metaSquare"; }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"gradientScale", "rate",          "decay",         "gamma",
                                     "metaStepSize",  "largestChange", "leastLogRatio", "mostLogRatio"};
    return i < RULE_BEGIN ? names[i] : i < META_BEGIN ? Rule::coefficient(i - RULE_BEGIN) : Meta::coefficient(i - META_BEGIN);
  }
  static constexpr const char* sum(int i) {
    constexpr const char* names[] = {"traceGradient", "logRatio", "elements"};
    return names[i];
  }

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
constexpr Operand CURVATURE_OPERAND = {"curvature", UPDATE, READ};

// |curvature|^2, raw: what the non-finite guard needs. 1 word per element.
struct CurvatureNorm {
  static constexpr const char* SWEEP = "curvature_norm";
  static constexpr const char* RULE = "";
  enum { CURVATURE, OPERANDS };
  enum { COEFFICIENTS = 0 };
  enum { CURVATURE_SQUARE, SUMS };
  static constexpr Operand operand(int) { return CURVATURE_OPERAND; }
  static constexpr const char* coefficient(int) { return ""; }
  static constexpr const char* sum(int) { return "curvatureSquare"; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T* s) {
    s[CURVATURE_SQUARE] = r[CURVATURE] * r[CURVATURE];
  }
};

struct Curvature {
  enum { PRODUCT, DIAGONAL, LEAST_RETENTION, COEFFICIENTS };
  static constexpr const char* coefficient(int i) {
    return i == PRODUCT ? "product" : i == DIAGONAL ? "diagonal" : "leastRetention";
  }

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
struct MetaOptimizeCurved {
  static constexpr const char* SWEEP = "metaoptimize_curved";
  static constexpr const char* RULE = Sgd::NAME;
  enum { G, X, TRACE, CURVATURE, OPERANDS };
  enum {
    GRADIENT_SCALE,
    RATE,
    SHRINKAGE,
    GAMMA,
    STEP_WEIGHT,
    CURVATURE_BEGIN,
    COEFFICIENTS = CURVATURE_BEGIN + Curvature::COEFFICIENTS
  };
  enum { TRACE_GRADIENT, TRACE_PRODUCT, SUMS };
  static constexpr Operand operand(int i) { return i == CURVATURE ? CURVATURE_OPERAND : MetaOptimize<Sgd>::operand(i); }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"gradientScale", "rate", "shrinkage", "gamma", "stepWeight"};
    return i < CURVATURE_BEGIN ? names[i] : Curvature::coefficient(i - CURVATURE_BEGIN);
  }
  static constexpr const char* sum(int i) { return i == TRACE_GRADIENT ? "traceGradient" : "traceProduct"; }

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
struct MetaOptimizeCurvedPerWeight {
  static constexpr const char* SWEEP = TwoByTwo ? "metaoptimize_curved_2x2_per_weight" : "metaoptimize_curved_per_weight";
  static constexpr const char* RULE = Meta::NAME;  // of the meta update
  using Base = MetaOptimizePerWeight<Sgd, Meta>;
  enum {
    G,
    X,
    TRACE,
    LOG_RATIO,
    CURVATURE,
    META_STATE_BEGIN,
    BETA_TRACE = META_STATE_BEGIN + Meta::SLOTS,
    OPERANDS = BETA_TRACE + (TwoByTwo ? 1 : 0)
  };
  enum {
    STEP_SIZE_FIRST = Base::RULE_BEGIN,
    CURVATURE_BEGIN,
    META_BEGIN = CURVATURE_BEGIN + Curvature::COEFFICIENTS,
    COEFFICIENTS = META_BEGIN + Meta::COEFFICIENTS
  };
  enum { TRACE_GRADIENT, LOG_RATIO_SUM, ELEMENTS, SUMS };
  static constexpr Operand operand(int i) {
    return i == CURVATURE    ? CURVATURE_OPERAND
           : i < CURVATURE   ? Base::operand(i)
           : i == BETA_TRACE ? Operand{"betaTrace", STATE, READ_WRITE}
                             : Operand{Base::metaSlot(i - META_STATE_BEGIN), STATE, READ_WRITE};
  }
  static constexpr const char* coefficient(int i) {
    return i < STEP_SIZE_FIRST    ? Base::coefficient(i)
           : i == STEP_SIZE_FIRST ? "stepSizeFirst"
           : i < META_BEGIN       ? Curvature::coefficient(i - CURVATURE_BEGIN)
                                  : Meta::coefficient(i - META_BEGIN);
  }
  static constexpr const char* sum(int i) { return Base::sum(i); }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[Base::GRADIENT_SCALE] * r[G];
    const T given = c[Base::GRADIENT_SCALE] * r[CURVATURE];
    const T z = bounded(r[TRACE] * g);
    const T change = c[Base::META_STEP_SIZE] * Meta::template update<T>(z, r[LOG_RATIO], r + META_STATE_BEGIN, c + META_BEGIN);
    const T logRatio = within(r[LOG_RATIO] + within(change, -c[Base::LARGEST_CHANGE], c[Base::LARGEST_CHANGE]),
                              c[Base::LEAST_LOG_RATIO], c[Base::MOST_LOG_RATIO]);
    const T alpha = c[Base::RATE] * exponential(select(c[STEP_SIZE_FIRST] > T(0), logRatio, r[LOG_RATIO]));
    const T shrinkage = c[Base::DECAY] * alpha;
    const T step = -(alpha * g) - shrinkage * r[X];
    const T kept = Curvature::kept(r[TRACE], given, alpha, shrinkage, c + CURVATURE_BEGIN);
    r[X] = r[X] + step;
    r[LOG_RATIO] = logRatio;
    if constexpr (TwoByTwo) {
      const T b = c[Base::GAMMA] * r[BETA_TRACE] + (T(1) - c[Base::GAMMA]);
      const T product = r[TRACE] * Curvature::product(r[TRACE], given, c + CURVATURE_BEGIN);
      r[BETA_TRACE] = bounded(b - c[Base::GAMMA] * (c[Base::META_STEP_SIZE] * product));
      r[TRACE] = bounded(c[Base::GAMMA] * kept + b * step);
    } else {
      r[TRACE] = bounded(c[Base::GAMMA] * kept + step);
    }
    s[TRACE_GRADIENT] = z;
    s[LOG_RATIO_SUM] = logRatio;
    s[ELEMENTS] = T(1);
  }
};

}  // namespace steptuner
