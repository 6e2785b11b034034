// SPDX-License-Identifier: Apache-2.0
//
// The scalars of MetaOptimize (MetaScalars and MetaOptimizer in Java) with step sizes that elements share, and without a curvature: z comes
// from the only sweep that writes, and the next step begins with it.
#pragma once
#include "../math/exponential.h"
#include "scalars.h"

namespace steptuner {

enum class MetaRule { SGD, RMSPROP, ADAM, LION };

template <MetaRule META>
struct MetaOptimizeMachine : Machine {
  static constexpr bool MOMENTUM = META == MetaRule::ADAM || META == MetaRule::LION;
  static constexpr bool SQUARED = META == MetaRule::ADAM || META == MetaRule::RMSPROP;
  static constexpr Name TUNER = Name("metaoptimize_by_") + (META == MetaRule::SGD       ? "sgd"
                                                            : META == MetaRule::RMSPROP ? "rmsprop"
                                                            : META == MetaRule::ADAM    ? "adam"
                                                                                        : "lion");
  enum { PACKAGED, ALPHA, BETA1, BETA2, INSIDE_ROOT, OUTSIDE_ROOT, META_STEP_SIZE, EPSILON, LEAST, MOST, LARGEST_CHANGE, GAMMA, BOUNDED };
  static constexpr auto SETTINGS = names("packaged", "alpha", "beta1", "beta2", "insideRoot", "outsideRoot", "metaStepSize", "epsilon",
                                         "least", "most", "largestChange", "gamma", "boundedDecay");
  enum { BETA, Z, M, V = M + (MOMENTUM ? 1 : 0) };
  static constexpr auto STATE = names("beta", "z") + when<MOMENTUM>(names("m")) + when<SQUARED>(names("v"));
  // Of the meta rule's averages, in the step that was made last.
  enum { KEPT_MEAN, KEPT_SQUARE };
  static constexpr auto KEPT = names("meanCorrection", "squareCorrection");
  static constexpr auto INPUTS = names("gradientSquare");
  enum { TRACE_GRADIENT };
  static constexpr auto LATE = names("traceGradient");
  enum { RATE, DECAY, MEAN_CORRECTION, SQUARE_CORRECTION };
  static constexpr auto ROW = names("rate", "decay", "meanCorrection", "squareCorrection");
  enum { GRADIENT_SCALE, LEARNED_RATE, LEARNED_SHRINKAGE, RETENTION };
  static constexpr auto SECOND = names("gradientScale", "learnedRate", "learnedShrinkage", "retention");
  enum { MEAN, SQUARE };
  static constexpr int SCRATCH = 2;

  // All segments have the same corrections.
  STEPTUNER_HD static void late(const ScopeView& scope, const SegmentView& segment, int sums) {
    Machine::late(scope, segment, sums);
    scope.scratch[MEAN] = segment.kept[KEPT_MEAN];
    scope.scratch[SQUARE] = segment.kept[KEPT_SQUARE];
  }

  STEPTUNER_HD static void settle(const ScopeView& scope) {
    const double z = scope.late[TRACE_GRADIENT];
    scope.state[Z] = z;
    if (!java::isFinite(z * z)) return;
    const double* const settings = scope.settings;
    const double most = settings[LARGEST_CHANGE];
    const double change = settings[META_STEP_SIZE] * (settings[PACKAGED] != 0 ? packaged(scope, z) : paperCode(scope, z));
    scope.state[BETA] = held(scope.state[BETA] + held(change, -most, most), settings[LEAST], settings[MOST]);
  }

  STEPTUNER_HD static double paperCode(const ScopeView& scope, double z) {
    const double alpha = scope.settings[ALPHA], beta1 = scope.settings[BETA1], beta2 = scope.settings[BETA2];
    if constexpr (META == MetaRule::SGD) return -z;
    if constexpr (META == MetaRule::RMSPROP) {
      double& v = scope.state[V];
      v = alpha * v + z * z;
      return -z / java::sqrt(scope.scratch[SQUARE] * v + scope.settings[EPSILON]);
    }
    double& m = scope.state[M];
    if constexpr (META == MetaRule::ADAM) {
      double& v = scope.state[V];
      m = beta1 * m + z;
      v = beta2 * v + z * z;
      return -m / java::sqrt(scope.scratch[SQUARE] * v + scope.settings[EPSILON]);
    }
    const double blend = beta1 * m + (1 - beta1) * z;
    m = beta2 * m + (1 - beta2) * z;
    return -java::signum(blend);
  }

  STEPTUNER_HD static double packaged(const ScopeView& scope, double z) {
    const double alpha = scope.settings[ALPHA], beta1 = scope.settings[BETA1], beta2 = scope.settings[BETA2];
    const double inside = scope.settings[INSIDE_ROOT], outside = scope.settings[OUTSIDE_ROOT];
    if constexpr (META == MetaRule::SGD) return z;
    if constexpr (META == MetaRule::RMSPROP) {
      double& v = scope.state[V];
      v = alpha * v + (1 - alpha) * z * z;
      return inside > 0 ? z / java::sqrt(v + inside) : ratio(z, java::sqrt(v) + outside);
    }
    double& m = scope.state[M];
    if constexpr (META == MetaRule::ADAM) {
      double& v = scope.state[V];
      m = beta1 * m + (1 - beta1) * z;
      v = beta2 * v + (1 - beta2) * z * z;
      return ratio(m / scope.scratch[MEAN], java::sqrt(v / scope.scratch[SQUARE]) + outside);
    }
    m = beta2 * m + (1 - beta2) * z;
    return java::signum(beta1 * m + (1 - beta1) * z);
  }

  STEPTUNER_HD static double ratio(double a, double b) { return b == 0 ? 0 : a / b; }

  STEPTUNER_HD static double held(double value, double least, double most) { return java::min(most, java::max(least, value)); }

  STEPTUNER_HD static bool second(const ScopeView& scope, const SegmentView& segment, double* out) {
    const double alpha = segment.row[RATE] * learnedScale(scope);
    bool lowered = false;
    const double shrinkage = lowerShrinkage(alpha * segment.row[DECAY], scope.settings[BOUNDED] != 0, lowered);
    out[GRADIENT_SCALE] = scope.step.gradientScale;
    out[LEARNED_RATE] = alpha;
    out[LEARNED_SHRINKAGE] = shrinkage;
    out[RETENTION] = scope.settings[GAMMA] * (1 - shrinkage);
    segment.kept[KEPT_MEAN] = segment.row[MEAN_CORRECTION];
    segment.kept[KEPT_SQUARE] = segment.row[SQUARE_CORRECTION];
    return lowered;
  }

  STEPTUNER_HD static double learnedScale(const ScopeView& scope) { return exponential(scope.state[BETA]); }
};

}  // namespace steptuner
