// SPDX-License-Identifier: Apache-2.0
//
// bfloat16 in registers: the conversions of math/types.h and math/rounding.h for as many elements as a Vector<float> has, with the bits of
// the functions there.
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

// Constants that would otherwise be made anew for every vector, because the compiler sees calls in between.
struct Constants {
  Bits magnitude = Bits{} + 0x7fffffffu;
  Bits largest = Bits{} + 0x7f7f0000u;  // bfloat16
  Bits lower = Bits{} + 0xffffu;
  Bits half = Bits{} + 0x7fffu;
  Bits one = Bits{} + 1u;
  Bits lanes;  // i ELEMENT_STEP
#if defined(__AVX512F__)
  Bits spread[2], gather;               // places of 16-bit elements
  Bits passing = Bits{} + 0x00110022u;  // of vfixupimm: NaN become quiet, infinities are taken as they were, others stay
#endif

  Constants() {
    for (unsigned i = 0; i < VECTOR_BYTES / sizeof(uint32_t); ++i) {
      lanes[i] = i * ELEMENT_STEP;
#if defined(__AVX512F__)
      spread[0][i] = i << 16;
      spread[1][i] = (i + 16) << 16;
      gather[i] = (4 * i + 1) | (4 * i + 3) << 16;
#endif
    }
  }
};

