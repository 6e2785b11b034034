// SPDX-License-Identifier: Apache-2.0
//
// A sweep that reads the gradient, and sums |g|_1 of it as it is in memory beside what it sums already: one more sum, not one more word.
// For schedule refinement, which wants the L1 norm after rules like Adam. Its name is that of the sweep with "_l1" behind.
#pragma once
#include "rule.h"

namespace steptuner {

constexpr int lengthOf(const char* text) {
  int n = 0;
  while (text[n]) ++n;
  return n;
}

template <int LENGTH>
struct NameWithL1 {
  char text[LENGTH + 4];
};
template <class K>
constexpr NameWithL1<lengthOf(K::SWEEP)> nameWithL1() {
  NameWithL1<lengthOf(K::SWEEP)> name{};
  int n = 0;
  for (; K::SWEEP[n]; ++n) name.text[n] = K::SWEEP[n];
  for (int i = 0; i < 3; ++i) name.text[n + i] = "_l1"[i];
  return name;
}

template <class K>
constexpr int gradientOperand() {
  int o = 0;
  while (K::operand(o).place != GRADIENT) ++o;
  return o;
}

template <class K>
struct WithGradientL1 : K {
  static constexpr NameWithL1<lengthOf(K::SWEEP)> NAME = nameWithL1<K>();
  static constexpr const char* SWEEP = NAME.text;
  enum { G_AT = gradientOperand<K>() };
  enum { GRADIENT_L1 = K::SUMS, SUMS };
  static constexpr const char* sum(int i) { return i == GRADIENT_L1 ? "gradientL1" : K::sum(i); }

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    s[GRADIENT_L1] = absolute(r[G_AT]);
    K::template apply<T>(r, c, s);
  }
};

}  // namespace steptuner
