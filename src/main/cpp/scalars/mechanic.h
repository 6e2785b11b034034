// SPDX-License-Identifier: Apache-2.0
//
// The scalars of Mechanic (MechanicScalars and MechanicOptimizer in Java), where it observes and then applies.
#pragma once
#include "scalars.h"

namespace steptuner {

struct MechanicMachine : Machine {
  static constexpr Name TUNER = "mechanic";
  enum { VARIANT, INITIAL_SCALE, EPSILON, DECAY, DISCOUNTED, BOUNDED };
  static constexpr auto SETTINGS = names("variant", "initialScale", "epsilon", "decay", "discounted", "boundedDecay");
  enum Variant { TORCH, OPTAX, THEORETICAL };
  static constexpr auto LIST = names("betas");
  enum { H, KEPT_DELTA, KEPT_SQUARE };
  static constexpr auto STATE = names("h", "deltaParameter", "parameterSquare");
  enum { S, R, V, M, Q };
  static constexpr auto LISTS = names("s", "r", "v", "m", "q");
  enum { GRADIENT_SQUARE, DELTA_GRADIENT };
  static constexpr auto INPUTS = names("gradientSquare", "deltaGradient");
  enum { LATE_DELTA, LATE_SQUARE };
  static constexpr auto LATE = names("deltaParameter", "parameterSquare");
  enum { RATE, RULE_DECAY };
  static constexpr auto ROW = names("rate", "decay");
  enum { GRADIENT_SCALE, OLD_SCALE, NEW_SCALE, RETENTION, SHRINKAGE };
  static constexpr auto SECOND = names("gradientScale", "oldScale", "newScale", "retention", "shrinkage");
  static constexpr bool BY_SCOPE = true;
  enum { BEFORE, FEEDBACK };
  static constexpr int SCRATCH = 2;

  STEPTUNER_HD static double scale(const ScopeView& scope) {
    double sum = 0;
    for (int i = 0; i < scope.length; ++i) sum = sum + scope.lists[S * scope.length + i];
    return java::max(0, sum);
  }

  STEPTUNER_HD static void settle(const ScopeView& scope) {
    scope.state[KEPT_DELTA] = scope.late[LATE_DELTA];
    scope.state[KEPT_SQUARE] = scope.late[LATE_SQUARE];
  }

  STEPTUNER_HD static void begin(const ScopeView& scope) { scope.scratch[BEFORE] = scale(scope); }

  STEPTUNER_HD static double retention(const ScopeView& scope) {
    const double before = scope.scratch[BEFORE];
    return scope.settings[DISCOUNTED] != 0 ? before / (before + scope.settings[EPSILON]) : 1;
  }

  STEPTUNER_HD static bool observe(const ScopeView& scope) {
    const double* const settings = scope.settings;
    const bool decays = settings[DECAY] != 0;
    const bool finite = java::isFinite(scope.sums[DELTA_GRADIENT]) && (!decays || java::isFinite(scope.state[KEPT_DELTA]));
    const double by = scope.step.gradientScale;
    const double kept = retention(scope);
    const double gradientSquare = scope.sums[GRADIENT_SQUARE] * (by * by);
    const double deltaGradient = scope.sums[DELTA_GRADIENT] * by * kept;
    const double deltaPoint = scope.state[KEPT_DELTA] * kept;
    const double pointSquare = scope.state[KEPT_SQUARE];
    double h = deltaGradient;
    if (decays && pointSquare == 0) h = deltaGradient + 0.0;
    if (decays && pointSquare != 0) {
      const double length = java::sqrt(pointSquare) + settings[EPSILON];
      const double c = settings[DECAY] * scope.scratch[BEFORE] * java::sqrt(gradientSquare) / length;
      h = deltaGradient + c * deltaPoint;
    }
    scope.scratch[FEEDBACK] = h;
    return finite && java::isFinite(h);
  }

  STEPTUNER_HD static double clip(double value, double bound) { return java::min(bound, java::max(-bound, value)); }

  STEPTUNER_HD static void update(const ScopeView& scope) {
    const double h = scope.scratch[FEEDBACK];
    if (!java::isFinite(h)) return;
    scope.state[H] = h;
    const int n = scope.length;
    const double start = scope.settings[INITIAL_SCALE], epsilon = scope.settings[EPSILON];
    const int variant = static_cast<int>(scope.settings[VARIANT]);
    for (int i = 0; i < n; ++i) {
      const double beta = scope.list[i];
      double &s = scope.lists[S * n + i], &r = scope.lists[R * n + i], &v = scope.lists[V * n + i];
      double &m = scope.lists[M * n + i], &q = scope.lists[Q * n + i];
      if (variant == TORCH) {
        m = java::max(beta * m, java::abs(h));
        v = beta * beta * v + h * h;
        r = java::max(0, beta * r - s * h);
        s = (m * start / n + r) / (java::sqrt(v) + epsilon);
      } else if (variant == OPTAX) {
        const double clipped = clip(h, m);
        m = java::max(beta * m, java::abs(h) + epsilon);
        v = beta * beta * v + h * h;
        r = beta * r - clipped * s;
        s = (start / n * m + java::max(0, r)) / (java::sqrt(v) + epsilon);
      } else {
        const double clipped = clip(h, m);
        m = java::max(beta * m, java::abs(h));
        q = beta * q + clipped;
        r = beta * r - s * clipped;
        v = beta * beta * v + clipped * clipped;
        const double root = java::sqrt(4 * m * m + v);
        const double confidence = root > 0 ? java::min(1, java::max(0, -q / root)) : 0;
        s = root > 0 ? (start + r) / (root + epsilon) * confidence : 0;
      }
    }
  }

  STEPTUNER_HD static bool second(const ScopeView& scope, const SegmentView& segment, double* out) {
    const double now = scale(scope);
    out[GRADIENT_SCALE] = scope.step.gradientScale;
    out[OLD_SCALE] = scope.scratch[BEFORE];
    out[NEW_SCALE] = now;
    out[RETENTION] = retention(scope);
    return scope.settings[BOUNDED] != 0 && boundShrinkage(segment.row[RATE], now, segment.row[RULE_DECAY], out[SHRINKAGE]);
  }

  STEPTUNER_HD static double learnedScale(const ScopeView& scope) { return scale(scope); }
};

}  // namespace steptuner
