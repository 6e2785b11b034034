// SPDX-License-Identifier: Apache-2.0
//
// What tuners need that look at the loss along the base rule's step u, and not only at the gradient: Roulet, Agarwala, Grill, Swirszcz,
// Blondel and Pedregosa, "Stepping on the Edge: Curvature Aware Learning Rate Tuners" (2024); Retsinas, Sfikas, Filntisis and Maragos,
// "Newton-Based Trainable Learning Rate" (2023). The rates are found in Java; here are the passes over memory.
//
// Words per element: direction 3 (g, x, u) + 1 per slot of the rule; trial 3; newton_window 5; vector_products 2; vector_combination 4;
// vector_precondition 3.
#pragma once
#include "rule.h"

namespace steptuner {

constexpr Operand DIRECTION_READ = {"direction", STATE, READ};

// u, the rule's step at the rate of its coefficients. The rule's state is read only: the sweep that makes the step forms u again, from the
// same operands and so with the same bits. Sums |g|^2 and <g, u> with the gradient as it is in memory, |u|^2, |x|^2.
template <class Rule>
struct Direction {
  static constexpr const char* SWEEP = "direction";
  static constexpr const char* RULE = Rule::NAME;
  enum { SOURCE, X, DIRECTION, STATE_BEGIN, OPERANDS = STATE_BEGIN + Rule::SLOTS };
  enum { GRADIENT_SCALE, RULE_BEGIN, COEFFICIENTS = RULE_BEGIN + Rule::COEFFICIENTS };
  enum { GRADIENT_SQUARE, GRADIENT_DIRECTION, DIRECTION_SQUARE, PARAMETER_SQUARE, SUMS };
  static constexpr Operand operand(int i) {
    return i == SOURCE      ? Rule::SOURCE
           : i == X         ? Operand{"parameter", PARAMETER, READ}
           : i == DIRECTION ? Operand{"direction", STATE, WRITE}
                            : Operand{Rule::slot(i - STATE_BEGIN), STATE, READ};
  }
  static constexpr const char* coefficient(int i) { return i < RULE_BEGIN ? "gradientScale" : Rule::coefficient(i - RULE_BEGIN); }
  static constexpr const char* sum(int i) {
    constexpr const char* names[] = {"gradientSquare", "gradientDirection", "directionSquare", "parameterSquare"};
    return names[i];
  }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T u = Rule::template update<T>(c[GRADIENT_SCALE] * r[SOURCE], r[X], r + STATE_BEGIN, c + RULE_BEGIN);
    r[DIRECTION] = u;
    s[GRADIENT_SQUARE] = r[SOURCE] * r[SOURCE];
    s[GRADIENT_DIRECTION] = r[SOURCE] * u;
    s[DIRECTION_SQUARE] = u * u;
    s[PARAMETER_SQUARE] = r[X] * r[X];
  }
};

// x <- reference + rate u; at a rate of 0 the reference itself, whatever u is and with the sign of its zeros.
struct Trial {
  static constexpr const char* SWEEP = "trial";
  static constexpr const char* RULE = "";
  enum { X, REFERENCE, DIRECTION, OPERANDS };
  enum { RATE, COEFFICIENTS };
  enum { SUMS = 0 };
  static constexpr Operand operand(int i) {
    return i == X ? Operand{"parameter", PARAMETER, WRITE} : i == REFERENCE ? Operand{"reference", STATE, READ} : DIRECTION_READ;
  }
  static constexpr const char* coefficient(int) { return "rate"; }
  static constexpr const char* sum(int) { return ""; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T moved = r[REFERENCE] + c[RATE] * r[DIRECTION];
    r[X] = select(c[RATE] > T(0), moved, select(c[RATE] < T(0), moved, r[REFERENCE]));
  }
};

