// SPDX-License-Identifier: Apache-2.0
//
// Prodigy (see prodigy.h) over Schedule-Free AdamW: the rule's z makes Prodigy's steps, and the gradient is taken at y, the parameter,
// between z and the average x of all z. After Meta's submission to the AlgoPerf benchmark.
//
//   observe  prodigy_observe_stored, whose displacement is x0 - z:  3 words
//   apply    s <- s';  v <- beta2 v + squareGain g^2;  d = gain g / (sqrt(v) + epsilon) + weightDecay y;  z <- z - rate d;
//            b = z - y and y as in rules/schedule_free.h:  11 words
//
// STORED: y is rebuilt from x0, x0 - z and b, and loses nothing in types of few bits. Otherwise y takes its own steps, and there is no x0.
#pragma once
#include "../rules/schedule_free.h"
#include "prodigy.h"

namespace steptuner {

template <bool STORED>
struct ProdigyApplyScheduleFree : Kernel {
  using Step = ScheduleFreeSgd;
  static constexpr Name SWEEP = STORED ? "prodigy_apply_stored" : "prodigy_apply_accumulated", RULE = ScheduleFreeAdamW::NAME;
  enum { G, X, DISPLACEMENT, SUM, OFFSET, SQUARE, REFERENCE };
  static constexpr auto OPERANDS = operands(gradient(), parameter(STORED ? WRITE : READ_WRITE)) +
                                   states(names("displacement", "sum", "offset", "square"), READ_WRITE) +
                                   when<STORED>(operands(state("reference", READ)));
  enum { GRADIENT_SCALE, SUM_RETENTION, SUM_GAIN, SQUARE_RETENTION, SQUARE_GAIN, GAIN, EPSILON, RATE, STEP_BEGIN };
  static constexpr auto COEFFICIENTS =
      names("gradientScale", "sumRetention", "sumGain", "squareRetention", "squareGain", "gain", "epsilon", "rate") + Step::COEFFICIENTS;

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T*) {
    const T g = c[GRADIENT_SCALE] * r[G];
    r[SUM] = c[SUM_RETENTION] * r[SUM] + c[SUM_GAIN] * g;
    const T square = c[SQUARE_RETENTION] * r[SQUARE] + c[SQUARE_GAIN] * g * g;
    r[SQUARE] = square;
    T y;
    if constexpr (STORED)
      y = r[REFERENCE] - (r[DISPLACEMENT] + r[OFFSET]);
    else
      y = r[X];
    const T direction = c[GAIN] * g / (squareRoot(square) + c[EPSILON]);
    const T step = Step::template update<T>(direction, y, r + OFFSET, c + STEP_BEGIN);
    const T displacement = r[DISPLACEMENT] + c[RATE] * (direction + c[STEP_BEGIN + Step::WEIGHT_DECAY] * y);
    r[DISPLACEMENT] = displacement;
    if constexpr (STORED)
      r[X] = r[REFERENCE] - (displacement + r[OFFSET]);
    else
      r[X] = y + step;
  }
};

namespace families {
using prodigy_schedule_free = List<ProdigyApplyScheduleFree<true>, ProdigyApplyScheduleFree<false>>;
}

}  // namespace steptuner
