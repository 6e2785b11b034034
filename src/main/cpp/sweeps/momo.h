// SPDX-License-Identifier: Apache-2.0
//
// MoMo: Momentum Models for Adaptive Learning Rates, Schaipp, Ohana, Eickenberg, Defazio and Gower (2023), algorithms 1 (MoMo) and 2
// (MoMo-Adam): the O(d) half. The scalars (averages of losses and of <x, g>, the lower bound, the rate tau) are in Java.
//
//   observe  d' = retention d + gain g, and all sums that tau needs; nothing is written       MoMo 3 words per element, Adam 4
//   apply    d <- d';  x <- (scale x - rate d' / D) / divisor                                 MoMo 5 words, Adam 7
//
// D is 1 for MoMo, and the root of Adam's square, corrected for its bias, for MoMo-Adam. d' and the square are formed in both sweeps,
// from the same operands and so with the same bits.
#pragma once
#include "gradient_norm.h"

namespace steptuner {

// What both sweeps have, with or without Adam's square.
template <bool ADAM>
struct Momo : Kernel {
  static constexpr Name RULE = ADAM ? "adam" : "momentum";
  enum { G, X, AVERAGE, SQUARE };
  static constexpr auto SLOTS = names("momentum") + when<ADAM>(names("square"));
  enum { GRADIENT_SCALE, RETENTION, GAIN, SQUARE_RETENTION, SQUARE_GAIN, ROOT_CORRECTION, EPSILON };
  static constexpr auto COEFFICIENTS =
      names("gradientScale", "retention", "gain") + when<ADAM>(names("squareRetention", "squareGain", "rootCorrection", "epsilon"));

  // d' and, for Adam, the new square into r; returns d' / D.
  template <class T>
  STEPTUNER_HD static T direction(T* r, const T* c) {
    const T g = c[GRADIENT_SCALE] * r[G];
    const T average = c[RETENTION] * r[AVERAGE] + c[GAIN] * g;
    r[AVERAGE] = average;
    if constexpr (ADAM) {
      const T square = c[SQUARE_RETENTION] * r[SQUARE] + c[SQUARE_GAIN] * g * g;
      r[SQUARE] = square;
      return average / (squareRoot(square) * c[ROOT_CORRECTION] + c[EPSILON]);
    } else {
      return average;
    }
  }
};

// Sums |g|^2 (raw), <x, g>, <x, d'> and <d', d' / D>.
template <bool ADAM>
struct MomoObserve : Momo<ADAM> {
  using M = Momo<ADAM>;
  static constexpr Name SWEEP = "momo_observe";
  static constexpr auto OPERANDS = operands(gradient(), parameter(READ)) + states(M::SLOTS, READ);
  enum { GRADIENT_SQUARE, PARAMETER_GRADIENT, PARAMETER_AVERAGE, AVERAGE_SQUARE };
  static constexpr auto SUMS = names("gradientSquare", "parameterGradient", "parameterAverage", "averageSquare");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T direction = M::direction(r, c);
    s[GRADIENT_SQUARE] = r[M::G] * r[M::G];
    s[PARAMETER_GRADIENT] = r[M::X] * (c[M::GRADIENT_SCALE] * r[M::G]);
    s[PARAMETER_AVERAGE] = r[M::X] * r[M::AVERAGE];
    s[AVERAGE_SQUARE] = r[M::AVERAGE] * direction;
  }
};

template <bool ADAM>
struct MomoApply : Momo<ADAM> {
  using M = Momo<ADAM>;
  static constexpr Name SWEEP = "momo_apply";
  static constexpr auto OPERANDS = operands(gradient(), parameter(READ_WRITE)) + states(M::SLOTS, READ_WRITE);
  enum { SCALE = steptuner::COEFFICIENTS<M>, RATE, DIVISOR };
  static constexpr auto COEFFICIENTS = M::COEFFICIENTS + names("scale", "rate", "divisor");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T direction = M::direction(r, c);
    r[M::X] = (c[SCALE] * r[M::X] - c[RATE] * direction) / c[DIVISOR];
  }
};

namespace families {
using momo = List<MomoObserve<false>, WithGradientL1<MomoObserve<false>>, MomoApply<false>, MomoObserve<true>,
                  WithGradientL1<MomoObserve<true>>, MomoApply<true>>;
}

}  // namespace steptuner
