// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "rule.h"

namespace steptuner {

// Any base algorithm at all: the caller has written its step into a buffer, and u = rate * buffer.
struct Supplied {
  static constexpr const char* NAME = "supplied";
  static constexpr Operand SOURCE = UPDATE_OPERAND;
  enum { SLOTS = 0 };
  enum { RATE, COEFFICIENTS };
  static constexpr const char* slot(int) { return ""; }
  static constexpr const char* coefficient(int) { return "rate"; }

  template <class T>
  STEPTUNER_HD static T update(T g, T, T*, const T* c) {
    return c[RATE] * g;
  }
};

}  // namespace steptuner
