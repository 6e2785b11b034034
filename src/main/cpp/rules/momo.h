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
#include "rule.h"

namespace steptuner {

enum { MOMO_G, MOMO_X, MOMO_AVERAGE, MOMO_SQUARE };

constexpr Operand momoOperand(int i, Access parameter, Access state) {
  return i == MOMO_G         ? GRADIENT_OPERAND
         : i == MOMO_X       ? Operand{"parameter", PARAMETER, parameter}
         : i == MOMO_AVERAGE ? Operand{"momentum", STATE, state}
                             : Operand{"square", STATE, state};
}

// The coefficients that both sweeps have, in their order, and those of the second one behind.
enum {
  MOMO_GRADIENT_SCALE,
  MOMO_RETENTION,
  MOMO_GAIN,
  MOMO_SQUARE_RETENTION,
  MOMO_SQUARE_GAIN,
  MOMO_ROOT_CORRECTION,
  MOMO_EPSILON
};
constexpr const char* momoCoefficient(int i) {
  constexpr const char* names[] = {"gradientScale", "retention", "gain", "squareRetention", "squareGain", "rootCorrection", "epsilon"};
  return names[i];
}

template <bool ADAM>
struct MomoFormula {
  enum { OPERANDS = ADAM ? MOMO_SQUARE + 1 : MOMO_SQUARE, COEFFICIENTS = ADAM ? MOMO_EPSILON + 1 : MOMO_SQUARE_RETENTION };

  // d' and, for Adam, the new square into r; returns d' / D.
  template <class T>
  STEPTUNER_HD static T direction(T* r, const T* c) {
    const T g = c[MOMO_GRADIENT_SCALE] * r[MOMO_G];
    const T average = c[MOMO_RETENTION] * r[MOMO_AVERAGE] + c[MOMO_GAIN] * g;
    r[MOMO_AVERAGE] = average;
    if constexpr (ADAM) {
      const T square = c[MOMO_SQUARE_RETENTION] * r[MOMO_SQUARE] + c[MOMO_SQUARE_GAIN] * g * g;
      r[MOMO_SQUARE] = square;
      return average / (squareRoot(square) * c[MOMO_ROOT_CORRECTION] + c[MOMO_EPSILON]);
    } else {
      return average;
    }
  }
};

// Sums |g|^2 (raw), <x, g>, <x, d'> and <d', d' / D>.
template <bool ADAM>
struct MomoObserve {
  static constexpr const char* SWEEP = "momo_observe";
  static constexpr const char* RULE = ADAM ? "adam" : "momentum";
  enum { OPERANDS = MomoFormula<ADAM>::OPERANDS, COEFFICIENTS = MomoFormula<ADAM>::COEFFICIENTS };
  enum { GRADIENT_SQUARE, PARAMETER_GRADIENT, PARAMETER_AVERAGE, AVERAGE_SQUARE, SUMS };
  static constexpr Operand operand(int i) { return momoOperand(i, READ, READ); }
  static constexpr const char* coefficient(int i) { return momoCoefficient(i); }
  static constexpr const char* sum(int i) {
    constexpr const char* names[] = {"gradientSquare", "parameterGradient", "parameterAverage", "averageSquare"};
    return names[i];
  }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T direction = MomoFormula<ADAM>::direction(r, c);
    s[GRADIENT_SQUARE] = r[MOMO_G] * r[MOMO_G];
    s[PARAMETER_GRADIENT] = r[MOMO_X] * (c[MOMO_GRADIENT_SCALE] * r[MOMO_G]);
    s[PARAMETER_AVERAGE] = r[MOMO_X] * r[MOMO_AVERAGE];
    s[AVERAGE_SQUARE] = r[MOMO_AVERAGE] * direction;
  }
};

template <bool ADAM>
struct MomoApply {
  static constexpr const char* SWEEP = "momo_apply";
  static constexpr const char* RULE = ADAM ? "adam" : "momentum";
  enum { OPERANDS = MomoFormula<ADAM>::OPERANDS };
  enum { SCALE = MomoFormula<ADAM>::COEFFICIENTS, RATE, DIVISOR, COEFFICIENTS };
  enum { SUMS = 0 };
  static constexpr Operand operand(int i) { return momoOperand(i, READ_WRITE, READ_WRITE); }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"scale", "rate", "divisor"};
    return i < SCALE ? momoCoefficient(i) : names[i - SCALE];
  }
  static constexpr const char* sum(int) { return ""; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T direction = MomoFormula<ADAM>::direction(r, c);
    r[MOMO_X] = (c[SCALE] * r[MOMO_X] - c[RATE] * direction) / c[DIVISOR];
  }
};

}  // namespace steptuner
