// SPDX-License-Identifier: Apache-2.0
//
// The base rules as the paper on MetaOptimize has them, where they differ from the usual ones (Sharifnassab, Salehkaleybar and Sutton, 2024).
// The coefficient `correction` is mu = (1 - discount) / (1 - discount^t):
// it turns a discounted sum of squares into a weighted mean. epsilon is inside of the root.
#pragma once
#include "rule.h"

namespace steptuner {

// u = -m with the old m; m <- momentum m + (1 - momentum) g.
struct PaperMomentum : GradientRule {
  static constexpr Name NAME = "momentum";
  enum { BUFFER };
  static constexpr auto SLOTS = names("momentum");
  enum { MOMENTUM, ONE_MINUS_MOMENTUM };
  static constexpr auto COEFFICIENTS = names("momentum", "oneMinusMomentum");

  template <class T>
  STEPTUNER_HD static T update(T g, T, T* state, const T* c) {
    const T m = state[BUFFER];
    state[BUFFER] = c[MOMENTUM] * m + c[ONE_MINUS_MOMENTUM] * g;
    return -m;
  }
};

// v <- discount v + g^2;  u = -g / sqrt(correction v + epsilon).
struct PaperRmsProp : GradientRule {
  static constexpr Name NAME = "rmsprop";
  enum { SQUARE };
  static constexpr auto SLOTS = names("square");
  enum { DISCOUNT, CORRECTION, EPSILON };
  static constexpr auto COEFFICIENTS = names("discount", "correction", "epsilon");

  template <class T>
  STEPTUNER_HD static T update(T g, T, T* state, const T* c) {
    const T v = c[DISCOUNT] * state[SQUARE] + g * g;
    state[SQUARE] = v;
    return -(g / squareRoot(c[CORRECTION] * v + c[EPSILON]));
  }
};

// m <- momentum m + g, a sum and not a mean; v as in RMSProp;  u = -m / sqrt(correction v + epsilon).
struct PaperAdam : GradientRule {
  static constexpr Name NAME = "adam";
  enum { MEAN, SQUARE };
  static constexpr auto SLOTS = names("momentum", "square");
  enum { MOMENTUM, DISCOUNT, CORRECTION, EPSILON };
  static constexpr auto COEFFICIENTS = names("momentum", "discount", "correction", "epsilon");

  template <class T>
  STEPTUNER_HD static T update(T g, T, T* state, const T* c) {
    const T m = c[MOMENTUM] * state[MEAN] + g;
    const T v = c[DISCOUNT] * state[SQUARE] + g * g;
    state[MEAN] = m;
    state[SQUARE] = v;
    return -(m / squareRoot(c[CORRECTION] * v + c[EPSILON]));
  }
};

}  // namespace steptuner
