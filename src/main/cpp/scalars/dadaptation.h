// SPDX-License-Identifier: Apache-2.0
//
// The scalars of D-Adaptation (DAdaptationScalars and DAdaptationOptimizer in Java), without bias correction and when x0 is known. A step
// is one sweep with the d that there is. Its sums make the d of the next step.
#pragma once
#include "scalars.h"

namespace steptuner {

struct DAdaptationMachine : Machine {
  enum { GROWTH_RATE, MAX_RATE, DISCOUNT, BOUNDED };
  static constexpr auto SETTINGS = names("growthRate", "maxRate", "retention", "boundedDecay");
  static constexpr auto INPUTS = names("gradientSquare");
  // r of the last step, and the factor of the group on what it sums.
  enum { KEPT_RATE, KEPT_SCALE };
  static constexpr auto KEPT = names("rate", "layerScale");
  static constexpr int SCRATCH = 1;  // how many segments had a positive r

  STEPTUNER_HD static void begin(const ScopeView& scope) { scope.scratch[0] = 0; }

  // What has the rate 0 has no part in the estimate, if it `freezes`.
  STEPTUNER_HD static void add(const ScopeView& scope, const SegmentView& segment, int sums, bool freezes, bool squares) {
    const double r = segment.kept[KEPT_RATE], scale = segment.kept[KEPT_SCALE];
    if (r == 0 && freezes) return;
    scope.late[0] = scope.late[0] + scale * (squares ? r * r : r) * segment.sums[0];
    for (int i = 1; i < sums; ++i) scope.late[i] = scope.late[i] + scale * segment.sums[i];
    if (r > 0) scope.scratch[0] = scope.scratch[0] + 1;
  }

  STEPTUNER_HD static bool moved(const ScopeView& scope) { return scope.scratch[0] > 0; }

  STEPTUNER_HD static void keep(const SegmentView& segment, double r, double scale) {
    segment.kept[KEPT_RATE] = r;
    segment.kept[KEPT_SCALE] = scale;
  }

  // An estimate that is not a number says nothing.
  STEPTUNER_HD static void raise(const ScopeView& scope, double& d, double estimate) {
    const double limited = java::min(estimate, scope.settings[GROWTH_RATE] * d);
    if (limited > d) d = java::min(limited, scope.settings[MAX_RATE]);
  }

  STEPTUNER_HD static bool bounds(const ScopeView& scope) { return scope.settings[BOUNDED] != 0; }
};

struct DAdaptationSgdMachine : DAdaptationMachine {
  static constexpr Name TUNER = "dadaptation_sgd";
  enum { D, NUMERATOR, FIRST_NORM, SUM_NORM, T };
  static constexpr auto STATE = names("d", "n", "g1_norm", "s_norm", "t");
  enum { GRADIENT_SUM, SUM_SQUARE };
  static constexpr auto LATE = names("gradientSum", "sumSquare");
  enum { RATE, LAYER_SCALE };
  static constexpr auto ROW = names("rate", "layerScale");
  enum { GRADIENT_SCALE, COUPLED_DECAY, SUM_GAIN, RETENTION, INTAKE };
  static constexpr auto SECOND = names("gradientScale", "coupledDecay", "sumGain", "retention", "intake");

  STEPTUNER_HD static void late(const ScopeView& scope, const SegmentView& segment, int sums) { add(scope, segment, sums, true, false); }

  STEPTUNER_HD static void settle(const ScopeView& scope) {
    if (scope.late[SUM_SQUARE] == 0) return;
    double* const state = scope.state;
    state[T] = state[T] + 1;
    state[NUMERATOR] = state[NUMERATOR] + scope.late[GRADIENT_SUM];
    state[SUM_NORM] = java::sqrt(scope.late[SUM_SQUARE]);
    raise(scope, state[D], 2 * state[NUMERATOR] / state[SUM_NORM]);
  }

  // The norm of the first gradient is over what has a positive rate.
  STEPTUNER_HD static void collect(const ScopeView& scope, const SegmentView& segment, int) {
    if (segment.row[RATE] > 0) scope.sums[0] = scope.sums[0] + segment.sums[0];
  }

  STEPTUNER_HD static void update(const ScopeView& scope) {
    if (scope.state[FIRST_NORM] == 0) scope.state[FIRST_NORM] = java::sqrt(scope.sums[0]) * java::abs(scope.step.gradientScale);
  }

  STEPTUNER_HD static bool moves(const ScopeView& scope) { return scope.step.rate > 0 && scope.state[FIRST_NORM] > 0; }

  STEPTUNER_HD static bool second(const ScopeView& scope, const SegmentView& segment, double* out) {
    const double norm = scope.state[FIRST_NORM];
    const double r = norm > 0 ? scope.state[D] * segment.row[RATE] / norm : 0;
    keep(segment, r, segment.row[LAYER_SCALE]);
    out[GRADIENT_SCALE] = scope.step.gradientScale;
    out[SUM_GAIN] = r;
    if (r != 0) return false;
    out[COUPLED_DECAY] = out[INTAKE] = 0;
    out[RETENTION] = 1;
    return false;
  }

