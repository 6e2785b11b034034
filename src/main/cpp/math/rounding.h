// SPDX-License-Identifier: Apache-2.0
//
// How float32 becomes 16 bits: to nearest (ties to even), or stochastically, where the bits that are cut off are the probability of rounding
// away from zero. Then sums of steps that are smaller than the distance of two 16-bit numbers come out right on average.
//
// The random bits of an element are a hash of (seed, sweep, step, tensor, element) and nothing else. So they are the same on every device,
// with any number of threads, in whatever order tensors are stepped, and after a resume.
//
//   step key    mix(mix(seed + salt of the sweep) + step W)             64 bits, one for a sweep
//   chunk key   the upper half of mix(step key + tensor key + chunk W)  32 bits; the tensor's key is that of its name
//   word        scramble(chunk key + element w), for element 0 to 4095 of the chunk
//
// W and w are odd constants near 2^64 and 2^32 over the golden ratio; mix and scramble are bijections. As the keys of the steps are spread
// evenly over 2^32, so are the words of an element. The halves of the word round two operands, the upper halves of its products with odd
// constants the others.
//
// Exact values stay exact, infinities and NaN pass, and no finite float32 within the range of the type becomes infinite.
#pragma once
#include "types.h"

namespace steptuner {

constexpr uint64_t KEY_STEP = 0x9e3779b97f4a7c15u;
constexpr uint32_t ELEMENT_STEP = 0x9e3779b1u;

// Stafford's variant 13 of MurmurHash3's finalizer.
STEPTUNER_HD constexpr uint64_t mixed(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

STEPTUNER_HD constexpr uint64_t stepKey(uint64_t sweepKey, int64_t step) {
  return mixed(sweepKey + static_cast<uint64_t>(step) * KEY_STEP);
}

STEPTUNER_HD constexpr uint32_t chunkKey(uint64_t stepsKey, uint64_t tensorKey, int64_t chunk) {
  return static_cast<uint32_t>(mixed(stepsKey + tensorKey + static_cast<uint64_t>(chunk) * KEY_STEP) >> 32);
}

// The word of an element. B is uint32_t or a vector of them; `begin` is chunk key + element ELEMENT_STEP.
template <class B>
STEPTUNER_HD B wordOf(B begin) {
  B h = begin ^ (begin >> 15);
  h = h * 0x85ebca77u;
  return h ^ (h >> 13);
}

// The 16 random bits of the operand of a kernel at a place among those that it writes.
template <class B>
STEPTUNER_HD B randomOf(B word, int place) {
  if (place == 0) return word & 0xffffu;
  return (place == 1 ? word : word * (0xc2b2ae3du + 0x3c6ef372u * static_cast<uint32_t>(place))) >> 16;
}

// Both give bits of which the upper half is the bfloat16.
STEPTUNER_HD uint32_t nearestBfloat16(uint32_t bits) {
  const uint32_t rounded = bits + 0x7fffu + ((bits >> 16) & 1u);
  return (bits & 0x7fffffffu) > 0x7f800000u ? bits | 0x400000u : rounded;
}

// `random` has 16 bits. Above the largest bfloat16 there is no other one to round to.
STEPTUNER_HD uint32_t stochasticBfloat16(uint32_t bits, uint32_t random) {
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t rounded = magnitude < 0x7f7f0000u ? bits + random : bits;
  return magnitude > 0x7f800000u ? bits | 0x400000u : rounded;
}

// Of the 16 random bits 13 are used: a normal number loses as many, and of what a subnormal one loses the rest would hardly ever count.
STEPTUNER_HD uint16_t stochasticFloat16(float value, uint32_t random) {
  const uint32_t bits = bitCast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  const uint32_t some = random >> 3;
  const uint32_t normal = (magnitude - 0x38000000u + (magnitude < 0x477fe000u ? some : 0u)) >> 13;
  const float small = bitCast<float>(magnitude < 0x38800000u ? magnitude : 0u) * 0x1p24f;
  const uint32_t subnormal = static_cast<uint32_t>(static_cast<int32_t>(small + static_cast<float>(static_cast<int32_t>(some)) * 0x1p-13f));
  const uint32_t finite = magnitude < 0x38800000u ? subnormal : normal;
  const uint32_t infinite = magnitude > 0x7f800000u ? 0x7e00u : 0x7c00u;
  return static_cast<uint16_t>(sign | (magnitude >= 0x47800000u ? infinite : finite));
}

// A float32 in two parts: a bfloat16, the nearest one, and what is left of it. NaN has nothing left, lest its upper part become a number.
STEPTUNER_HD uint32_t ofParts(uint32_t upper, uint32_t rest) {
  return (upper << 16) + static_cast<uint32_t>(static_cast<int32_t>(static_cast<int16_t>(static_cast<uint16_t>(rest))));
}

// Bits whose upper half is the bfloat16, and whose lower half is the rest once these are taken from `bits`.
STEPTUNER_HD uint32_t withoutPayload(uint32_t bits) { return (bits & 0x7fffffffu) > 0x7f800000u ? (bits | 0x400000u) & 0xffff0000u : bits; }
STEPTUNER_HD uint16_t upperPart(uint32_t bits) { return static_cast<uint16_t>((withoutPayload(bits) + 0x8000u) >> 16); }
STEPTUNER_HD uint16_t restPart(uint32_t bits) { return static_cast<uint16_t>(withoutPayload(bits)); }

// How an operand is written where its memory has 16 bits.
enum Rounding : int32_t { NEAREST = 0, STOCHASTIC = 1, IN_PARTS = 2 };

// A float32 to a 16-bit array, not in parts.
STEPTUNER_HD void storeRounded(void* array, int32_t type, int64_t i, float value, bool stochastic, uint32_t random) {
  uint16_t* const at = static_cast<uint16_t*>(array) + i;
  if (type == BFLOAT16)
    *at = static_cast<uint16_t>(
        (stochastic ? stochasticBfloat16(bitCast<uint32_t>(value), random) : nearestBfloat16(bitCast<uint32_t>(value))) >> 16);
  else
    *at = stochastic ? stochasticFloat16(value, random) : toFloat16(value);
}

}  // namespace steptuner
