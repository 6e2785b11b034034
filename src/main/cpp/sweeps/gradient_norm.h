// SPDX-License-Identifier: Apache-2.0
//
// Norms of the gradient: as a sweep of its own, and as one more sum of a sweep that reads the gradient anyhow.
#pragma once
#include "../core/lists.h"
#include "../rules/rule.h"

namespace steptuner {

// |g|^2, raw: what the non-finite guard and global-norm clipping need before a sweep that cannot be taken back. 1 word per element.
struct GradientNorm : Kernel {
  static constexpr Name SWEEP = "gradient_norm";
  enum { G };
  static constexpr auto OPERANDS = operands(gradient());
  enum { GRADIENT_SQUARE };
  static constexpr auto SUMS = names("gradientSquare");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T* s) {
    s[GRADIENT_SQUARE] = r[G] * r[G];
  }
};

// The same and <g, x>, |x|^2: what |g + weightDecay x|^2 is put together of where clipping is known. 2 words per element.
struct GradientNormDecay : Kernel {
  static constexpr Name SWEEP = "gradient_norm_decay";
  enum { G, X };
  static constexpr auto OPERANDS = operands(gradient(), parameter(READ));
  enum { GRADIENT_SQUARE, GRADIENT_PARAMETER, PARAMETER_SQUARE };
  static constexpr auto SUMS = names("gradientSquare", "gradientParameter", "parameterSquare");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T*, T* s) {
    s[GRADIENT_SQUARE] = r[G] * r[G];
    s[GRADIENT_PARAMETER] = r[G] * r[X];
    s[PARAMETER_SQUARE] = r[X] * r[X];
  }
};

// A sweep that reads the gradient, and sums |g|_1 of it as it is in memory beside what it sums already: one more sum, not one more word.
// For schedule refinement, which wants the L1 norm after rules like Adam. Its name is that of the sweep with "_l1" behind.
template <class K>
constexpr int gradientOperand() {
  int o = 0;
  while (K::OPERANDS[o].place != GRADIENT) ++o;
  return o;
}

template <class K>
struct WithGradientL1 : K {
  static constexpr Name SWEEP = K::SWEEP + "_l1";
  enum { G_AT = gradientOperand<K>() };
  enum { GRADIENT_L1 = steptuner::SUMS<K> };
  static constexpr auto SUMS = K::SUMS + names("gradientL1");

  template <class T>
  STEPTUNER_HD static void apply(T* r, const T* c, T* s) {
    s[GRADIENT_L1] = absolute(r[G_AT]);
    K::template apply<T>(r, c, s);
  }
};

namespace families {
using gradient_norm = List<GradientNorm, WithGradientL1<GradientNorm>, GradientNormDecay, WithGradientL1<GradientNormDecay>>;
}

}  // namespace steptuner
