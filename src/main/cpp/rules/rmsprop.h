// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "rule.h"

namespace steptuner {

// RMSProp: v <- alpha v + (1 - alpha) d^2 with d = g + weightDecay x;
//   u = -rate d / (sqrt(v + epsilonInside) + epsilonOutside)
// Tieleman and Hinton, Coursera lecture 6.5 (2012); one of the two epsilons is 0.
struct RmsProp : GradientRule {
  static constexpr Name NAME = "rmsprop";
  enum { SQUARE };
  static constexpr auto SLOTS = names("square");
  enum { RATE, WEIGHT_DECAY, ALPHA, ONE_MINUS_ALPHA, EPSILON_INSIDE, EPSILON_OUTSIDE };
  static constexpr auto COEFFICIENTS = names("rate", "weightDecay", "alpha", "oneMinusAlpha", "epsilonInside", "epsilonOutside");

  template <class T>
  STEPTUNER_HD static T direction(T g, T x, T& square, const T* c) {
    const T d = g + c[WEIGHT_DECAY] * x;
    square = c[ALPHA] * square + c[ONE_MINUS_ALPHA] * d * d;
    return d / (squareRoot(square + c[EPSILON_INSIDE]) + c[EPSILON_OUTSIDE]);
  }

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    return -c[RATE] * direction(g, x, state[SQUARE], c);
  }
};

// RMSProp whose direction d feeds a heavy ball: b <- momentum b + d;  u = -rate b.
struct RmsPropMomentum : GradientRule {
  static constexpr Name NAME = "rmsprop_momentum";
  enum { SQUARE, BUFFER };
  static constexpr auto SLOTS = names("square", "momentum");
  enum { MOMENTUM = decltype(RmsProp::COEFFICIENTS)::SIZE };
  static constexpr auto COEFFICIENTS = RmsProp::COEFFICIENTS + names("momentum");

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    const T d = RmsProp::direction(g, x, state[SQUARE], c);
    const T b = c[MOMENTUM] * state[BUFFER] + d;
    state[BUFFER] = b;
    return -c[RmsProp::RATE] * b;
  }
};

}  // namespace steptuner
