// SPDX-License-Identifier: Apache-2.0
//
// What formulas take for a number on the CPU: a few vector registers. Formulas are templates over their number type, so the vector code
// of every kernel is written by the compiler from the formula itself and does not depend on whether the compiler vectorises a loop.
//
// Two registers and not one: a formula is a chain of some twenty operations, each of which waits for the one before, with a root and a
// quotient among them. The processor looks ahead a few such chains; it gets further where two of them alternate.
#pragma once
#include "../math/cube_root.h"
#include "../math/exponential.h"
#include "../core/platform.h"
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

#if defined(__AVX512F__)
STEPTUNER_HD Registers<float>::Aligned rootOf(Registers<float>::Aligned a) { return _mm512_sqrt_ps(a); }
STEPTUNER_HD Registers<double>::Aligned rootOf(Registers<double>::Aligned a) { return _mm512_sqrt_pd(a); }
STEPTUNER_HD void streamTo(void* memory, Registers<float>::Aligned a) { _mm512_stream_ps(static_cast<float*>(memory), a); }
STEPTUNER_HD void streamTo(void* memory, Registers<double>::Aligned a) { _mm512_stream_pd(static_cast<double*>(memory), a); }
#elif defined(__AVX2__)
STEPTUNER_HD Registers<float>::Aligned rootOf(Registers<float>::Aligned a) { return _mm256_sqrt_ps(a); }
STEPTUNER_HD Registers<double>::Aligned rootOf(Registers<double>::Aligned a) { return _mm256_sqrt_pd(a); }
STEPTUNER_HD void streamTo(void* memory, Registers<float>::Aligned a) { _mm256_stream_ps(static_cast<float*>(memory), a); }
STEPTUNER_HD void streamTo(void* memory, Registers<double>::Aligned a) { _mm256_stream_pd(static_cast<double*>(memory), a); }
#else
STEPTUNER_HD Registers<float>::Aligned rootOf(Registers<float>::Aligned a) { return _mm_sqrt_ps(a); }
STEPTUNER_HD Registers<double>::Aligned rootOf(Registers<double>::Aligned a) { return _mm_sqrt_pd(a); }
STEPTUNER_HD void streamTo(void* memory, Registers<float>::Aligned a) { _mm_stream_ps(static_cast<float*>(memory), a); }
STEPTUNER_HD void streamTo(void* memory, Registers<double>::Aligned a) { _mm_stream_pd(static_cast<double*>(memory), a); }
#endif

template <class E>
struct Vector {
  using Register = typename Registers<E>::Aligned;
  using Unaligned = typename Registers<E>::Unaligned;
  using Bits = typename Registers<E>::Bits;

  static constexpr int REGISTERS = 2;
  static constexpr int LENGTH = VECTOR_BYTES / int(sizeof(E));  // elements of a register
  static constexpr int WIDTH = REGISTERS * LENGTH;

  struct Mask {
    decltype(Register{} < Register{}) v[REGISTERS];
  };

  Register v[REGISTERS] = {};

  Vector() = default;
  STEPTUNER_HD explicit Vector(E e) : v{e - Register{}, e - Register{}} {}  // e - 0 is e, also for -0
  STEPTUNER_HD Vector(Register a, Register b) : v{a, b} {}

  STEPTUNER_HD static Vector load(const E* memory) { return {at(memory), at(memory + LENGTH)}; }
  STEPTUNER_HD void store(E* memory) const {
    *reinterpret_cast<Unaligned*>(memory) = v[0];
    *reinterpret_cast<Unaligned*>(memory + LENGTH) = v[1];
  }
  // Past the caches; the address is a multiple of a register's bytes, and the caller fences.
  STEPTUNER_HD void stream(E* memory) const {
    streamTo(memory, v[0]);
    streamTo(memory + LENGTH, v[1]);
  }
  // Elements from `count` on become 0.
  STEPTUNER_HD void clearFrom(int count) {
    for (int i = count; i < WIDTH; ++i) v[i / LENGTH][i % LENGTH] = 0;
  }

  STEPTUNER_HD friend Vector operator+(Vector a, Vector b) { return {a.v[0] + b.v[0], a.v[1] + b.v[1]}; }
  STEPTUNER_HD friend Vector operator-(Vector a, Vector b) { return {a.v[0] - b.v[0], a.v[1] - b.v[1]}; }
  STEPTUNER_HD friend Vector operator*(Vector a, Vector b) { return {a.v[0] * b.v[0], a.v[1] * b.v[1]}; }
  STEPTUNER_HD friend Vector operator/(Vector a, Vector b) { return {a.v[0] / b.v[0], a.v[1] / b.v[1]}; }
  STEPTUNER_HD friend Vector operator-(Vector a) { return {-a.v[0], -a.v[1]}; }
  STEPTUNER_HD friend Mask operator>(Vector a, Vector b) { return {{a.v[0] > b.v[0], a.v[1] > b.v[1]}}; }
  STEPTUNER_HD friend Mask operator<(Vector a, Vector b) { return {{a.v[0] < b.v[0], a.v[1] < b.v[1]}}; }

 private:
  STEPTUNER_HD static Register at(const E* memory) { return *reinterpret_cast<const Unaligned*>(memory); }
};

template <class E>
STEPTUNER_HD Vector<E> select(typename Vector<E>::Mask mask, Vector<E> a, Vector<E> b) {
  return {mask.v[0] ? a.v[0] : b.v[0], mask.v[1] ? a.v[1] : b.v[1]};
}

template <class E>
STEPTUNER_HD Vector<E> squareRoot(Vector<E> a) {
  return {rootOf(a.v[0]), rootOf(a.v[1])};
}

// The functions of cube_root.h and exponential.h, lane by lane.
STEPTUNER_HD Registers<float>::Aligned cubeRootGuessOf(Registers<float>::Aligned a) {
  return (Registers<float>::Aligned)(third((Registers<float>::Bits)a) + CUBE_ROOT_BIAS_32);
}
STEPTUNER_HD Registers<double>::Aligned cubeRootGuessOf(Registers<double>::Aligned a) {
  return (Registers<double>::Aligned)(third((Registers<double>::Bits)a) + CUBE_ROOT_BIAS_64);
}
template <class E>
STEPTUNER_HD Vector<E> cubeRootGuess(Vector<E> a) {
  return {cubeRootGuessOf(a.v[0]), cubeRootGuessOf(a.v[1])};
}

template <class E>
STEPTUNER_HD Vector<E> powerOfTwo(Vector<E> n) {
  using C = Exponential<E>;
  using V = Vector<E>;
  const V sum = n + V(E(C::ROUNDER));
  const auto power = [](typename V::Register r) {
    const typename V::Bits bits = (reinterpret_cast<typename V::Bits>(r) + C::BIAS) << C::FRACTION_BITS;
    return reinterpret_cast<typename V::Register>(bits);
  };
  return {power(sum.v[0]), power(sum.v[1])};
}

template <class E>
STEPTUNER_HD Vector<E> cubeRoot(Vector<E> a) {
  return cubeRootIn<Vector<E>, E>(a);
}

template <class E>
STEPTUNER_HD Vector<E> exponential(Vector<E> x) {
  return exponentialOf<E>(x);
}

}  // namespace
}  // namespace steptuner
