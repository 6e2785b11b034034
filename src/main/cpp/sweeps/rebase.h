// SPDX-License-Identifier: Apache-2.0
//
// Where x has been written by others, or was left alone while scalars went on: stored points from which a tuner or a rule rebuilds x, or to
// which it leads x back, are put where they fit x as it is. Then the next step starts at x. Also sums over x and over slots that a tuner
// keeps from step to step, for when the tensors that they belong to have changed. Nothing here reads a gradient.
//
// Where x is what would be rebuilt, nothing changes by a bit.
//
// Words per element: reference_behind 4, with an offset 5; distance_moved 6; dadaptation_moved 5; rule_moved, rule_returned 1 and 2 per
// slot of the rule; parameter_products 2; parameter_distance 2; sum_norms 1, weighted 2.
#pragma once
#include "../rules/rules.h"

namespace steptuner {

// `same` where a and b are equal, otherwise `other`; NaN equals nothing.
template <class T>
STEPTUNER_HD T whereEqual(T a, T b, T same, T other) {
  const T any = a + b;
  const T known = select(any > T(-1), same, select(any < T(1), same, other));
  return select(a > b, other, select(a < b, other, known));
}

// x = reference + factor way: reference <- x - factor way.
struct ReferenceBehind : Kernel {
  static constexpr Name SWEEP = "reference_behind";
  enum { X, WAY, REFERENCE };
  static constexpr auto OPERANDS = operands(parameter(READ), state("way", READ), state("reference", READ_WRITE));
  enum { FACTOR };
  static constexpr auto COEFFICIENTS = names("factor");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T way = c[FACTOR] * r[WAY];
    r[REFERENCE] = whereEqual(r[X], r[REFERENCE] + way, r[REFERENCE], r[X] - way);
  }
};

// The same for Prodigy over Schedule-Free: x = reference - (displacement + offset).
struct ReferenceBehindOffset : Kernel {
  static constexpr Name SWEEP = "reference_behind_offset";
  enum { X, DISPLACEMENT, OFFSET, REFERENCE };
  static constexpr auto OPERANDS =
      operands(parameter(READ), state("displacement", READ), state("offset", READ), state("reference", READ_WRITE));

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T*) {
    const T way = r[DISPLACEMENT] + r[OFFSET];
    r[REFERENCE] = whereEqual(r[X], r[REFERENCE] - way, r[REFERENCE], r[X] + way);
  }
};

// x = reference + factor sum, and an average of such x: both go where x went.
struct DistanceMoved : Kernel {
  static constexpr Name SWEEP = "distance_moved";
  enum { X, SUM, REFERENCE, AVERAGE };
  static constexpr auto OPERANDS = operands(parameter(READ), state("sum", READ)) + states(names("reference", "average"), READ_WRITE);
  enum { FACTOR };
  static constexpr auto COEFFICIENTS = names("factor");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T way = c[FACTOR] * r[SUM];
    const T reference = whereEqual(r[X], r[REFERENCE] + way, r[REFERENCE], r[X] - way);
    r[AVERAGE] = whereEqual(reference, r[REFERENCE], r[AVERAGE], r[AVERAGE] + (reference - r[REFERENCE]));
    r[REFERENCE] = reference;
  }
};

// The point to which D-Adaptation over AdaGrad leads x: reference <- x + sum / (sqrt(square) + epsilon).
struct DAdaptAdaGradMoved : Kernel {
  static constexpr Name SWEEP = "dadaptation_moved", RULE = "adagrad";
  enum { X, SUM, SQUARE, REFERENCE };
  static constexpr auto OPERANDS = operands(parameter(READ), state("sum", READ), state("square", READ), state("reference", READ_WRITE));
  enum { EPSILON };
  static constexpr auto COEFFICIENTS = names("epsilon");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T root = squareRoot(r[SQUARE]) + c[EPSILON];
    const T way = select(root > T(0), r[SUM] / root, root);
    r[REFERENCE] = whereEqual(r[X], r[REFERENCE] - way, r[REFERENCE], r[X] + way);
  }
};

