// SPDX-License-Identifier: Apache-2.0
//
// D-Adaptation and Prodigy in the forms that their papers analyse: dual averaging and gradient descent. Learning-Rate-Free Learning by
// D-Adaptation, Defazio and Mishchenko (2023), algorithms 1 and 2; Prodigy, Mishchenko and Defazio (2023), algorithms 1 and 2. All four
// keep a weighted sum s of gradients and set x = x0 - factor s; they differ in the weights, the factor and the bound d, which are scalars.
//
// The step needs |g|^2 before it, and the sums of the step are those that the next d is made of. Where d is needed at once, the first
// sweep reads s too: hypergradient_observe, with s in the place of its direction, gives |g|^2, <g, s> and |s|^2, all as they are in memory.
// With them |s + gain g|^2 is known for every gain.
//
// Words per element: gradient_norm or hypergradient_observe 1 or 2; distance_apply 5, with the average 7.
#pragma once
#include "../core/kernel.h"
#include "../core/lists.h"
#include "../math/number.h"

namespace steptuner {

// s <- s + gain g, or 0 where keep is 0;  x <- x0 - factor s.     Sums <g, s> of the old s, and |s|^2 of the new one.
// AVERAGED: average <- retention average + intake x for the x before the step, which is x0 - oldFactor s and need not be read.
template <bool AVERAGED>
struct DistanceApply : Kernel {
  static constexpr Name SWEEP = AVERAGED ? "distance_apply_averaged" : "distance_apply";
  enum { G, SUM, REFERENCE, X, AVERAGE };
  static constexpr auto OPERANDS = operands(gradient(), state("sum", READ_WRITE), state("reference", READ), parameter(WRITE)) +
                                   when<AVERAGED>(operands(state("average", READ_WRITE)));
  enum { GAIN, KEEP, FACTOR, OLD_FACTOR, RETENTION, INTAKE };
  static constexpr auto COEFFICIENTS = names("gain", "keep", "factor") + when<AVERAGED>(names("oldFactor", "retention", "intake"));
  enum { GRADIENT_SUM, SUM_SQUARE };
  static constexpr auto SUMS = names("gradientSum", "sumSquare");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    const T sum = select(c[KEEP] > T(0), r[SUM] + c[GAIN] * r[G], T(0));
    s[GRADIENT_SUM] = r[G] * r[SUM];
    s[SUM_SQUARE] = sum * sum;
    if constexpr (AVERAGED) r[AVERAGE] = c[RETENTION] * r[AVERAGE] + c[INTAKE] * (r[REFERENCE] - c[OLD_FACTOR] * r[SUM]);
    r[SUM] = sum;
    r[X] = r[REFERENCE] - c[FACTOR] * sum;
  }
};

namespace families {
using distance = List<DistanceApply<false>, DistanceApply<true>>;
}

}  // namespace steptuner
