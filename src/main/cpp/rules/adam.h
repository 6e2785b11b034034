// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "rule.h"

namespace steptuner {

// Adam and AdamW in one formula. With d = g + coupledDecay x:
//   m <- beta1 m + (1 - beta1) d;  v <- beta2 v + (1 - beta2) d^2
//   u = -stepSize m / (sqrt(v) rootCorrection + epsilon) - shrinkage x
// stepSize = rate / (1 - beta1^t), rootCorrection = 1 / sqrt(1 - beta2^t), shrinkage = rate * decoupled decay.
// Adam: Kingma and Ba (2015), algorithm 1. AdamW: Loshchilov and Hutter (2019), algorithm 2.
struct Adam : GradientRule {
  static constexpr Name NAME = "adam";
  enum { MOMENTUM, SQUARE };
  static constexpr auto SLOTS = names("momentum", "square");
  enum { STEP_SIZE, SHRINKAGE, COUPLED_DECAY, BETA1, ONE_MINUS_BETA1, BETA2, ONE_MINUS_BETA2, ROOT_CORRECTION, EPSILON };
  static constexpr auto COEFFICIENTS =
      names("stepSize", "shrinkage", "coupledDecay", "beta1", "oneMinusBeta1", "beta2", "oneMinusBeta2", "rootCorrection", "epsilon");

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    const T d = g + c[COUPLED_DECAY] * x;
    const T m = c[BETA1] * state[MOMENTUM] + c[ONE_MINUS_BETA1] * d;
    const T v = c[BETA2] * state[SQUARE] + c[ONE_MINUS_BETA2] * d * d;
    state[MOMENTUM] = m;
    state[SQUARE] = v;
    return -c[STEP_SIZE] * (m / (squareRoot(v) * c[ROOT_CORRECTION] + c[EPSILON])) - c[SHRINKAGE] * x;
  }
};

}  // namespace steptuner
