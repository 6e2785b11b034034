// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "rule.h"

namespace steptuner {

// Stochastic gradient descent: u = -rate (g + weightDecay x). Robbins and Monro (1951).
struct Sgd {
  static constexpr const char* NAME = "sgd";
  static constexpr Operand SOURCE = GRADIENT_OPERAND;
  enum { SLOTS = 0 };
  enum { RATE, WEIGHT_DECAY, COEFFICIENTS };
  static constexpr const char* slot(int) { return ""; }
  static constexpr const char* coefficient(int i) { return i == RATE ? "rate" : "weightDecay"; }

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T*, const T* c) {
    return -c[RATE] * (g + c[WEIGHT_DECAY] * x);
  }
};

// Heavy ball and Nesterov momentum without dampening, decay added to the gradient:
//   d = g + weightDecay x;  b <- momentum b + d;  u = -rate (gradientWeight d + bufferWeight b)
// with weights (0, 1) for heavy ball and (1, momentum) for Nesterov. Sutskever et al. (2013), section 2.
struct Momentum {
  static constexpr const char* NAME = "momentum";
  static constexpr Operand SOURCE = GRADIENT_OPERAND;
  enum { BUFFER, SLOTS };
  enum { RATE, WEIGHT_DECAY, MOMENTUM, GRADIENT_WEIGHT, BUFFER_WEIGHT, COEFFICIENTS };
  static constexpr const char* slot(int) { return "momentum"; }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"rate", "weightDecay", "momentum", "gradientWeight", "bufferWeight"};
    return names[i];
  }

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    const T d = g + c[WEIGHT_DECAY] * x;
    const T b = c[MOMENTUM] * state[BUFFER] + d;
    state[BUFFER] = b;
    return -c[RATE] * (c[GRADIENT_WEIGHT] * d + c[BUFFER_WEIGHT] * b);
  }
};

}  // namespace steptuner
