// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "rule.h"

namespace steptuner {

// Stochastic gradient descent: u = -rate (g + weightDecay x). Robbins and Monro (1951).
struct Sgd : GradientRule {
  static constexpr Name NAME = "sgd";
  enum { RATE, WEIGHT_DECAY };
  static constexpr auto COEFFICIENTS = names("rate", "weightDecay");

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T*, const T* c) {
    return -c[RATE] * (g + c[WEIGHT_DECAY] * x);
  }
};

// Heavy ball and Nesterov momentum without dampening, decay added to the gradient:
//   d = g + weightDecay x;  b <- momentum b + d;  u = -rate (gradientWeight d + bufferWeight b)
// with weights (0, 1) for heavy ball and (1, momentum) for Nesterov. Sutskever et al. (2013), section 2.
struct Momentum : GradientRule {
  static constexpr Name NAME = "momentum";
  enum { BUFFER };
  static constexpr auto SLOTS = names("momentum");
  enum { RATE, WEIGHT_DECAY, MOMENTUM, GRADIENT_WEIGHT, BUFFER_WEIGHT };
  static constexpr auto COEFFICIENTS = names("rate", "weightDecay", "momentum", "gradientWeight", "bufferWeight");

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    const T d = g + c[WEIGHT_DECAY] * x;
    const T b = c[MOMENTUM] * state[BUFFER] + d;
    state[BUFFER] = b;
    return -c[RATE] * (c[GRADIENT_WEIGHT] * d + c[BUFFER_WEIGHT] * b);
  }
};

}  // namespace steptuner
