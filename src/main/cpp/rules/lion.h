// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "rule.h"

namespace steptuner {

// Lion: u = -rate sign(beta1 m + (1 - beta1) g) - shrinkage x, then m <- beta2 m + (1 - beta2) g, where
// shrinkage = rate * decay. The sign of 0 is 0; the sign of NaN is NaN. Chen et al. (2023), algorithm 2.
struct Lion : GradientRule {
  static constexpr Name NAME = "lion";
  enum { MOMENTUM };
  static constexpr auto SLOTS = names("momentum");
  enum { RATE, SHRINKAGE, BETA1, ONE_MINUS_BETA1, BETA2, ONE_MINUS_BETA2 };
  static constexpr auto COEFFICIENTS = names("rate", "shrinkage", "beta1", "oneMinusBeta1", "beta2", "oneMinusBeta2");

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    const T m = state[MOMENTUM];
    const T blend = c[BETA1] * m + c[ONE_MINUS_BETA1] * g;
    state[MOMENTUM] = c[BETA2] * m + c[ONE_MINUS_BETA2] * g;
    return -c[RATE] * sign(blend) - c[SHRINKAGE] * x;
  }
};

}  // namespace steptuner
