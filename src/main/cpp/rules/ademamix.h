// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "rule.h"

namespace steptuner {

// AdEMAMix: Adam with a second, slow average of gradients beside the fast one, whose weight is alpha:
//   m1 <- beta1 m1 + (1 - beta1) g;  m2 <- beta3 m2 + (1 - beta3) g;  v <- beta2 v + (1 - beta2) g^2
//   u = -rate (momentumCorrection m1 + alpha m2) / (sqrt(v) rootCorrection + epsilon) - shrinkage x
// momentumCorrection = 1 / (1 - beta1^t), rootCorrection = 1 / sqrt(1 - beta2^t), shrinkage = rate * decay.
// Pagliardini, Ablin and Grangier (2024), algorithm 1.
struct AdEmaMix : GradientRule {
  static constexpr Name NAME = "ademamix";
  enum { MOMENTUM, SLOW_MOMENTUM, SQUARE };
  static constexpr auto SLOTS = names("momentum", "slowMomentum", "square");
  enum { RATE, SHRINKAGE, BETA1, ONE_MINUS_BETA1, BETA2, ONE_MINUS_BETA2 };
  enum { BETA3 = ONE_MINUS_BETA2 + 1, ONE_MINUS_BETA3, ALPHA, MOMENTUM_CORRECTION, ROOT_CORRECTION, EPSILON };
  static constexpr auto COEFFICIENTS = names("rate", "shrinkage", "beta1", "oneMinusBeta1", "beta2", "oneMinusBeta2", "beta3",
                                             "oneMinusBeta3", "alpha", "momentumCorrection", "rootCorrection", "epsilon");

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    const T fast = c[BETA1] * state[MOMENTUM] + c[ONE_MINUS_BETA1] * g;
    const T slow = c[BETA3] * state[SLOW_MOMENTUM] + c[ONE_MINUS_BETA3] * g;
    const T v = c[BETA2] * state[SQUARE] + c[ONE_MINUS_BETA2] * g * g;
    state[MOMENTUM] = fast;
    state[SLOW_MOMENTUM] = slow;
    state[SQUARE] = v;
    const T blend = c[MOMENTUM_CORRECTION] * fast + c[ALPHA] * slow;
    return -c[RATE] * (blend / (squareRoot(v) * c[ROOT_CORRECTION] + c[EPSILON])) - c[SHRINKAGE] * x;
  }
};

}  // namespace steptuner
