// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "rule.h"

namespace steptuner {

// Stochastic primal averaging: gradient steps of z, while x averages the z. The slot holds x - z and not z: it starts at 0, and a step
// does not depend on where x is. With d = g + weightDecay x:
//   e = displacement + rate d  (x - z after z's step);  u = -weight e;  displacement <- oneMinusWeight e
// Defazio (2020).
struct Spa : GradientRule {
  static constexpr Name NAME = "spa";
  enum { DISPLACEMENT };
  static constexpr auto SLOTS = names("displacement");
  enum { RATE, WEIGHT_DECAY, WEIGHT, ONE_MINUS_WEIGHT };
  static constexpr auto COEFFICIENTS = names("rate", "weightDecay", "weight", "oneMinusWeight");

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    const T d = g + c[WEIGHT_DECAY] * x;
    const T e = state[DISPLACEMENT] + c[RATE] * d;
    state[DISPLACEMENT] = c[ONE_MINUS_WEIGHT] * e;
    return -c[WEIGHT] * e;
  }
};

}  // namespace steptuner
