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
    const T z = within(r[TRACE] * g, T(-1e15f), T(1e15f));
    r[X] = r[X] + step;
    r[TRACE] = c[GAMMA] * (T(1) - shrinkage) * r[TRACE] + step;
    const T change = c[META_STEP_SIZE] * Meta::template update<T>(z, r[LOG_RATIO], r + META_STATE_BEGIN, c + META_BEGIN);
    r[LOG_RATIO] = within(r[LOG_RATIO] + within(change, -c[LARGEST_CHANGE], c[LARGEST_CHANGE]), c[LEAST_LOG_RATIO], c[MOST_LOG_RATIO]);
    s[TRACE_GRADIENT] = z;
    s[LOG_RATIO_SUM] = r[LOG_RATIO];
    s[ELEMENTS] = T(1);
  }
};

}  // namespace steptuner
