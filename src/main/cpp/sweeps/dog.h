// SPDX-License-Identifier: Apache-2.0
//
// Distance over gradients: Ivgi, Hinder and Carmon, "DoG is SGD's Best Friend" (2023); Khaled, Mishchenko and Jin, "DoWG Unleashed" (2023):
// the step, which also sums how far x is from its start x0 afterwards. The next step needs that distance, and so has no need of a pass over
// x for it. What is known of the gradient comes from gradient_norm.h.
//
// Words per element: 5 (g, x, x - x0); recomputed 4 (g, x, x0); 2 more with the average of iterates.
#pragma once
#include "../core/lists.h"
#include "../rules/sgd.h"

namespace steptuner {

// x <- x + u, the rule's step; sums |x - x0|^2. The way x - x0 is the sum of the steps, or RECOMPUTED from x0 and the new x.
// AVERAGED: average <- averageRetention average + averageGain x, with the new x.
template <bool RECOMPUTED, bool AVERAGED>
struct DogApply : Kernel {
  static constexpr Name SWEEP = Name(RECOMPUTED ? "dog_apply_recomputed" : "dog_apply") + (AVERAGED ? "_averaged" : ""), RULE = Sgd::NAME;
  enum { G, X, WAY, REFERENCE = WAY, AVERAGE };
  static constexpr auto OPERANDS =
      operands(gradient(), parameter(READ_WRITE), RECOMPUTED ? state("reference", READ) : state("displacement", READ_WRITE)) +
      when<AVERAGED>(operands(state("average", READ_WRITE)));
  enum { GRADIENT_SCALE, RULE_BEGIN, AVERAGE_RETENTION = RULE_BEGIN + decltype(Sgd::COEFFICIENTS)::SIZE, AVERAGE_GAIN };
  static constexpr auto COEFFICIENTS =
      names("gradientScale") + Sgd::COEFFICIENTS + when<AVERAGED>(names("averageRetention", "averageGain"));
  enum { DISTANCE_SQUARE };
  static constexpr auto SUMS = names("distanceSquare");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T u = Sgd::update<T>(c[GRADIENT_SCALE] * r[G], r[X], nullptr, c + RULE_BEGIN);
    const T x = r[X] + u;
    const T way = RECOMPUTED ? x - r[REFERENCE] : r[WAY] + u;
    s[DISTANCE_SQUARE] = way * way;
    if constexpr (!RECOMPUTED) r[WAY] = way;
    if constexpr (AVERAGED) r[AVERAGE] = c[AVERAGE_RETENTION] * r[AVERAGE] + c[AVERAGE_GAIN] * x;
    r[X] = x;
  }
};

namespace families {
using dog = List<DogApply<false, false>, DogApply<false, true>, DogApply<true, false>, DogApply<true, true>>;
}

}  // namespace steptuner
