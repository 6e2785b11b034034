// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "rule.h"

namespace steptuner {

// Schedule-Free SGD and AdamW. Steps of the base rule move z, gradients are taken at y, the parameter, and x averages the z:
//   z' = z - rate d;  x' = (1 - c) x + c z';  y' = (1 - beta1) z' + beta1 x'
// x is not stored: x = y + (1 - 1 / beta1) (z - y). Nor is z, but b = z - y, which depends on no place and is small, so that it keeps its
// digits. For b and y the same says:
//   u  = c b - rate (1 - beta1 (1 - c)) d
//   b <- (1 - c) b - rate beta1 (1 - c) d
// averaging = c, offsetRetention = 1 - c, offsetRate = rate beta1 (1 - c), parameterRate = rate (1 - beta1 (1 - c)).
// Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky (2024), algorithm 1 and its SGD form, as released.
struct ScheduleFree : GradientRule {
  enum { OFFSET };
  enum { AVERAGING, OFFSET_RETENTION, OFFSET_RATE, PARAMETER_RATE, WEIGHT_DECAY, DIRECTION_BEGIN };
  static constexpr auto STEP_COEFFICIENTS = names("averaging", "offsetRetention", "offsetRate", "parameterRate", "weightDecay");

  template <class T>
  STEPTUNER_HD static T step(T direction, T x, T* state, const T* c) {
    const T d = direction + c[WEIGHT_DECAY] * x;
    const T b = state[OFFSET];
    state[OFFSET] = c[OFFSET_RETENTION] * b - c[OFFSET_RATE] * d;
    return c[AVERAGING] * b - c[PARAMETER_RATE] * d;
  }
};

// d = g + weightDecay y.
struct ScheduleFreeSgd : ScheduleFree {
  static constexpr Name NAME = "schedule_free_sgd";
  static constexpr auto SLOTS = names("offset");
  static constexpr auto COEFFICIENTS = STEP_COEFFICIENTS;

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    return step(g, x, state, c);
  }
};

// v <- beta2 v + (1 - beta2) g^2;  d = g / (sqrt(v) rootCorrection + epsilon) + weightDecay y.
struct ScheduleFreeAdamW : ScheduleFree {
  static constexpr Name NAME = "schedule_free_adamw";
  enum { SQUARE = OFFSET + 1 };
  static constexpr auto SLOTS = names("offset", "square");
  enum { BETA2 = DIRECTION_BEGIN, ONE_MINUS_BETA2, ROOT_CORRECTION, EPSILON };
  static constexpr auto COEFFICIENTS = STEP_COEFFICIENTS + names("beta2", "oneMinusBeta2", "rootCorrection", "epsilon");

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    const T v = c[BETA2] * state[SQUARE] + c[ONE_MINUS_BETA2] * g * g;
    state[SQUARE] = v;
    return step(g / (squareRoot(v) * c[ROOT_CORRECTION] + c[EPSILON]), x, state, c);
  }
};

}  // namespace steptuner