  STEPTUNER_HD static double learnedScale(const ScopeView& scope) { return scope.state[D]; }
  STEPTUNER_HD static double effectiveRate(const ScopeView& scope, double learned) {
    const double norm = scope.state[FIRST_NORM];
    return scope.step.rate * (norm > 0 ? learned / norm : 0);
  }
};

// The forms of Adam and Lion, whose estimate is a discounted numerator over |s|_1.
struct DAdaptationAveragedMachine : DAdaptationMachine {
  enum { D, NUMERATOR, SUM_NORM, T };
  static constexpr auto STATE = names("d", "n", "s_norm", "t");

  STEPTUNER_HD static void settle(const ScopeView& scope) {
    const double product = scope.late[0], norm = scope.late[1], retention = scope.settings[DISCOUNT];
    double* const state = scope.state;
    if (norm == 0) return;
    state[T] = state[T] + 1;
    if (!moved(scope)) return;
    state[NUMERATOR] = retention * state[NUMERATOR] + (1 - retention) * product;
    state[SUM_NORM] = norm;
    raise(scope, state[D], state[NUMERATOR] / ((1 - retention) * norm));
  }

  STEPTUNER_HD static double learnedScale(const ScopeView& scope) { return scope.state[D]; }
};

struct DAdaptationAdamMachine : DAdaptationAveragedMachine {
  static constexpr Name TUNER = "dadaptation_adam";
  static constexpr auto LATE = names("gradientSum", "sumNorm");
  enum { RATE, LAYER_SCALE, BETA1, DECAY };
  static constexpr auto ROW = names("rate", "layerScale", "beta1", "decay");
  enum { GRADIENT_SCALE, COUPLED_DECAY, AVERAGE_RETENTION, AVERAGE_GAIN, SQUARE_RETENTION, SQUARE_GAIN, SUM_RETENTION, SUM_GAIN };
  enum { SHRINKAGE = SUM_GAIN + 1, STEP };
  static constexpr auto SECOND = names("gradientScale", "coupledDecay", "averageRetention", "averageGain", "squareRetention", "squareGain",
                                       "sumRetention", "sumGain", "shrinkage", "step");

  STEPTUNER_HD static void late(const ScopeView& scope, const SegmentView& segment, int sums) { add(scope, segment, sums, true, false); }

  STEPTUNER_HD static bool moves(const ScopeView& scope) { return scope.step.rate > 0; }

  STEPTUNER_HD static bool second(const ScopeView& scope, const SegmentView& segment, double* out) {
    const double* const row = segment.row;
    const double r = scope.state[D] * row[RATE];
    bool lowered = false;
    keep(segment, r, row[LAYER_SCALE]);
    out[GRADIENT_SCALE] = scope.step.gradientScale;
    out[AVERAGE_GAIN] = row[LAYER_SCALE] * r * (1 - row[BETA1]);
    out[SUM_GAIN] = r * (1 - scope.settings[DISCOUNT]);
    out[SHRINKAGE] = lowerShrinkage(row[DECAY] * r, bounds(scope), lowered);
    out[STEP] = r == 0 ? 0 : 1;
    if (r != 0) return lowered;
    out[COUPLED_DECAY] = out[SQUARE_GAIN] = 0;
    out[AVERAGE_RETENTION] = out[SQUARE_RETENTION] = out[SUM_RETENTION] = 1;
    return lowered;
  }
};

struct DAdaptationLionMachine : DAdaptationAveragedMachine {
  static constexpr Name TUNER = "dadaptation_lion";
  static constexpr auto LATE = names("updateSum", "sumNorm");
  enum { RATE, LAYER_SCALE, BETA2, DECAY };
  static constexpr auto ROW = names("rate", "layerScale", "beta2", "decay");
  enum { GRADIENT_SCALE, AVERAGE_GAIN, SUM_GAIN, STEP_RATE, SHRINKAGE };
  static constexpr auto SECOND = names("gradientScale", "averageGain", "sumGain", "rate", "shrinkage");

  STEPTUNER_HD static void late(const ScopeView& scope, const SegmentView& segment, int sums) { add(scope, segment, sums, false, false); }

