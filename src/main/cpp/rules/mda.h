// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "rule.h"

namespace steptuner {

// Modernized dual averaging: MADGRAD without its divisor. With d = g + weightDecay x and start = x at the first step (first = 1), what
// the slot holds later (first = 0):
//   s <- s + weight d;  z = start - inverseRoot s;  u = intake (z - x)
// weight = rate sqrt(t), inverseRoot = 1 / sqrt(t), intake = 1 - momentum. Jelassi and Defazio (2020).
struct Mda : GradientRule {
  static constexpr Name NAME = "mda";
  static constexpr bool TIED = true, PACED = true;  // z goes back to its start as 1 / sqrt(t)
  enum { SUM, START };
  static constexpr auto SLOTS = names("sum", "start");
  enum { WEIGHT, WEIGHT_DECAY, INVERSE_ROOT, INTAKE, FIRST };
  static constexpr auto COEFFICIENTS = names("weight", "weightDecay", "inverseRoot", "intake", "first");

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    const T d = g + c[WEIGHT_DECAY] * x;
    const T start = select(c[FIRST] > T(0), x, state[START]);
    const T s = state[SUM] + c[WEIGHT] * d;
    state[START] = start;
    state[SUM] = s;
    return c[INTAKE] * (start - c[INVERSE_ROOT] * s - x);
  }

  // start <- x + inverseRoot s, so that z is x.
  template <class T>
  STEPTUNER_HD static void rebase(T x, T* state, const T* c) {
    state[START] = x + c[INVERSE_ROOT] * state[SUM];
  }
};

}  // namespace steptuner
