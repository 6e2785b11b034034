// SPDX-License-Identifier: Apache-2.0
//
// MoMo: Momentum Models for Adaptive Learning Rates, Schaipp, Ohana, Eickenberg, Defazio and Gower (2023), algorithms 1 (MoMo) and 2
// (MoMo-Adam), and the model before them with another diagonal D: the O(d) half. The scalars (averages of losses and of <x, g>, the lower
// bound, the rate tau) are in Java.
//
//   observe  d' = retention d + gain g, and all sums that tau needs; nothing is written       without a root 3 words per element, with 4
//   apply    d <- d';  x <- (scale x - rate d' / D) / divisor                                 without a root 5 words, with 7
//
// D is 1 for MoMo; the root of Adam's square, corrected for its bias, for MoMo-Adam; sqrt(square + epsilonInside) + epsilon for squares as
// RMSProp and AdaGrad have them. d' and the square are formed in both sweeps, from the same operands and so with the same bits.
#pragma once
#include "gradient_norm.h"

namespace steptuner {

// What D is made of.
enum class MomoRoot { NONE, CORRECTED, PLAIN };

// What both sweeps have, with or without squares.
template <MomoRoot ROOT>
struct Momo : Kernel {
  static constexpr bool DIVIDES = ROOT != MomoRoot::NONE, CORRECTS = ROOT == MomoRoot::CORRECTED;
  static constexpr Name RULE = CORRECTS ? "adam" : DIVIDES ? "rmsprop" : "momentum";
  enum { G, X, AVERAGE, SQUARE };
  static constexpr auto SLOTS = names("momentum") + when<DIVIDES>(names("square"));
  enum { GRADIENT_SCALE, RETENTION, GAIN, SQUARE_RETENTION, SQUARE_GAIN, ROOT_CORRECTION, EPSILON_INSIDE = ROOT_CORRECTION, EPSILON };
  static constexpr auto COEFFICIENTS =
      names("gradientScale", "retention", "gain") +
      when<DIVIDES>(names("squareRetention", "squareGain", CORRECTS ? "rootCorrection" : "epsilonInside", "epsilon"));

  // d' and, where D has a root, the new square into r; returns d' / D.
  template <class T>
  STEPTUNER_HD static T direction(T* r, const T* c) {
    const T g = c[GRADIENT_SCALE] * r[G];
    const T average = c[RETENTION] * r[AVERAGE] + c[GAIN] * g;
    r[AVERAGE] = average;
    if constexpr (DIVIDES) {
      const T square = c[SQUARE_RETENTION] * r[SQUARE] + c[SQUARE_GAIN] * g * g;
      r[SQUARE] = square;
      const T root = CORRECTS ? squareRoot(square) * c[ROOT_CORRECTION] : squareRoot(square + c[EPSILON_INSIDE]);
      return average / (root + c[EPSILON]);
    } else {
      return average;
    }
  }
};

// Sums |g|^2 (raw), <x, g>, <x, d'> and <d', d' / D>.
template <MomoRoot ROOT>
struct MomoObserve : Momo<ROOT> {
  using M = Momo<ROOT>;
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

template <MomoRoot ROOT>
struct MomoApply : Momo<ROOT> {
  using M = Momo<ROOT>;
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
template <MomoRoot ROOT>
using MomoOver = List<MomoObserve<ROOT>, WithGradientL1<MomoObserve<ROOT>>, MomoApply<ROOT>>;
using momo = join<MomoOver<MomoRoot::NONE>, MomoOver<MomoRoot::CORRECTED>, MomoOver<MomoRoot::PLAIN>>;
}

}  // namespace steptuner
