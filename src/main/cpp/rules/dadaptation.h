// SPDX-License-Identifier: Apache-2.0
//
// Learning-Rate-Free Learning by D-Adaptation, Defazio and Mishchenko (2023): the O(d) half of four forms, each as one sweep that does
// everything, since the step takes the estimate d that was there before it. The scalars d, its numerator and so on are in Java, which
// also says how a tensor that is to stay as it is gets coefficients that change nothing.
//
// g is the gradient, to which a coupled decay has been added; s is the sum of g weighted by the rates; x0 the parameters at the start.
// Words per element: SGD 6, Adam 9, AdaGrad 8, Lion 7.
#pragma once
#include "rule.h"

namespace steptuner {

// s <- s + gain g;  x <- retention x + (1 - retention) (x0 - s).     Sums <g, s> of the old s, and |s|^2 of the new one.
// The paper's algorithm 4 (SGD with D-Adaptation).
struct DAdaptSgd {
  static constexpr const char* SWEEP = "dadaptation";
  static constexpr const char* RULE = "sgd";
  enum { G, X, REFERENCE, SUM, OPERANDS };
  enum { GRADIENT_SCALE, COUPLED_DECAY, SUM_GAIN, RETENTION, INTAKE, COEFFICIENTS };
  enum { GRADIENT_SUM, SUM_SQUARE, SUMS };
  static constexpr Operand operand(int i) {
    return i == G           ? GRADIENT_OPERAND
           : i == X         ? Operand{"parameter", PARAMETER, READ_WRITE}
           : i == REFERENCE ? Operand{"reference", STATE, READ}
                            : Operand{"sum", STATE, READ_WRITE};
  }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"gradientScale", "coupledDecay", "sumGain", "retention", "intake"};
    return names[i];
  }
  static constexpr const char* sum(int i) { return i == GRADIENT_SUM ? "gradientSum" : "sumSquare"; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[GRADIENT_SCALE] * r[G] + c[COUPLED_DECAY] * r[X];
    const T sum = r[SUM] + c[SUM_GAIN] * g;
    s[GRADIENT_SUM] = g * r[SUM];
    s[SUM_SQUARE] = sum * sum;
    r[SUM] = sum;
    r[X] = c[RETENTION] * r[X] + c[INTAKE] * (r[REFERENCE] - sum);
  }
};

// m <- beta1 m + averageGain g;  v <- beta2 v + (1 - beta2) g^2;  s <- sqrt(beta2) s + sumGain g;
// x <- x - shrinkage x - step m / (sqrt(v) + epsilon).              Sums <g, s / (sqrt(v) + epsilon)> of the old s and v, and |s|_1.
// The paper's algorithm 5 (Adam with D-Adaptation); the rate is in averageGain, and step is 1, or 0 where nothing is to move.
struct DAdaptAdam {
  static constexpr const char* SWEEP = "dadaptation";
  static constexpr const char* RULE = "adam";
  enum { G, X, AVERAGE, SQUARE, SUM, OPERANDS };
  enum {
    GRADIENT_SCALE,
    COUPLED_DECAY,
    AVERAGE_RETENTION,
    AVERAGE_GAIN,
    SQUARE_RETENTION,
    SQUARE_GAIN,
    SUM_RETENTION,
    SUM_GAIN,
    EPSILON,
    SHRINKAGE,
    STEP,
    COEFFICIENTS
  };
  enum { GRADIENT_SUM, SUM_NORM, SUMS };
  static constexpr Operand operand(int i) {
    return i == G         ? GRADIENT_OPERAND
           : i == X       ? Operand{"parameter", PARAMETER, READ_WRITE}
           : i == AVERAGE ? Operand{"momentum", STATE, READ_WRITE}
           : i == SQUARE  ? Operand{"square", STATE, READ_WRITE}
                          : Operand{"sum", STATE, READ_WRITE};
  }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"gradientScale", "coupledDecay", "averageRetention", "averageGain", "squareRetention", "squareGain",
                                     "sumRetention",  "sumGain",      "epsilon",          "shrinkage",   "step"};
    return names[i];
  }
  static constexpr const char* sum(int i) { return i == GRADIENT_SUM ? "gradientSum" : "sumNorm"; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[GRADIENT_SCALE] * r[G] + c[COUPLED_DECAY] * r[X];
    s[GRADIENT_SUM] = g * (r[SUM] / (squareRoot(r[SQUARE]) + c[EPSILON]));
    const T average = c[AVERAGE_RETENTION] * r[AVERAGE] + c[AVERAGE_GAIN] * g;
    const T square = c[SQUARE_RETENTION] * r[SQUARE] + c[SQUARE_GAIN] * g * g;
    const T sum = c[SUM_RETENTION] * r[SUM] + c[SUM_GAIN] * g;
    s[SUM_NORM] = absolute(sum);
    r[AVERAGE] = average;
    r[SQUARE] = square;
    r[SUM] = sum;
    r[X] = r[X] - c[SHRINKAGE] * r[X] - c[STEP] * (average / (squareRoot(square) + c[EPSILON]));
  }
};

