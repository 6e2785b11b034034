// SPDX-License-Identifier: Apache-2.0
//
// Loads and stores with cache hints (the hint means nothing here), bit casts, arithmetic with a stated rounding, min and max.
#pragma once
#include <math.h>
#include <string.h>

#include <type_traits>

namespace cuda_emulation {

template <class To, class From>
To bitCast(From from) {
  static_assert(sizeof(To) == sizeof(From), "bits to the same number of bits");
  To to;
  memcpy(&to, &from, sizeof(to));
  return to;
}

template <class T>
constexpr bool IS_LOADABLE = std::is_trivially_copyable_v<T> && sizeof(T) <= 16 && (sizeof(T) & (sizeof(T) - 1)) == 0;

template <class T>
T load(const T* address) {
  static_assert(IS_LOADABLE<T>, "CUDA has such loads for 1, 2, 4, 8 and 16 bytes");
  return *address;
}

template <class T>
void store(T* address, T value) {
  static_assert(IS_LOADABLE<T>, "CUDA has such stores for 1, 2, 4, 8 and 16 bytes");
  *address = value;
}

}  // namespace cuda_emulation

template <class T>
T __ldg(const T* address) {
  return cuda_emulation::load(address);
}
template <class T>
T __ldcs(const T* address) {
  return cuda_emulation::load(address);
}
template <class T>
T __ldcg(const T* address) {
  return cuda_emulation::load(address);
}
template <class T>
void __stcs(T* address, T value) {
  cuda_emulation::store(address, value);
}
template <class T>
void __stcg(T* address, T value) {
  cuda_emulation::store(address, value);
}

inline unsigned __float_as_uint(float value) { return cuda_emulation::bitCast<unsigned>(value); }
inline float __uint_as_float(unsigned bits) { return cuda_emulation::bitCast<float>(bits); }
inline long long __double_as_longlong(double value) { return cuda_emulation::bitCast<long long>(value); }
inline double __longlong_as_double(long long bits) { return cuda_emulation::bitCast<double>(bits); }

// Right only with -ffp-contract=off, which the CMake target sets.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __ddiv_rn(double a, double b) { return a / b; }
inline double __dsqrt_rn(double a) { return __builtin_sqrt(a); }

// Of a number and a NaN, CUDA's min and max give the number; std::min and std::max do not.
inline float min(float a, float b) { return fminf(a, b); }
inline float max(float a, float b) { return fmaxf(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
template <class T>
constexpr std::enable_if_t<std::is_integral_v<T>, T> min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
constexpr std::enable_if_t<std::is_integral_v<T>, T> max(T a, T b) {
  return a < b ? b : a;
}
