// SPDX-License-Identifier: Apache-2.0
//
// A vector register that formulas take for a number. Formulas are templates over their number type, so the vector code of every
// kernel is written by the compiler from the formula itself and does not hang on whether a loop happens to be vectorised.
#pragma once
#include "../rules/exponential.h"
#include "../sweep/platform.h"
#include <immintrin.h>

namespace steptuner {
namespace {

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
#elif defined(__AVX2__)
constexpr int VECTOR_BYTES = 32;
#else
constexpr int VECTOR_BYTES = 16;
#endif

template <class E>
struct Registers;
template <>
struct Registers<float> {
  typedef float Aligned __attribute__((vector_size(VECTOR_BYTES)));
  typedef float Unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(alignof(float)), may_alias));
  typedef uint32_t Bits __attribute__((vector_size(VECTOR_BYTES)));
};
template <>
struct Registers<double> {
  typedef double Aligned __attribute__((vector_size(VECTOR_BYTES)));
  typedef double Unaligned __attribute__((vector_size(VECTOR_BYTES), aligned(alignof(double)), may_alias));
  typedef uint64_t Bits __attribute__((vector_size(VECTOR_BYTES)));
};

template <class E>
struct Vector {
  static constexpr int WIDTH = VECTOR_BYTES / int(sizeof(E));
  using Register = typename Registers<E>::Aligned;
  using Unaligned = typename Registers<E>::Unaligned;

  Register v = {};

  Vector() = default;
  STEPTUNER_HD Vector(Register r) : v(r) {}
  STEPTUNER_HD explicit Vector(E e) : v(e - Register{}) {}  // e - 0 is e, also for -0

  STEPTUNER_HD static Vector load(const E* memory) { return Vector(*reinterpret_cast<const Unaligned*>(memory)); }
  STEPTUNER_HD void store(E* memory) const { *reinterpret_cast<Unaligned*>(memory) = v; }

  STEPTUNER_HD friend Vector operator+(Vector a, Vector b) { return a.v + b.v; }
  STEPTUNER_HD friend Vector operator-(Vector a, Vector b) { return a.v - b.v; }
  STEPTUNER_HD friend Vector operator*(Vector a, Vector b) { return a.v * b.v; }
  STEPTUNER_HD friend Vector operator/(Vector a, Vector b) { return a.v / b.v; }
  STEPTUNER_HD friend Vector operator-(Vector a) { return -a.v; }
  STEPTUNER_HD friend auto operator>(Vector a, Vector b) { return a.v > b.v; }
  STEPTUNER_HD friend auto operator<(Vector a, Vector b) { return a.v < b.v; }
};

template <class Mask, class E>
STEPTUNER_HD Vector<E> select(Mask mask, Vector<E> a, Vector<E> b) {
  return mask ? a.v : b.v;
}

STEPTUNER_HD Vector<float> squareRoot(Vector<float> a) {
#if defined(__AVX512F__)
  return Vector<float>(_mm512_sqrt_ps(a.v));
#elif defined(__AVX2__)
  return Vector<float>(_mm256_sqrt_ps(a.v));
#else
  return Vector<float>(_mm_sqrt_ps(a.v));
#endif
}

STEPTUNER_HD Vector<double> squareRoot(Vector<double> a) {
#if defined(__AVX512F__)
  return Vector<double>(_mm512_sqrt_pd(a.v));
#elif defined(__AVX2__)
  return Vector<double>(_mm256_sqrt_pd(a.v));
#else
  return Vector<double>(_mm_sqrt_pd(a.v));
#endif
}

template <class E>
STEPTUNER_HD Vector<E> powerOfTwo(Vector<E> n) {
  using C = Exponential<E>;
  using Bits = typename Registers<E>::Bits;
  const Vector<E> sum = n + Vector<E>(E(C::ROUNDER));
  const Bits bits = (reinterpret_cast<Bits>(sum.v) + C::BIAS) << C::FRACTION_BITS;
  return Vector<E>(reinterpret_cast<typename Vector<E>::Register>(bits));
}

template <class E>
STEPTUNER_HD Vector<E> exponential(Vector<E> x) {
  return exponentialOf<E>(x);
}

}  // namespace
}  // namespace steptuner
