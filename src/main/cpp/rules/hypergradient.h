// SPDX-License-Identifier: Apache-2.0
//
// Hypergradient descent: Baydin, Cornish, Martinez Rubio, Schmidt and Wood, "Online Learning Rate Adaptation with Hypergradient Descent"
// (2018), algorithms 4 to 6: the O(d) half. The rate of a step hangs on <g, u> with the gradient of this step and the base rule's step u,
// at the rate 1, of the last one. So the sums come first, then the step, and nothing is written before the gradients have been seen.
//
// Words per element: observe 2, with a decay that is part of the gradient 3; apply 1 (g) + 2 (x) + 1 (u) + 2 per slot of the rule.
#pragma once
#include "rule.h"

namespace steptuner {

// Sums |g|^2, <g, u>, |u|^2.
struct HypergradientObserve {
  static constexpr const char* SWEEP = "hypergradient_observe";
  static constexpr const char* RULE = "";
  enum { G, DIRECTION, OPERANDS };
  enum { COEFFICIENTS = 0 };
  enum { GRADIENT_SQUARE, GRADIENT_DIRECTION, DIRECTION_SQUARE, SUMS };
  static constexpr Operand operand(int i) { return i == G ? GRADIENT_OPERAND : Operand{"direction", STATE, READ}; }
  static constexpr const char* coefficient(int) { return ""; }
  static constexpr const char* sum(int i) {
    constexpr const char* names[] = {"gradientSquare", "gradientDirection", "directionSquare"};
    return names[i];
  }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T* s) {
    s[GRADIENT_SQUARE] = r[G] * r[G];
    s[GRADIENT_DIRECTION] = r[G] * r[DIRECTION];
    s[DIRECTION_SQUARE] = r[DIRECTION] * r[DIRECTION];
  }
};

// The same and <x, u>, <g, x>, |x|^2: what the sums are for g + weightDecay x is put together where clipping is known.
struct HypergradientObserveDecay {
  static constexpr const char* SWEEP = "hypergradient_observe_decay";
  static constexpr const char* RULE = "";
  enum { G, DIRECTION, X, OPERANDS };
  enum { COEFFICIENTS = 0 };
  enum {
    GRADIENT_SQUARE,
    GRADIENT_DIRECTION,
    DIRECTION_SQUARE,
    PARAMETER_DIRECTION,
    GRADIENT_PARAMETER,
    PARAMETER_SQUARE,
    SUMS
  };
  static constexpr Operand operand(int i) {
    return i == X ? Operand{"parameter", PARAMETER, READ} : HypergradientObserve::operand(i);
  }
  static constexpr const char* coefficient(int) { return ""; }
  static constexpr const char* sum(int i) {
    constexpr const char* names[] = {"gradientSquare",     "gradientDirection", "directionSquare",
                                     "parameterDirection", "gradientParameter", "parameterSquare"};
    return names[i];
  }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    HypergradientObserve::apply(r, c, s);
    s[PARAMETER_DIRECTION] = r[X] * r[DIRECTION];
    s[GRADIENT_PARAMETER] = r[G] * r[X];
    s[PARAMETER_SQUARE] = r[X] * r[X];
  }
};

// x <- x + rate u, and u is kept.
template <class Rule>
struct HypergradientApply {
  static constexpr const char* SWEEP = "hypergradient_apply";
  static constexpr const char* RULE = Rule::NAME;
  enum { SOURCE, X, DIRECTION, STATE_BEGIN, OPERANDS = STATE_BEGIN + Rule::SLOTS };
  enum { GRADIENT_SCALE, RATE, RULE_BEGIN, COEFFICIENTS = RULE_BEGIN + Rule::COEFFICIENTS };
  enum { SUMS = 0 };
  static constexpr Operand operand(int i) {
    return i == SOURCE      ? Rule::SOURCE
           : i == X         ? Operand{"parameter", PARAMETER, READ_WRITE}
           : i == DIRECTION ? Operand{"direction", STATE, WRITE}
                            : Operand{Rule::slot(i - STATE_BEGIN), STATE, READ_WRITE};
  }
  static constexpr const char* coefficient(int i) {
    return i == GRADIENT_SCALE ? "gradientScale" : i == RATE ? "rate" : Rule::coefficient(i - RULE_BEGIN);
  }
  static constexpr const char* sum(int) { return ""; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T u = Rule::template update<T>(c[GRADIENT_SCALE] * r[SOURCE], r[X], r + STATE_BEGIN, c + RULE_BEGIN);
    r[DIRECTION] = u;
    r[X] = r[X] + c[RATE] * u;
  }
};

}  // namespace steptuner
