// SPDX-License-Identifier: Apache-2.0
//
// The scalars of Prodigy over Adam (ProdigyScalars and ProdigyOptimizer in Java), when x0 is known.
#pragma once
#include "scalars.h"

namespace steptuner {

struct ProdigyMachine : Machine {
  static constexpr Name TUNER = "prodigy";
  enum { BETA3, INITIAL, COEFFICIENT, GROWTH_RATE, MAX_RATE, SAFEGUARDED, MOMENTUM, LEAST_EPSILON, BOUNDED };
  static constexpr auto SETTINGS =
      names("beta3", "initialRate", "coefficient", "growthRate", "maxRate", "safeguardWarmup", "momentum", "leastEpsilon", "boundedDecay");
  enum { D, LARGEST, ESTIMATE, NUMERATOR, DENOMINATOR, T };
  static constexpr auto STATE = names("d", "d_max", "d_hat", "n", "s_norm", "t");
  enum { GRADIENT_SQUARE, PROGRESS, SUM_NORM };
  static constexpr auto INPUTS = names("gradientSquare", "progress", "sumNorm");
  enum { RATE, BETA1, BETA2, EPSILON, DECAY };
  static constexpr auto ROW = names("rate", "beta1", "beta2", "epsilon", "decay");
  enum { FIRST_SCALE, FIRST_GAIN };
  static constexpr auto FIRST = names("gradientScale", "sumGain");
  enum { GRADIENT_SCALE, COUPLED_DECAY, SUM_RETENTION, SUM_GAIN, SQUARE_RETENTION, SQUARE_GAIN, STEP_RATE, SHRINKAGE, STEP_EPSILON };
  enum { AVERAGE_RETENTION = STEP_EPSILON + 1, AVERAGE_GAIN };
  static constexpr auto SECOND = names("gradientScale", "coupledDecay", "sumRetention", "sumGain", "squareRetention", "squareGain", "rate",
                                       "shrinkage", "epsilon", "averageRetention", "averageGain");
  // d and d / d0 before the step; how many segments have a positive rate.
  enum { OLD_RATE, OLD_WEIGHT, MOVING };
  static constexpr int SCRATCH = 3;

  STEPTUNER_HD static void begin(const ScopeView& scope) {
    scope.scratch[OLD_RATE] = scope.state[D];
    scope.scratch[OLD_WEIGHT] = scope.state[D] / scope.settings[INITIAL];
    scope.scratch[MOVING] = 0;
  }

  STEPTUNER_HD static double stepRate(const ScopeView& scope, const SegmentView& segment) {
    return scope.scratch[OLD_RATE] * segment.row[RATE];
  }

  STEPTUNER_HD static double sumGain(const ScopeView& scope, double stepRate) {
    if (stepRate == 0) return 0;
    return scope.scratch[OLD_WEIGHT] * (scope.settings[SAFEGUARDED] != 0 ? scope.scratch[OLD_RATE] : stepRate);
  }

  STEPTUNER_HD static void first(const ScopeView& scope, const SegmentView& segment, double* out) {
    out[FIRST_SCALE] = scope.step.multiplier;
    out[FIRST_GAIN] = sumGain(scope, stepRate(scope, segment));
  }

  STEPTUNER_HD static void collect(const ScopeView& scope, const SegmentView& segment, int) {
    const double rate = stepRate(scope, segment);
    if (rate == 0) return;
    scope.sums[PROGRESS] = scope.sums[PROGRESS] + scope.scratch[OLD_WEIGHT] * rate * segment.sums[PROGRESS];
    scope.sums[SUM_NORM] = scope.sums[SUM_NORM] + segment.sums[SUM_NORM];
    scope.scratch[MOVING] = scope.scratch[MOVING] + 1;
  }

  STEPTUNER_HD static bool observe(const ScopeView& scope) {
    return java::isFinite(scope.sums[PROGRESS]) && java::isFinite(scope.sums[SUM_NORM]);
  }

  // Where no rate is positive |s|_1 is not looked at: s would only decay.
  STEPTUNER_HD static bool moves(const ScopeView& scope) { return scope.scratch[MOVING] != 0 && scope.sums[SUM_NORM] != 0; }

  STEPTUNER_HD static void update(const ScopeView& scope) {
    if (!moves(scope)) return;
    double &d = scope.state[D], &largest = scope.state[LARGEST];
    scope.state[T] = scope.state[T] + 1;
    const double next = scope.settings[BETA3] * scope.state[NUMERATOR] + scope.sums[PROGRESS];
    const double hat = scope.settings[COEFFICIENT] * next / scope.sums[SUM_NORM];
    if (java::isNan(hat)) return;
    scope.state[NUMERATOR] = next;
    scope.state[DENOMINATOR] = scope.sums[SUM_NORM];
    scope.state[ESTIMATE] = hat;
    if (d == scope.settings[INITIAL]) d = java::max(d, hat);
    largest = java::max(largest, hat);
    d = java::min(java::min(largest, d * scope.settings[GROWTH_RATE]), scope.settings[MAX_RATE]);
  }

  STEPTUNER_HD static bool second(const ScopeView& scope, const SegmentView& segment, double* out) {
    const double* const row = segment.row;
    const double d = scope.scratch[OLD_RATE], r = stepRate(scope, segment);
    out[GRADIENT_SCALE] = scope.step.gradientScale;
    if (!moves(scope) || r == 0) {
      for (int i = COUPLED_DECAY; i <= AVERAGE_GAIN; ++i) out[i] = 0;
      out[SUM_RETENTION] = out[SQUARE_RETENTION] = out[STEP_EPSILON] = out[AVERAGE_RETENTION] = 1;
      return false;
    }
    bool lowered = false;
    // Without a momentum the release steps along the new d times g.
    const double gain = row[BETA1] == 0 ? scope.state[D] : d * (1 - row[BETA1]);
    const bool momentum = scope.settings[MOMENTUM] != 0;
    out[SUM_RETENTION] = scope.settings[BETA3];
    out[SUM_GAIN] = sumGain(scope, r);
    out[SQUARE_RETENTION] = row[BETA2];
    out[SQUARE_GAIN] = d * d * (1 - row[BETA2]);
    out[STEP_EPSILON] = java::max(scope.state[D] * row[EPSILON], scope.settings[LEAST_EPSILON]);
    out[STEP_RATE] = momentum ? r : r * gain;
    out[SHRINKAGE] = lowerShrinkage(row[DECAY] * r, scope.settings[BOUNDED] != 0, lowered);
    out[AVERAGE_RETENTION] = row[BETA1];
    out[AVERAGE_GAIN] = gain;
    return lowered;
  }

  STEPTUNER_HD static double learnedScale(const ScopeView& scope) { return scope.state[D]; }
  STEPTUNER_HD static double effectiveRate(const ScopeView& scope, double) {
    return moves(scope) ? scope.step.rate * scope.scratch[OLD_RATE] : 0;
  }
};

}  // namespace steptuner