  STEPTUNER_HD static bool second(const ScopeView& scope, const SegmentView& segment, double* out) {
    const double* const row = segment.row;
    const double r = scope.state[D] * row[RATE];
    bool lowered = false;
    keep(segment, r, row[LAYER_SCALE]);
    out[GRADIENT_SCALE] = scope.step.gradientScale;
    out[AVERAGE_GAIN] = r * (1 - row[BETA2]);
    out[SUM_GAIN] = r * (1 - scope.settings[DISCOUNT]);
    out[STEP_RATE] = r;
    out[SHRINKAGE] = lowerShrinkage(r * row[DECAY], bounds(scope), lowered);
    return lowered;
  }
};

// The forms of AdaGrad and Adan, whose estimate is (A - B) / |s|_1. Here B is discounted, or not.
struct DAdaptationWeightedMachine : DAdaptationMachine {
  enum { D, SUM_WEIGHTED, GRADIENT_WEIGHTED, SUM_NORM, T };
  static constexpr auto STATE = names("d", "A", "B", "s_norm", "t");
  static constexpr auto LATE = names("gradientWeighted", "sumWeighted", "sumNorm");

  STEPTUNER_HD static void late(const ScopeView& scope, const SegmentView& segment, int sums) { add(scope, segment, sums, false, true); }

  STEPTUNER_HD static double learnedScale(const ScopeView& scope) { return scope.state[D]; }
};

struct DAdaptationAdaGradMachine : DAdaptationWeightedMachine {
  static constexpr Name TUNER = "dadaptation_adagrad";
  enum { RATE, LAYER_SCALE };
  static constexpr auto ROW = names("rate", "layerScale");
  enum { GRADIENT_SCALE, SUM_GAIN };
  static constexpr auto SECOND = names("gradientScale", "sumGain");

  STEPTUNER_HD static void settle(const ScopeView& scope) {
    double* const state = scope.state;
    if (scope.late[2] == 0) return;
    state[T] = state[T] + 1;
    state[GRADIENT_WEIGHTED] = state[GRADIENT_WEIGHTED] + scope.late[0];
    state[SUM_WEIGHTED] = scope.late[1];
    state[SUM_NORM] = scope.late[2];
    if (moved(scope)) raise(scope, state[D], (state[SUM_WEIGHTED] - state[GRADIENT_WEIGHTED]) / state[SUM_NORM]);
  }

  STEPTUNER_HD static bool second(const ScopeView& scope, const SegmentView& segment, double* out) {
    const double r = scope.state[D] * segment.row[RATE];
    keep(segment, r, segment.row[LAYER_SCALE]);
    out[GRADIENT_SCALE] = scope.step.gradientScale;
    out[SUM_GAIN] = r;
    return false;
  }
};

struct DAdaptationAdanMachine : DAdaptationWeightedMachine {
  static constexpr Name TUNER = "dadaptation_adan";
  enum { RATE, LAYER_SCALE, BETA1, BETA2, DECAY, DECAY_FACTOR, PROXIMAL };
  static constexpr auto ROW = names("rate", "layerScale", "beta1", "beta2", "decay", "decayFactor", "proximal");
  enum { GRADIENT_SCALE, FIRST_STEP, AVERAGE_GAIN, DIFFERENCE_GAIN, SUM_GAIN, SHRINKAGE, STEP };
  static constexpr auto SECOND = names("gradientScale", "first", "averageGain", "differenceGain", "sumGain", "shrinkage", "step");

  STEPTUNER_HD static void settle(const ScopeView& scope) {
    const double retention = scope.settings[DISCOUNT];
    double* const state = scope.state;
    if (scope.late[2] == 0) return;
    state[T] = state[T] + 1;
    state[GRADIENT_WEIGHTED] = retention * state[GRADIENT_WEIGHTED] + (1 - retention) * scope.late[0];
    state[SUM_WEIGHTED] = scope.late[1];
    state[SUM_NORM] = scope.late[2];
    if (moved(scope)) raise(scope, state[D], (state[SUM_WEIGHTED] / (1 - retention) - state[GRADIENT_WEIGHTED]) / state[SUM_NORM]);
  }

  STEPTUNER_HD static bool second(const ScopeView& scope, const SegmentView& segment, double* out) {
    const double* const row = segment.row;
    const double r = scope.state[D] * row[RATE];
    const double shrinkage = r * row[DECAY] * row[DECAY_FACTOR];
    const bool proximal = row[PROXIMAL] != 0;
    const double divisor = proximal ? 1 + shrinkage : 1;
    bool lowered = false;
    keep(segment, r, row[LAYER_SCALE]);
    out[GRADIENT_SCALE] = scope.step.gradientScale;
    out[FIRST_STEP] = scope.state[T] == 0 ? 1 : 0;
    out[AVERAGE_GAIN] = r * (1 - row[BETA1]);
    out[DIFFERENCE_GAIN] = r * (1 - row[BETA2]);
    out[SUM_GAIN] = r * (1 - scope.settings[DISCOUNT]);
    out[SHRINKAGE] = proximal ? shrinkage / divisor : lowerShrinkage(shrinkage, bounds(scope), lowered);
    out[STEP] = 1 / divisor;
    return lowered;
  }
};

}  // namespace steptuner
