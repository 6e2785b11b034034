// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "rule.h"

namespace steptuner {

// Adan: averages of the gradient, of its differences, and of squares of a gradient that looks ahead. With p the gradient of the step
// before, and d = 0 at the first step (first = 1):
//   d = g - p;  m <- beta1 m + (1 - beta1) g;  q <- beta2 q + (1 - beta2) d;  v <- beta3 v + (1 - beta3) (g + beta2 d)^2;  p <- g
//   u = -(stepSize m + differenceStepSize q) / (sqrt(v) rootCorrection + epsilon) - shrinkage x
// stepSize = k rate / (1 - beta1^t), differenceStepSize = k rate beta2 / (1 - beta2^t), shrinkage = k rate decay, rootCorrection =
// 1 / sqrt(1 - beta3^t); k = 1, or 1 / (1 + rate decay) where the decay is proximal. Xie et al. (2022), as released.
struct Adan : GradientRule {
  static constexpr Name NAME = "adan";
  enum { MOMENTUM, DIFFERENCE, SQUARE, PREVIOUS };
  static constexpr auto SLOTS = names("momentum", "difference", "square", "previous");
  enum { STEP_SIZE, DIFFERENCE_STEP_SIZE, SHRINKAGE, BETA1, ONE_MINUS_BETA1, BETA2, ONE_MINUS_BETA2 };
  enum { BETA3 = ONE_MINUS_BETA2 + 1, ONE_MINUS_BETA3, ROOT_CORRECTION, EPSILON, FIRST };
  static constexpr auto COEFFICIENTS = names("stepSize", "differenceStepSize", "shrinkage", "beta1", "oneMinusBeta1", "beta2",
                                             "oneMinusBeta2", "beta3", "oneMinusBeta3", "rootCorrection", "epsilon", "first");

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    const T d = select(c[FIRST] > T(0), T(0), g - state[PREVIOUS]);
    const T ahead = g + c[BETA2] * d;
    const T m = c[BETA1] * state[MOMENTUM] + c[ONE_MINUS_BETA1] * g;
    const T q = c[BETA2] * state[DIFFERENCE] + c[ONE_MINUS_BETA2] * d;
    const T v = c[BETA3] * state[SQUARE] + c[ONE_MINUS_BETA3] * ahead * ahead;
    state[MOMENTUM] = m;
    state[DIFFERENCE] = q;
    state[SQUARE] = v;
    state[PREVIOUS] = g;
    const T blend = c[STEP_SIZE] * m + c[DIFFERENCE_STEP_SIZE] * q;
    return -(blend / (squareRoot(v) * c[ROOT_CORRECTION] + c[EPSILON])) - c[SHRINKAGE] * x;
  }
};

}  // namespace steptuner
