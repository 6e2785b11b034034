// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "../math/cube_root.h"
#include "rule.h"

namespace steptuner {

// MADGRAD, dual averaging with the cube root of a sum of squares, and momentum as an average of iterates. With d = g + weightDecay x
// and start = x at the first step (first = 1), what the slot holds later (first = 0):
//   v <- v + weight d^2;  s <- s + weight d;  z = start - s / (cbrt(v) + epsilon);  u = intake (z - x)
// weight = (rate + epsilon) sqrt(t), intake = 1 - momentum. Where the divisor is 0 there is no step.
// Defazio and Jelassi, "Adaptivity without Compromise" (2021), algorithm 1.
struct Madgrad : GradientRule {
  static constexpr Name NAME = "madgrad";
  static constexpr bool TIED = true;
  enum { SQUARE, SUM, START };
  static constexpr auto SLOTS = names("square", "sum", "start");
  enum { WEIGHT, WEIGHT_DECAY, EPSILON, INTAKE, FIRST };
  static constexpr auto COEFFICIENTS = names("weight", "weightDecay", "epsilon", "intake", "first");

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    const T d = g + c[WEIGHT_DECAY] * x;
    const T start = select(c[FIRST] > T(0), x, state[START]);
    const T v = state[SQUARE] + c[WEIGHT] * d * d;
    const T s = state[SUM] + c[WEIGHT] * d;
    state[START] = start;
    state[SQUARE] = v;
    state[SUM] = s;
    const T root = cubeRoot(v) + c[EPSILON];
    return c[INTAKE] * (start - select(root > T(0), s / root, root) - x);
  }

  // start <- x + s / (cbrt(v) + epsilon), so that z is x.
  template <class T>
  STEPTUNER_HD static void rebase(T x, T* state, const T* c) {
    const T root = cubeRoot(state[SQUARE]) + c[EPSILON];
    state[START] = x + select(root > T(0), state[SUM] / root, root);
  }
};

// Mirror MADGRAD, the mirror-descent form of the same: z is kept instead of the sum, and old squares fade. With d and first as above:
//   v <- squareRetention v + d^2;  z <- z - rate d / (cbrt(v) + epsilon);  u = intake (z - x)
// squareRetention = sqrt((t - 1) / t), rate = (rate + epsilon) cbrt(t). The form of the authors' release.
struct MirrorMadgrad : GradientRule {
  static constexpr Name NAME = "mirror_madgrad";
  static constexpr bool TIED = true;
  enum { SQUARE, POINT };
  static constexpr auto SLOTS = names("square", "point");
  enum { RATE, WEIGHT_DECAY, SQUARE_RETENTION, EPSILON, INTAKE, FIRST };
  static constexpr auto COEFFICIENTS = names("rate", "weightDecay", "squareRetention", "epsilon", "intake", "first");

  template <class T>
  STEPTUNER_HD static T update(T g, T x, T* state, const T* c) {
    const T d = g + c[WEIGHT_DECAY] * x;
    const T v = c[SQUARE_RETENTION] * state[SQUARE] + d * d;
    const T root = cubeRoot(v) + c[EPSILON];
    const T z = select(c[FIRST] > T(0), x, state[POINT]) - c[RATE] * select(root > T(0), d / root, root);
    state[SQUARE] = v;
    state[POINT] = z;
    return c[INTAKE] * (z - x);
  }

  // z <- x.
  template <class T>
  STEPTUNER_HD static void rebase(T x, T* state, const T*) {
    state[POINT] = x;
  }
};

}  // namespace steptuner
