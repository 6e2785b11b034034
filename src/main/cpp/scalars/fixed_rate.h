// SPDX-License-Identifier: Apache-2.0
//
// A rule at given rates has no scalars but those of the step: whether gradients are finite, and how they are clipped.
#pragma once
#include "scalars.h"

namespace steptuner {

struct FixedRateMachine : Machine {
  static constexpr Name TUNER = "fixed_rate";
  enum { SUPPLIED };
  static constexpr auto SETTINGS = names("supplied");
  static constexpr auto INPUTS = names("gradientSquare");
  enum { GRADIENT_SCALE };
  static constexpr auto SECOND = names("gradientScale");

  // An update of the trainer's own is taken as it is.
  STEPTUNER_HD static bool second(const ScopeView& scope, const SegmentView&, double* out) {
    out[GRADIENT_SCALE] = scope.settings[SUPPLIED] != 0 ? 1 : scope.step.gradientScale;
    return false;
  }
};

}  // namespace steptuner