// The rule's own point, with the coefficients of the last step.
template <class Rule>
struct RuleMoved : Kernel {
  static constexpr Name SWEEP = "rule_moved", RULE = Rule::NAME;
  enum { X, STATE_BEGIN };
  static constexpr auto OPERANDS = operands(parameter(READ)) + states(Rule::SLOTS, READ_WRITE);
  static constexpr auto COEFFICIENTS = Rule::COEFFICIENTS;

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    Rule::template rebase<T>(r[X], r + STATE_BEGIN, c);
  }
};

// The same for a tensor that has been left out of steps, whose numbers went on.
template <class Rule>
struct RuleReturned : RuleMoved<Rule> {
  static constexpr Name SWEEP = "rule_returned";
};

template <class Rule>
struct IsTied {
  static constexpr bool value = Rule::TIED;
};
template <class Rule>
struct IsPaced {
  static constexpr bool value = Rule::PACED;
};

// Sums <x, u> and |x|^2.
struct ParameterProducts : Kernel {
  static constexpr Name SWEEP = "parameter_products";
  enum { X, DIRECTION };
  static constexpr auto OPERANDS = operands(parameter(READ), state("direction", READ));
  enum { PARAMETER_DIRECTION, PARAMETER_SQUARE };
  static constexpr auto SUMS = names("parameterDirection", "parameterSquare");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T* s) {
    s[PARAMETER_DIRECTION] = r[X] * r[DIRECTION];
    s[PARAMETER_SQUARE] = r[X] * r[X];
  }
};

// Sums |x - reference|^2.
struct ParameterDistance : Kernel {
  static constexpr Name SWEEP = "parameter_distance";
  enum { X, REFERENCE };
  static constexpr auto OPERANDS = operands(parameter(READ), state("reference", READ));
  enum { DISTANCE_SQUARE };
  static constexpr auto SUMS = names("distanceSquare");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T* s) {
    const T way = r[X] - r[REFERENCE];
    s[DISTANCE_SQUARE] = way * way;
  }
};

// Sums |s|_1 and |s|^2. SLICED: every period-th element of a tensor counts, as in prodigy.h.
template <bool SLICED>
struct SumNorms : Kernel {
  static constexpr Name SWEEP = SLICED ? "sum_norms_sliced" : "sum_norms";
  enum { SUM, SELECTED };
  static constexpr auto OPERANDS = operands(state("sum", READ)) + when<SLICED>(operands(selection()));
  enum { PERIOD };
  static constexpr auto COEFFICIENTS = when<SLICED>(names("period"));
  enum { NORM, SQUARE };
  static constexpr auto SUMS = names("norm", "square");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T* s) {
    T sum = r[SUM];
    if constexpr (SLICED) sum = select(r[SELECTED] > T(0), sum, T(0));
    s[NORM] = absolute(sum);
    s[SQUARE] = sum * sum;
  }
};

// Sums <s, s / (sqrt(square) + epsilon)> and |s|_1, as dadaptation.h does over AdaGrad.
struct SumNormsWeighted : Kernel {
  static constexpr Name SWEEP = "sum_norms_weighted";
  enum { SUM, SQUARE };
  static constexpr auto OPERANDS = states(names("sum", "square"), READ);
  enum { EPSILON };
  static constexpr auto COEFFICIENTS = names("epsilon");
  enum { WEIGHTED, NORM };
  static constexpr auto SUMS = names("weighted", "norm");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T root = squareRoot(r[SQUARE]) + c[EPSILON];
    s[WEIGHTED] = select(root > T(0), r[SUM] * r[SUM] / root, root);
    s[NORM] = absolute(r[SUM]);
  }
};

namespace families {
using rebase = join<List<ReferenceBehind, ReferenceBehindOffset, DistanceMoved, DAdaptAdaGradMoved, ParameterProducts, ParameterDistance,
                         SumNorms<false>, SumNorms<true>, SumNormsWeighted>,
                    over<RuleMoved, those<IsTied, Rules>>, over<RuleReturned, those<IsPaced, Rules>>>;
}

}  // namespace steptuner
