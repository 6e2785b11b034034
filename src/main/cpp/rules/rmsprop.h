// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "rule.h"

namespace steptuner {

// RMSProp: v <- alpha v + (1 - alpha) d^2 with d = g + weightDecay x;
//   u = -rate d / (sqrt(v + epsilonInside) + epsilonOutside)
// Tieleman and Hinton, Coursera lecture 6.5 (2012); one of the two epsilons is 0.
struct RmsProp {
  static constexpr const char* NAME = "rmsprop";
  static constexpr Operand SOURCE = GRADIENT_OPERAND;
  enum { SQUARE, SLOTS };
  enum { RATE, WEIGHT_DECAY, ALPHA, ONE_MINUS_ALPHA, EPSILON_INSIDE, EPSILON_OUTSIDE, COEFFICIENTS };
  static constexpr const char* slot(int) { return "square"; }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"rate", "weightDecay", "alpha", "oneMinusAlpha", "epsilonInside", "epsilonOutside"};
    return names[i];
  }

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
struct RmsPropMomentum {
  static constexpr const char* NAME = "rmsprop_momentum";
  static constexpr Operand SOURCE = GRADIENT_OPERAND;
  enum { SQUARE, BUFFER, SLOTS };
  enum { MOMENTUM = RmsProp::COEFFICIENTS, COEFFICIENTS };
  static constexpr const char* slot(int i) { return i == SQUARE ? "square" : "momentum"; }
  static constexpr const char* coefficient(int i) { return i == MOMENTUM ? "momentum" : RmsProp::coefficient(i); }

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    const T d = RmsProp::direction(g, x, state[SQUARE], c);
    const T b = c[MOMENTUM] * state[BUFFER] + d;
    state[BUFFER] = b;
    return -c[RmsProp::RATE] * b;
  }
};

}  // namespace steptuner
