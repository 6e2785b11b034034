// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "rule.h"

namespace steptuner {

// Any base algorithm at all: the caller has written its step into a buffer, and u = rate * buffer.
struct Supplied : GradientRule {
  static constexpr Name NAME = "supplied";
  static constexpr Operand SOURCE = steptuner::update("update");
  enum { RATE };
  static constexpr auto COEFFICIENTS = names("rate");

  template <class T>
  STEPTUNER_HD static T update(T g, T, T*, const T* c) {
    return c[RATE] * g;
  }
};

}  // namespace steptuner
