// SPDX-License-Identifier: Apache-2.0
//
// Learning-Rate-Free Learning by D-Adaptation, Defazio and Mishchenko (2023): the O(d) half of five forms, each as one sweep that does
// everything, since the step takes the estimate d that was there before it. The scalars d, its numerator and so on are in Java, which
// also says how a tensor that is to stay as it is gets coefficients that change nothing.
//
// g is the gradient, to which a coupled decay has been added; s is the sum of g weighted by the rates; x0 the parameters at the start.
// Words per element: SGD 6, Adam 9, AdaGrad 8, Lion 7, Adan 13.
#pragma once
#include "../core/lists.h"
#include "../rules/rule.h"

namespace steptuner {

// s <- s + gain g;  x <- retention x + (1 - retention) (x0 - s).     Sums <g, s> of the old s, and |s|^2 of the new one.
// The paper's algorithm 4 (SGD with D-Adaptation).
struct DAdaptSgd : Kernel {
  static constexpr Name SWEEP = "dadaptation", RULE = "sgd";
  enum { G, X, REFERENCE, SUM };
  static constexpr auto OPERANDS = operands(gradient(), parameter(READ_WRITE), state("reference", READ), state("sum", READ_WRITE));
  enum { GRADIENT_SCALE, COUPLED_DECAY, SUM_GAIN, RETENTION, INTAKE };
  static constexpr auto COEFFICIENTS = names("gradientScale", "coupledDecay", "sumGain", "retention", "intake");
  enum { GRADIENT_SUM, SUM_SQUARE };
  static constexpr auto SUMS = names("gradientSum", "sumSquare");

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

// momentum <- factor (x - (x0 - s)): the buffer b of SGD with momentum, x <- x - rate b, that goes on where DAdaptSgd ends. 4 words.
struct DAdaptSgdBuffer : Kernel {
  static constexpr Name SWEEP = "dadaptation_buffer";
  enum { X, REFERENCE, SUM, MOMENTUM };
  static constexpr auto OPERANDS = operands(parameter(READ), state("reference", READ), state("sum", READ), state("momentum", WRITE));
  enum { FACTOR };
  static constexpr auto COEFFICIENTS = names("factor");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    r[MOMENTUM] = c[FACTOR] * (r[X] - (r[REFERENCE] - r[SUM]));
  }
};

// m <- beta1 m + averageGain g;  v <- beta2 v + (1 - beta2) g^2;  s <- sqrt(beta2) s + sumGain g;
// x <- x - shrinkage x - step m / (sqrt(v) + epsilon).              Sums <g, s / (sqrt(v) + epsilon)> of the old s and v, and |s|_1.
// The paper's algorithm 5 (Adam with D-Adaptation); the rate is in averageGain, and step is 1, or 0 where nothing is to move.
struct DAdaptAdam : Kernel {
  static constexpr Name SWEEP = "dadaptation", RULE = "adam";
  enum { G, X, AVERAGE, SQUARE, SUM };
  static constexpr auto OPERANDS = operands(gradient(), parameter(READ_WRITE)) + states(names("momentum", "square", "sum"), READ_WRITE);
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
    STEP
  };
  static constexpr auto COEFFICIENTS = names("gradientScale", "coupledDecay", "averageRetention", "averageGain", "squareRetention",
                                             "squareGain", "sumRetention", "sumGain", "epsilon", "shrinkage", "step");
  enum { GRADIENT_SUM, SUM_NORM };
  static constexpr auto SUMS = names("gradientSum", "sumNorm");

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
struct DAdaptAdaGrad : Kernel {
  static constexpr Name SWEEP = "dadaptation", RULE = "adagrad";
  enum { G, X, REFERENCE, SUM, SQUARE };
  static constexpr auto OPERANDS =
      operands(gradient(), parameter(READ_WRITE), state("reference", READ)) + states(names("sum", "square"), READ_WRITE);
  enum { GRADIENT_SCALE, COUPLED_DECAY, SUM_GAIN, RETENTION, INTAKE, EPSILON };
  static constexpr auto COEFFICIENTS = names("gradientScale", "coupledDecay", "sumGain", "retention", "intake", "epsilon");
  enum { GRADIENT_WEIGHTED, SUM_WEIGHTED, SUM_NORM };
  static constexpr auto SUMS = names("gradientWeighted", "sumWeighted", "sumNorm");

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
struct DAdaptLion : Kernel {
  static constexpr Name SWEEP = "dadaptation", RULE = "lion";
  enum { G, X, AVERAGE, SUM };
  static constexpr auto OPERANDS = operands(gradient(), parameter(READ_WRITE)) + states(names("momentum", "sum"), READ_WRITE);
  enum { GRADIENT_SCALE, BETA1, ONE_MINUS_BETA1, AVERAGE_RETENTION, AVERAGE_GAIN, SUM_RETENTION, SUM_GAIN, RATE, SHRINKAGE };
  static constexpr auto COEFFICIENTS =
      names("gradientScale", "beta1", "oneMinusBeta1", "averageRetention", "averageGain", "sumRetention", "sumGain", "rate", "shrinkage");
  enum { UPDATE_SUM, SUM_NORM };
  static constexpr auto SUMS = names("updateSum", "sumNorm");

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

// With p the gradient of the step before, and e = g - p, or 0 where first is 1:
//   m <- beta1 m + averageGain g;  q <- beta2 q + differenceGain e;  v <- beta3 v + (1 - beta3) (g + beta2 e)^2;  p <- g
//   s <- beta3 s + sumGain g;  x <- x - shrinkage x - step (m + beta2 q) / (sqrt(v) + epsilon)
// With w = 1 / (sqrt(v) + epsilon) for the new v, sums <g, w g>, <s, w s> and |s|_1. Not in the paper: the form of the authors' release.
// The rate is in the gains; step is 1, and where the decay is proximal 1 / (1 + rate decay).
struct DAdaptAdan : Kernel {
  static constexpr Name SWEEP = "dadaptation", RULE = "adan";
  enum { G, X, AVERAGE, DIFFERENCE, SQUARE, PREVIOUS, SUM };
  static constexpr auto OPERANDS =
      operands(gradient(), parameter(READ_WRITE)) + states(names("momentum", "difference", "square", "previous", "sum"), READ_WRITE);
  enum {
    GRADIENT_SCALE,
    FIRST,
    BETA2,
    AVERAGE_RETENTION,
    AVERAGE_GAIN,
    DIFFERENCE_GAIN,
    SQUARE_RETENTION,
    SQUARE_GAIN,
    SUM_RETENTION,
    SUM_GAIN,
    EPSILON,
    SHRINKAGE,
    STEP
  };
  static constexpr auto COEFFICIENTS = names("gradientScale", "first", "beta2", "averageRetention", "averageGain", "differenceGain",
                                             "squareRetention", "squareGain", "sumRetention", "sumGain", "epsilon", "shrinkage", "step");
  enum { GRADIENT_WEIGHTED, SUM_WEIGHTED, SUM_NORM };
  static constexpr auto SUMS = names("gradientWeighted", "sumWeighted", "sumNorm");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T g = c[GRADIENT_SCALE] * r[G];
    const T e = select(c[FIRST] > T(0), T(0), g - r[PREVIOUS]);
    const T ahead = g + c[BETA2] * e;
    const T average = c[AVERAGE_RETENTION] * r[AVERAGE] + c[AVERAGE_GAIN] * g;
    const T difference = c[BETA2] * r[DIFFERENCE] + c[DIFFERENCE_GAIN] * e;
    const T square = c[SQUARE_RETENTION] * r[SQUARE] + c[SQUARE_GAIN] * ahead * ahead;
    const T sum = c[SUM_RETENTION] * r[SUM] + c[SUM_GAIN] * g;
    const T root = squareRoot(square) + c[EPSILON];
    s[GRADIENT_WEIGHTED] = g * g / root;
    s[SUM_WEIGHTED] = sum * sum / root;
    s[SUM_NORM] = absolute(sum);
    r[AVERAGE] = average;
    r[DIFFERENCE] = difference;
    r[SQUARE] = square;
    r[PREVIOUS] = g;
    r[SUM] = sum;
    r[X] = r[X] - c[SHRINKAGE] * r[X] - c[STEP] * ((average + c[BETA2] * difference) / root);
  }
};

namespace families {
using dadaptation = List<DAdaptSgd, DAdaptSgdBuffer, DAdaptAdam, DAdaptAdaGrad, DAdaptLion, DAdaptAdan>;
}

}  // namespace steptuner
