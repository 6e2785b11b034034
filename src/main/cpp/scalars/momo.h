// SPDX-License-Identifier: Apache-2.0
//
// The scalars of MoMo (MoMoScalars and MoMoOptimizer in Java). There is one scope, and the loss comes with the step.
#pragma once
#include "scalars.h"

namespace steptuner {

struct MoMoMachine : Machine {
  static constexpr Name TUNER = "momo";
  enum { ESTIMATE_BOUND, LEAST_BOUND, LEAST_LENGTH, MULTIPLIES, SHRINKS, BOUNDED };
  static constexpr auto SETTINGS = names("estimateBound", "leastBound", "leastLength", "multiplies", "shrinks", "boundedDecay");
  enum { LOSS, PRODUCT, BOUND, TAU, LIMIT, T };
  static constexpr auto STATE = names("loss_avg", "gamma", "lb", "tau", "tau_unlimited", "t");
  enum { GRADIENT_SQUARE, PARAMETER_GRADIENT, PARAMETER_AVERAGE, AVERAGE_SQUARE };
  static constexpr auto INPUTS = names("gradientSquare", "parameterGradient", "parameterAverage", "averageSquare");
  // What averages keep, and take in; what they are of true averages after the step; the weight decay.
  enum { RETENTION, GAIN, CORRECTION, DECAY };
  static constexpr auto ROW = names("retention", "gain", "correction", "decay");
  enum { FIRST_SCALE };
  static constexpr auto FIRST = names("gradientScale");
  enum { GRADIENT_SCALE, SCALE, STEP_RATE, DIVISOR };
  static constexpr auto SECOND = names("gradientScale", "scale", "rate", "divisor");
  enum { AT_BOUND = DECAY + 1 };  // after the row
  static constexpr int SCRATCH = AT_BOUND + 1;

  STEPTUNER_HD static void first(const ScopeView& scope, const SegmentView&, double* out) { out[FIRST_SCALE] = scope.step.multiplier; }

  // The row is the same for all segments.
  STEPTUNER_HD static void collect(const ScopeView& scope, const SegmentView& segment, int inputs) {
    Machine::collect(scope, segment, inputs);
    for (int i = 0; i <= DECAY; ++i) scope.scratch[i] = segment.row[i];
  }

  STEPTUNER_HD static bool observe(const ScopeView& scope) {
    bool finite = true;
    for (int i = 0; i <= AVERAGE_SQUARE; ++i) finite = finite && java::isFinite(scope.sums[i]);
    return finite;
  }

  STEPTUNER_HD static void update(const ScopeView& scope) {
    const double* const row = scope.scratch;
    const double leastBound = scope.settings[LEAST_BOUND], rate = scope.step.rate, length = scope.sums[AVERAGE_SQUARE];
    const double along = scope.sums[PARAMETER_AVERAGE];
    double &loss = scope.state[LOSS], &product = scope.state[PRODUCT], &bound = scope.state[BOUND], &tau = scope.state[TAU];
    loss = row[RETENTION] * loss + row[GAIN] * scope.step.loss;
    product = row[RETENTION] * product + row[GAIN] * scope.sums[PARAMETER_GRADIENT];
    scope.state[T] = scope.state[T] + 1;
    const double c = row[CORRECTION];
    const double k = 1 + rate * row[DECAY];
    const bool estimates = scope.settings[ESTIMATE_BOUND] != 0;
    if (estimates) {
      const double most = k * loss + along - k * product;
      if (most < k * c * bound) bound = java::max(most / (2 * k * c), leastBound);
    }
    const double above = java::max(k * (loss - c * bound) + along - k * product, 0);
    scope.scratch[AT_BOUND] = above == 0;
    const double limit = length > scope.settings[LEAST_LENGTH] ? above / length : 0;
    scope.state[LIMIT] = limit;
    tau = java::min(rate / c, limit);
    if (estimates) bound = java::max((loss + along - product - tau / 2 * length) / c, leastBound);
  }

  STEPTUNER_HD static bool second(const ScopeView& scope, const SegmentView& segment, double* out) {
    const double by = scope.step.rate * segment.row[DECAY];
    const double k = 1 + by;
    const bool multiplies = scope.settings[MULTIPLIES] != 0, shrinks = scope.settings[SHRINKS] != 0;
    bool lowered = false;
    out[GRADIENT_SCALE] = scope.step.multiplier;
    out[SCALE] = multiplies ? 1 - lowerShrinkage(by, scope.settings[BOUNDED] != 0, lowered) : shrinks ? 1 / k : 1;
    out[STEP_RATE] = scope.state[TAU];
    out[DIVISOR] = multiplies || shrinks ? 1 : k;
    return lowered;
  }

  STEPTUNER_HD static double learnedScale(const ScopeView& scope) { return scope.state[TAU]; }
  STEPTUNER_HD static double effectiveRate(const ScopeView& scope, double learned) { return scope.scratch[CORRECTION] * learned; }
  STEPTUNER_HD static bool atBound(const ScopeView& scope) { return scope.scratch[AT_BOUND] != 0; }
};

}  // namespace steptuner