// a <- a + g^2;  s <- s + gain g;  x <- retention x + (1 - retention) (x0 - s / (sqrt(a) + epsilon)).
// With w = 1 / (sqrt(a) + epsilon) for the new a, sums <g, w g>, <s, w s> and |s|_1.
// The paper's algorithm 3 (AdaGrad with D-Adaptation), elementwise.
struct DAdaptAdaGrad {
  static constexpr const char* SWEEP = "dadaptation";
  static constexpr const char* RULE = "adagrad";
  enum { G, X, REFERENCE, SUM, SQUARE, OPERANDS };
  enum { GRADIENT_SCALE, COUPLED_DECAY, SUM_GAIN, RETENTION, INTAKE, EPSILON, COEFFICIENTS };
  enum { GRADIENT_WEIGHTED, SUM_WEIGHTED, SUM_NORM, SUMS };
  static constexpr Operand operand(int i) {
    return i == G           ? GRADIENT_OPERAND
           : i == X         ? Operand{"parameter", PARAMETER, READ_WRITE}
           : i == REFERENCE ? Operand{"reference", STATE, READ}
           : i == SUM       ? Operand{"sum", STATE, READ_WRITE}
                            : Operand{"square", STATE, READ_WRITE};
  }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"gradientScale", "coupledDecay", "sumGain", "retention", "intake", "epsilon"};
    return names[i];
  }
  static constexpr const char* sum(int i) {
    constexpr const char* names[] = {"gradientWeighted", "sumWeighted", "sumNorm"};
    return names[i];
  }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[GRADIENT_SCALE] * r[G] + c[COUPLED_DECAY] * r[X];
    const T square = r[SQUARE] + g * g;
    const T sum = r[SUM] + c[SUM_GAIN] * g;
    const T root = squareRoot(square) + c[EPSILON];
    s[GRADIENT_WEIGHTED] = g * g / root;
    s[SUM_WEIGHTED] = sum * sum / root;
    s[SUM_NORM] = absolute(sum);
    r[SQUARE] = square;
    r[SUM] = sum;
    r[X] = c[RETENTION] * r[X] + c[INTAKE] * (r[REFERENCE] - sum / root);
  }
};

// u = sign(beta1 m + (1 - beta1) g);  m <- beta2 m + averageGain g;  s <- sqrt(beta2) s + sumGain u;  x <- x - shrinkage x - rate u.
// Sums <u, s> of the old s, and |s|_1. Not in the paper: the form of the authors' release.
struct DAdaptLion {
  static constexpr const char* SWEEP = "dadaptation";
  static constexpr const char* RULE = "lion";
  enum { G, X, AVERAGE, SUM, OPERANDS };
  enum {
    GRADIENT_SCALE,
    BETA1,
    ONE_MINUS_BETA1,
    AVERAGE_RETENTION,
    AVERAGE_GAIN,
    SUM_RETENTION,
    SUM_GAIN,
    RATE,
    SHRINKAGE,
    COEFFICIENTS
  };
  enum { UPDATE_SUM, SUM_NORM, SUMS };
  static constexpr Operand operand(int i) {
    return i == G         ? GRADIENT_OPERAND
           : i == X       ? Operand{"parameter", PARAMETER, READ_WRITE}
           : i == AVERAGE ? Operand{"momentum", STATE, READ_WRITE}
                          : Operand{"sum", STATE, READ_WRITE};
  }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"gradientScale", "beta1",   "oneMinusBeta1", "averageRetention", "averageGain",
                                     "sumRetention",  "sumGain", "rate",          "shrinkage"};
    return names[i];
  }
  static constexpr const char* sum(int i) { return i == UPDATE_SUM ? "updateSum" : "sumNorm"; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[GRADIENT_SCALE] * r[G];
    const T u = sign(c[BETA1] * r[AVERAGE] + c[ONE_MINUS_BETA1] * g);
    const T sum = c[SUM_RETENTION] * r[SUM] + c[SUM_GAIN] * u;
    s[UPDATE_SUM] = u * r[SUM];
    s[SUM_NORM] = absolute(sum);
    r[AVERAGE] = c[AVERAGE_RETENTION] * r[AVERAGE] + c[AVERAGE_GAIN] * g;
    r[SUM] = sum;
    r[X] = r[X] - c[SHRINKAGE] * r[X] - c[RATE] * u;
  }
};

}  // namespace steptuner
