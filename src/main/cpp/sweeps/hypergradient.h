// SPDX-License-Identifier: Apache-2.0
//
// Hypergradient descent: Baydin, Cornish, Martinez Rubio, Schmidt and Wood, "Online Learning Rate Adaptation with Hypergradient Descent"
// (2018), algorithms 4 to 6: the O(d) half. The rate of a step depends on <g, u> with the gradient of this step and the base rule's step u,
// at the rate 1, of the last one. So the sums come first, then the step, and nothing is written before the gradients have been seen.
//
// Words per element: observe 2, with a decay that is part of the gradient 3; apply 1 (g) + 2 (x) + 1 (u) + 2 per slot of the rule.
#pragma once
#include "../rules/rules.h"
#include "gradient_norm.h"

namespace steptuner {

// Sums |g|^2, <g, u>, |u|^2.
struct HypergradientObserve : Kernel {
  static constexpr Name SWEEP = "hypergradient_observe";
  enum { G, DIRECTION };
  static constexpr auto OPERANDS = operands(gradient(), state("direction", READ));
  enum { GRADIENT_SQUARE, GRADIENT_DIRECTION, DIRECTION_SQUARE };
  static constexpr auto SUMS = names("gradientSquare", "gradientDirection", "directionSquare");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T* s) {
    s[GRADIENT_SQUARE] = r[G] * r[G];
    s[GRADIENT_DIRECTION] = r[G] * r[DIRECTION];
    s[DIRECTION_SQUARE] = r[DIRECTION] * r[DIRECTION];
  }
};

// The same and <x, u>, <g, x>, |x|^2: what the sums are for g + weightDecay x is put together where clipping is known.
struct HypergradientObserveDecay : Kernel {
  using Plain = HypergradientObserve;
  static constexpr Name SWEEP = "hypergradient_observe_decay";
  enum { G, DIRECTION, X };
  static constexpr auto OPERANDS = Plain::OPERANDS + operands(parameter(READ));
  enum { PARAMETER_DIRECTION = steptuner::SUMS<Plain>, GRADIENT_PARAMETER, PARAMETER_SQUARE };
  static constexpr auto SUMS = Plain::SUMS + names("parameterDirection", "gradientParameter", "parameterSquare");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    Plain::apply(r, c, s);
    s[PARAMETER_DIRECTION] = r[X] * r[DIRECTION];
    s[GRADIENT_PARAMETER] = r[G] * r[X];
    s[PARAMETER_SQUARE] = r[X] * r[X];
  }
};

// x <- x + rate u, and u is kept.
template <class Rule>
struct HypergradientApply : Kernel {
  static constexpr Name SWEEP = "hypergradient_apply", RULE = Rule::NAME;
  enum { SOURCE, X, DIRECTION, STATE_BEGIN };
  static constexpr auto OPERANDS =
      operands(Rule::SOURCE, parameter(READ_WRITE), state("direction", WRITE)) + states(Rule::SLOTS, READ_WRITE);
  enum { GRADIENT_SCALE, RATE, RULE_BEGIN };
  static constexpr auto COEFFICIENTS = names("gradientScale", "learnedRate") + Rule::COEFFICIENTS;

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T u = Rule::template update<T>(c[GRADIENT_SCALE] * r[SOURCE], r[X], r + STATE_BEGIN, c + RULE_BEGIN);
    r[DIRECTION] = u;
    r[X] = r[X] + c[RATE] * u;
  }
};

namespace families {
using hypergradient =
    join<List<HypergradientObserve, WithGradientL1<HypergradientObserve>, HypergradientObserveDecay>, over<HypergradientApply, Rules>>;
}

}  // namespace steptuner
