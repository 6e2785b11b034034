// SPDX-License-Identifier: Apache-2.0
//
// 16-bit operands in registers: the conversions of math/types.h and math/rounding.h for as many elements as a Vector<float> has. The bits are
// those of the functions there.
#pragma once
#include "../math/rounding.h"
#include "vector.h"

namespace steptuner {
namespace {

using Bits = Registers<float>::Bits;
using Floats = Registers<float>::Aligned;
typedef int32_t Signed __attribute__((vector_size(VECTOR_BYTES)));

// Bits of the elements of a Vector<float>.
struct Pair {
  Bits v[2];
};

#if defined(__AVX512F__)
STEPTUNER_HD Pair zeroExtended(const uint16_t* memory) {
  const __m256i* const at = reinterpret_cast<const __m256i*>(memory);
  return {{(Bits)_mm512_cvtepu16_epi32(_mm256_loadu_si256(at)), (Bits)_mm512_cvtepu16_epi32(_mm256_loadu_si256(at + 1))}};
}
// The upper halves of all elements to memory; `past`: past the caches, at a multiple of their bytes.
STEPTUNER_HD void storeUpper(const Pair& bits, uint16_t* memory, bool past) {
  const __m256i a = _mm512_cvtepi32_epi16((__m512i)(bits.v[0] >> 16)), b = _mm512_cvtepi32_epi16((__m512i)(bits.v[1] >> 16));
  const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
  if (past)
    _mm512_stream_si512(reinterpret_cast<__m512i*>(memory), both);
  else
    _mm512_storeu_si512(memory, both);
}
#elif defined(__AVX2__)
STEPTUNER_HD Pair zeroExtended(const uint16_t* memory) {
  const __m128i* const at = reinterpret_cast<const __m128i*>(memory);
  return {{(Bits)_mm256_cvtepu16_epi32(_mm_loadu_si128(at)), (Bits)_mm256_cvtepu16_epi32(_mm_loadu_si128(at + 1))}};
}
STEPTUNER_HD void storeUpper(const Pair& bits, uint16_t* memory, bool past) {
  const __m256i packed = _mm256_packus_epi32((__m256i)(bits.v[0] >> 16), (__m256i)(bits.v[1] >> 16));
  const __m256i both = _mm256_permute4x64_epi64(packed, 0xd8);
  if (past)
    _mm256_stream_si256(reinterpret_cast<__m256i*>(memory), both);
  else
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(memory), both);
}
#else
STEPTUNER_HD Pair zeroExtended(const uint16_t* memory) {
  const __m128i both = _mm_loadu_si128(reinterpret_cast<const __m128i*>(memory)), zero = _mm_setzero_si128();
  return {{(Bits)_mm_unpacklo_epi16(both, zero), (Bits)_mm_unpackhi_epi16(both, zero)}};
}
STEPTUNER_HD void storeUpper(const Pair& bits, uint16_t* memory, bool past) {
  const __m128i both = _mm_packs_epi32((__m128i)((Signed)bits.v[0] >> 16), (__m128i)((Signed)bits.v[1] >> 16));
  if (past)
    _mm_stream_si128(reinterpret_cast<__m128i*>(memory), both);
  else
    _mm_storeu_si128(reinterpret_cast<__m128i*>(memory), both);
}
#endif

// Comparison of bits below 2^31: as signed numbers, which all instruction sets compare.
STEPTUNER_HD Signed isLess(Bits a, uint32_t b) { return (Signed)a < (Signed)(Bits{} + b); }

STEPTUNER_HD Bits magnitudeOf(Bits bits) { return bits & 0x7fffffffu; }
STEPTUNER_HD Bits nanOr(Bits bits, Bits rounded) { return isLess(magnitudeOf(bits), 0x7f800001u) ? rounded : bits | 0x400000u; }
STEPTUNER_HD Bits nearestBfloat16(Bits bits) { return nanOr(bits, bits + 0x7fffu + ((bits >> 16) & 1u)); }
STEPTUNER_HD Bits stochasticBfloat16(Bits bits, Bits random) {
  return nanOr(bits, bits + (random & (Bits)isLess(magnitudeOf(bits), 0x7f7f0000u)));
}
STEPTUNER_HD Bits withoutPayload(Bits bits) {
  return isLess(magnitudeOf(bits), 0x7f800001u) ? bits : (bits | 0x400000u) & 0xffff0000u;
}

STEPTUNER_HD Bits widenedFloat16(Bits half) {
  const Bits sign = (half & 0x8000u) << 16;
  const Bits magnitude = (half & 0x7fffu) << 13;
  const Bits exponent = magnitude & 0x0f800000u;
  const Bits subnormal = (Bits)((Floats)(magnitude + 0x38800000u) - bitCast<float>(0x38800000u));
  const Bits number = isLess(exponent, 1) ? subnormal : magnitude + 0x38000000u;
  return sign | (isLess(exponent, 0x0f800000u) ? number : magnitude + 0x70000000u);
}

// A float16 in the lower half, from one that is finite, a magnitude from which on it is not, and the float32.
STEPTUNER_HD Bits float16Of(Bits bits, Bits finite, uint32_t tooLarge) {
  const Bits magnitude = magnitudeOf(bits);
  const Bits infinite = isLess(magnitude, 0x7f800001u) ? Bits{} + 0x7c00u : Bits{} + 0x7e00u;
  return ((bits >> 16) & 0x8000u) | (isLess(magnitude, tooLarge) ? finite : infinite);
}
STEPTUNER_HD Bits nearestFloat16(Bits bits) {
  const Bits magnitude = magnitudeOf(bits);
  const Bits normal = (magnitude - 0x38000000u + 0x0fffu + ((magnitude >> 13) & 1u)) >> 13;
  const Bits subnormal = (Bits)((Floats)magnitude + 0.5f) - 0x3f000000u;
  return float16Of(bits, isLess(magnitude, 0x38800000u) ? subnormal : normal, 0x477ff000u);
}
STEPTUNER_HD Bits stochasticFloat16(Bits bits, Bits random) {
  const Bits magnitude = magnitudeOf(bits);
  const Bits some = random >> 3;
  const Signed isSmall = isLess(magnitude, 0x38800000u);
  const Bits normal = (magnitude - 0x38000000u + (some & (Bits)isLess(magnitude, 0x477fe000u))) >> 13;
  const Floats small = (Floats)(magnitude & (Bits)isSmall) * 0x1p24f;
  const Floats sum = small + __builtin_convertvector((Signed)some, Floats) * 0x1p-13f;
  return float16Of(bits, isSmall ? (Bits)__builtin_convertvector(sum, Signed) : normal, 0x47800000u);
}

// Words of random bits for all elements, from that of the first of them.
STEPTUNER_HD Pair firstWords(uint32_t begin) {
  Bits lanes;
  for (unsigned i = 0; i < VECTOR_BYTES / sizeof(uint32_t); ++i) lanes[i] = i * ELEMENT_STEP;
  constexpr uint32_t SECOND = uint32_t(VECTOR_BYTES / sizeof(uint32_t)) * ELEMENT_STEP;
  return {{firstWord<Bits>(lanes + begin), firstWord<Bits>(lanes + (begin + SECOND))}};
}
STEPTUNER_HD Pair nextWords(const Pair& words) { return {{nextWord<Bits>(words.v[0]), nextWord<Bits>(words.v[1])}}; }

STEPTUNER_HD Pair bitsOf(const Vector<float>& value) { return {{(Bits)value.v[0], (Bits)value.v[1]}}; }
STEPTUNER_HD Vector<float> floatsOf(const Pair& bits) { return {(Floats)bits.v[0], (Floats)bits.v[1]}; }

STEPTUNER_HD Vector<float> loadBfloat16(const uint16_t* memory) {
  const Pair half = zeroExtended(memory);
  return floatsOf({{half.v[0] << 16, half.v[1] << 16}});
}
// Few parameters are float16, or in parts: the code for them is written once, and called.
#define STEPTUNER_SELDOM __attribute__((noinline, cold)) inline

#if defined(__AVX512F__)
STEPTUNER_HD Vector<float> loadFloat16(const uint16_t* memory) {
  const __m256i* const at = reinterpret_cast<const __m256i*>(memory);
  return {_mm512_cvtph_ps(_mm256_loadu_si256(at)), _mm512_cvtph_ps(_mm256_loadu_si256(at + 1))};
}
#elif defined(__AVX2__)
STEPTUNER_HD Vector<float> loadFloat16(const uint16_t* memory) {
  const __m128i* const at = reinterpret_cast<const __m128i*>(memory);
  return {_mm256_cvtph_ps(_mm_loadu_si128(at)), _mm256_cvtph_ps(_mm_loadu_si128(at + 1))};
}
#else
STEPTUNER_SELDOM Vector<float> loadFloat16(const uint16_t* memory) {
  const Pair half = zeroExtended(memory);
  return floatsOf({{widenedFloat16(half.v[0]), widenedFloat16(half.v[1])}});
}
#endif
STEPTUNER_SELDOM Vector<float> loadParts(const uint16_t* upper, const uint16_t* rest) {
  const Pair high = zeroExtended(upper), low = zeroExtended(rest);
  const auto whole = [](Bits a, Bits b) { return (a << 16) + (Bits)((Signed)(b << 16) >> 16); };
  return floatsOf({{whole(high.v[0], low.v[0]), whole(high.v[1], low.v[1])}});
}

STEPTUNER_HD void storeBfloat16(const Vector<float>& value, uint16_t* memory, bool past) {
  const Pair bits = bitsOf(value);
  storeUpper({{nearestBfloat16(bits.v[0]), nearestBfloat16(bits.v[1])}}, memory, past);
}
// `place`: the operand's, which says where in the words its bits are.
STEPTUNER_HD void storeBfloat16(const Vector<float>& value, uint16_t* memory, bool past, const Pair& words, int place) {
  const Pair bits = bitsOf(value);
  storeUpper({{stochasticBfloat16(bits.v[0], halfOf(words.v[0], place)), stochasticBfloat16(bits.v[1], halfOf(words.v[1], place))}}, memory,
             past);
}
STEPTUNER_SELDOM void storeFloat16(Vector<float> value, uint16_t* memory, bool past, bool stochastic, Pair words, int place) {
  Pair bits = bitsOf(value);
  for (int i = 0; i < 2; ++i)
    bits.v[i] = (stochastic ? stochasticFloat16(bits.v[i], halfOf(words.v[i], place)) : nearestFloat16(bits.v[i])) << 16;
  storeUpper(bits, memory, past);
}
STEPTUNER_SELDOM void storeParts(Vector<float> value, uint16_t* upper, uint16_t* rest) {
  const Pair bits = {{withoutPayload(bitsOf(value).v[0]), withoutPayload(bitsOf(value).v[1])}};
  storeUpper({{bits.v[0] + 0x8000u, bits.v[1] + 0x8000u}}, upper, false);
  storeUpper({{bits.v[0] << 16, bits.v[1] << 16}}, rest, false);
}

}  // namespace
}  // namespace steptuner