// The way of a window of steps, u' = inverseRate (reference - x), beside that of the window before, u: sums <u, u'>, |u|^2, |u'|^2. Then
// u <- u' and reference <- x.
struct NewtonWindow {
  static constexpr const char* SWEEP = "newton_window";
  static constexpr const char* RULE = "";
  enum { X, REFERENCE, WAY, OPERANDS };
  enum { INVERSE_RATE, COEFFICIENTS };
  enum { PRODUCT, BEFORE_SQUARE, NOW_SQUARE, SUMS };
  static constexpr Operand operand(int i) {
    return i == X ? Operand{"parameter", PARAMETER, READ} : Operand{i == REFERENCE ? "reference" : "way", STATE, READ_WRITE};
  }
  static constexpr const char* coefficient(int) { return "inverseRate"; }
  static constexpr const char* sum(int i) {
    constexpr const char* names[] = {"product", "beforeSquare", "nowSquare"};
    return names[i];
  }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T way = c[INVERSE_RATE] * (r[REFERENCE] - r[X]);
    s[PRODUCT] = r[WAY] * way;
    s[BEFORE_SQUARE] = r[WAY] * r[WAY];
    s[NOW_SQUARE] = way * way;
    r[REFERENCE] = r[X];
    r[WAY] = way;
  }
};

// <a, b>, |a|^2, |b|^2.
struct VectorProducts {
  static constexpr const char* SWEEP = "vector_products";
  static constexpr const char* RULE = "";
  enum { A, B, OPERANDS };
  enum { COEFFICIENTS = 0 };
  enum { PRODUCT, A_SQUARE, B_SQUARE, SUMS };
  static constexpr Operand operand(int i) { return {i == A ? "a" : "b", STATE, READ}; }
  static constexpr const char* coefficient(int) { return ""; }
  static constexpr const char* sum(int i) {
    constexpr const char* names[] = {"product", "aSquare", "bSquare"};
    return names[i];
  }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T* s) {
    s[PRODUCT] = r[A] * r[B];
    s[A_SQUARE] = r[A] * r[A];
    s[B_SQUARE] = r[B] * r[B];
  }
};

// c <- x a + y b + z c; sums |c|^2.
struct VectorCombination {
  static constexpr const char* SWEEP = "vector_combination";
  static constexpr const char* RULE = "";
  enum { A, B, C, OPERANDS };
  enum { X, Y, Z, COEFFICIENTS };
  enum { SQUARE, SUMS };
  static constexpr Operand operand(int i) {
    return i == C ? Operand{"c", STATE, READ_WRITE} : Operand{i == A ? "a" : "b", STATE, READ};
  }
  static constexpr const char* coefficient(int i) { return i == X ? "x" : i == Y ? "y" : "z"; }
  static constexpr const char* sum(int) { return "square"; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    r[C] = c[X] * r[A] + c[Y] * r[B] + c[Z] * r[C];
    s[SQUARE] = r[C] * r[C];
  }
};

// b <- a / sqrt(P) with P = factor (sqrt(square + epsilonInside) rootCorrection + epsilonOutside), what RMSProp or Adam divides by.
struct VectorPrecondition {
  static constexpr const char* SWEEP = "vector_precondition";
  static constexpr const char* RULE = "";
  enum { A, B, SQUARE, OPERANDS };
  enum { FACTOR, ROOT_CORRECTION, EPSILON_INSIDE, EPSILON_OUTSIDE, COEFFICIENTS };
  enum { SUMS = 0 };
  static constexpr Operand operand(int i) {
    return i == B ? Operand{"b", STATE, WRITE} : Operand{i == A ? "a" : "square", STATE, READ};
  }
  static constexpr const char* coefficient(int i) {
    constexpr const char* names[] = {"factor", "rootCorrection", "epsilonInside", "epsilonOutside"};
    return names[i];
  }
  static constexpr const char* sum(int) { return ""; }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T root = squareRoot(r[SQUARE] + c[EPSILON_INSIDE]) * c[ROOT_CORRECTION] + c[EPSILON_OUTSIDE];
    r[B] = r[A] / squareRoot(c[FACTOR] * root);
  }
};

}  // namespace steptuner
