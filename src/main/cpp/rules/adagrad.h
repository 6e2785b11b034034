// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "rule.h"

namespace steptuner {

// AdaGrad: v <- v + d^2 with d = g + weightDecay x;  u = -rate d / (sqrt(v) + epsilon).
// Duchi, Hazan and Singer (2011), the diagonal form of algorithm 1.
struct AdaGrad : GradientRule {
  static constexpr Name NAME = "adagrad";
  enum { SQUARE };
  static constexpr auto SLOTS = names("square");
  enum { RATE, WEIGHT_DECAY, EPSILON };
  static constexpr auto COEFFICIENTS = names("rate", "weightDecay", "epsilon");

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    const T d = g + c[WEIGHT_DECAY] * x;
    const T v = state[SQUARE] + d * d;
    state[SQUARE] = v;
    return -c[RATE] * (d / (squareRoot(v) + c[EPSILON]));
  }
};

}  // namespace steptuner