#if defined(__AVX512F__)
// Bits of which the upper halves are elements, from memory and back; `past`: past the caches, at a multiple of their bytes.
STEPTUNER_HD Pair loadUpper(const uint16_t* memory, const Constants& c) {
  const __m512i both = _mm512_loadu_si512(memory);
  return {{(Bits)_mm512_maskz_permutexvar_epi16(0xaaaaaaaau, (__m512i)c.spread[0], both),
           (Bits)_mm512_maskz_permutexvar_epi16(0xaaaaaaaau, (__m512i)c.spread[1], both)}};
}
STEPTUNER_HD void storeUpper(const Pair& bits, uint16_t* memory, bool past, const Constants& c) {
  const __m512i both = _mm512_permutex2var_epi16((__m512i)bits.v[0], (__m512i)c.gather, (__m512i)bits.v[1]);
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
STEPTUNER_HD void storeUpper(const Pair& bits, uint16_t* memory, bool past, const Constants&) {
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
STEPTUNER_HD void storeUpper(const Pair& bits, uint16_t* memory, bool past, const Constants&) {
  const __m128i both = _mm_packs_epi32((__m128i)((Signed)bits.v[0] >> 16), (__m128i)((Signed)bits.v[1] >> 16));
  if (past)
    _mm_stream_si128(reinterpret_cast<__m128i*>(memory), both);
  else
    _mm_storeu_si128(reinterpret_cast<__m128i*>(memory), both);
}
#endif
#if !defined(__AVX512F__)
STEPTUNER_HD Pair loadUpper(const uint16_t* memory, const Constants&) {
  const Pair half = zeroExtended(memory);
  return {{half.v[0] << 16, half.v[1] << 16}};
}
#endif

// Words of random bits for all elements, from that of the first of them.
STEPTUNER_HD Pair wordsOf(uint32_t begin, const Constants& c) {
  constexpr uint32_t SECOND = uint32_t(VECTOR_BYTES / sizeof(uint32_t)) * ELEMENT_STEP;
  return {{wordOf<Bits>(c.lanes + begin), wordOf<Bits>(c.lanes + (begin + SECOND))}};
}

STEPTUNER_HD Pair bitsOf(const Vector<float>& value) { return {{(Bits)value.v[0], (Bits)value.v[1]}}; }
STEPTUNER_HD Vector<float> floatsOf(const Pair& bits) { return {(Floats)bits.v[0], (Floats)bits.v[1]}; }

STEPTUNER_HD Vector<float> loadBfloat16(const uint16_t* memory, const Constants& c) { return floatsOf(loadUpper(memory, c)); }

#if defined(__AVX512F__)
// What was added to bits must not make another number of NaN and infinities, nor an infinity of another number.
STEPTUNER_HD Bits passing(Bits bits, Bits rounded, const Constants& c) {
  return (Bits)_mm512_fixupimm_ps((__m512)rounded, (__m512)bits, (__m512i)c.passing, 0);
}
STEPTUNER_HD Pair stochasticUpper(const Pair& bits, const Pair& random, const Constants& c) {
  constexpr int LEAST_MAGNITUDE = 2;  // of vrange, with the sign of the first operand
  Pair rounded;
  for (int i = 0; i < 2; ++i) {
    const Bits within = (Bits)_mm512_range_ps((__m512)bits.v[i], (__m512)c.largest, LEAST_MAGNITUDE);
    rounded.v[i] = passing(bits.v[i], within + random.v[i], c);
  }
  return rounded;
}
STEPTUNER_HD Pair nearestUpper(const Pair& bits, const Constants& c) {
  Pair rounded;
  for (int i = 0; i < 2; ++i) rounded.v[i] = passing(bits.v[i], bits.v[i] + c.half + ((bits.v[i] >> 16) & c.one), c);
  return rounded;
}
#else
#if defined(__AVX2__)
STEPTUNER_HD bool allBelow(const Pair& bits, const Constants& c) {
  const auto below = [&](Bits b) { return _mm256_cmpgt_epi32((__m256i)c.largest, (__m256i)(b & c.magnitude)); };
  return _mm256_movemask_epi8(_mm256_and_si256(below(bits.v[0]), below(bits.v[1]))) == -1;
}
#else
STEPTUNER_HD bool allBelow(const Pair& bits, const Constants& c) {
  const auto below = [&](Bits b) { return _mm_cmpgt_epi32((__m128i)c.largest, (__m128i)(b & c.magnitude)); };
  return _mm_movemask_epi8(_mm_and_si128(below(bits.v[0]), below(bits.v[1]))) == 0xffff;
}
#endif
// As rounding.h has them for one element. Bits below 2^31 are compared as signed numbers, which all instruction sets compare.
STEPTUNER_HD Signed isLess(Bits a, uint32_t b) { return (Signed)a < (Signed)(Bits{} + b); }
STEPTUNER_HD Bits nanOr(Bits bits, Bits rounded) { return isLess(bits & 0x7fffffffu, 0x7f800001u) ? rounded : bits | 0x400000u; }
STEPTUNER_HD Bits nearestOf(Bits bits) { return nanOr(bits, bits + 0x7fffu + ((bits >> 16) & 1u)); }
STEPTUNER_HD Bits stochasticOf(Bits bits, Bits random) {
  return nanOr(bits, bits + (random & (Bits)isLess(bits & 0x7fffffffu, 0x7f7f0000u)));
}

// NaN, infinities and numbers beyond the largest bfloat16 are found by one branch, which costs less than to mend every element.
__attribute__((noinline, cold)) inline void mendStochastic(const Pair& bits, const Pair& random, Pair& rounded) {
  for (int i = 0; i < 2; ++i) rounded.v[i] = stochasticOf(bits.v[i], random.v[i]);
}
__attribute__((noinline, cold)) inline void mendNearest(const Pair& bits, Pair& rounded) {
  for (int i = 0; i < 2; ++i) rounded.v[i] = nearestOf(bits.v[i]);
}
STEPTUNER_HD Pair stochasticUpper(const Pair& bits, const Pair& random, const Constants& c) {
  Pair rounded = {{bits.v[0] + random.v[0], bits.v[1] + random.v[1]}};
  if (!allBelow(bits, c)) mendStochastic(bits, random, rounded);
  return rounded;
}
STEPTUNER_HD Pair nearestUpper(const Pair& bits, const Constants& c) {
  Pair rounded = {{bits.v[0] + c.half + ((bits.v[0] >> 16) & c.one), bits.v[1] + c.half + ((bits.v[1] >> 16) & c.one)}};
  if (!allBelow(bits, c)) mendNearest(bits, rounded);
  return rounded;
}
#endif

STEPTUNER_HD void storeBfloat16(const Vector<float>& value, uint16_t* memory, bool past, const Constants& c) {
  storeUpper(nearestUpper(bitsOf(value), c), memory, past, c);
}
// `place`: the operand's among random bits.
STEPTUNER_HD void storeBfloat16(const Vector<float>& value, uint16_t* memory, bool past, const Constants& c, const Pair& words, int place) {
  const auto randomBits = [&](Bits word) { return place == 0 ? word & c.lower : randomOf<Bits>(word, place); };
  storeUpper(stochasticUpper(bitsOf(value), {{randomBits(words.v[0]), randomBits(words.v[1])}}, c), memory, past, c);
}

}  // namespace
}  // namespace steptuner
