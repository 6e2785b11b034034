// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "rule.h"

namespace steptuner {

// AdaGrad: v <- v + d^2 with d = g + weightDecay x;  u = -rate d / (sqrt(v) + epsilon).
// Duchi, Hazan and Singer (2011), the diagonal form of algorithm 1.
struct AdaGrad {
  static constexpr const char* NAME = "adagrad";
  static constexpr Operand SOURCE = GRADIENT_OPERAND;
  enum { SQUARE, SLOTS };
  enum { RATE, WEIGHT_DECAY, EPSILON, COEFFICIENTS };
  static constexpr const char* slot(int) { return "square"; }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"rate", "weightDecay", "epsilon"};
    return names[i];
  }

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    const T d = g + c[WEIGHT_DECAY] * x;
    const T v = state[SQUARE] + d * d;
    state[SQUARE] = v;
    return -c[RATE] * (d / (squareRoot(v) + c[EPSILON]));
  }
};

}  // namespace steptuner
