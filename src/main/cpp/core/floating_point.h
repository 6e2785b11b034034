// SPDX-License-Identifier: Apache-2.0
//
// The floating-point environment that formulas are computed in. A thread has its own, and other libraries change it: they flush subnormal
// numbers to zero, round otherwise, or let exceptions trap. A result would then depend on the thread that computes it.
#pragma once
#if defined(__x86_64__)
#include <xmmintrin.h>
#else
#include <fenv.h>
#endif

namespace steptuner {

// While it lives, the thread rounds to nearest, keeps subnormal numbers and traps nothing. Then it has back what it had, exception flags
// included. It stands where what computes is called, not inlined: compilers move arithmetic past it.
class DefaultFloatingPoint {
 public:
#if defined(__x86_64__)
  DefaultFloatingPoint() : before_(_mm_getcsr()) { _mm_setcsr(DEFAULT); }
  ~DefaultFloatingPoint() { _mm_setcsr(before_); }
#else
  DefaultFloatingPoint() {
    fegetenv(&before_);
    fesetenv(FE_DFL_ENV);
  }
  ~DefaultFloatingPoint() { fesetenv(&before_); }
#endif
  DefaultFloatingPoint(const DefaultFloatingPoint&) = delete;
  DefaultFloatingPoint& operator=(const DefaultFloatingPoint&) = delete;

 private:
#if defined(__x86_64__)
  static constexpr unsigned DEFAULT = 0x1f80;
  unsigned before_;
#else
  fenv_t before_;
#endif
};

}  // namespace steptuner
