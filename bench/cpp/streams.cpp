// SPDX-License-Identifier: Apache-2.0
#include "streams.h"
#include "cpu/pool.h"
#include "math/types.h"
#include <immintrin.h>

namespace {

constexpr int64_t BLOCK = 4096;

struct Streams {
  float* to;
  const float* a;
  const float* b;  // nullptr: copy
  float scale;
  int64_t count;
  bool bypass;
};

template <bool TRIAD, bool BYPASS>
__attribute__((target("avx2"))) void block(const Streams& s, int64_t begin, int64_t end) {
  const __m256 scale = _mm256_set1_ps(s.scale);
  int64_t i = begin;
  for (; i + 16 <= end; i += 16)
    for (int64_t j = i; j < i + 16; j += 8) {
      __m256 value = _mm256_loadu_ps(s.a + j);
      if (TRIAD) value = _mm256_add_ps(value, _mm256_mul_ps(scale, _mm256_loadu_ps(s.b + j)));
      if (BYPASS)
        _mm256_stream_ps(s.to + j, value);
      else
        _mm256_storeu_ps(s.to + j, value);
    }
  for (; i < end; ++i) s.to[i] = TRIAD ? s.a[i] + s.scale * s.b[i] : s.a[i];
  if (BYPASS) _mm_sfence();
}

void blocks(void* context, int64_t begin, int64_t end) {
  const Streams& s = *static_cast<const Streams*>(context);
  const int64_t first = begin * BLOCK;
  const int64_t last = end * BLOCK < s.count ? end * BLOCK : s.count;
  if (s.b)
    (s.bypass ? block<true, true> : block<true, false>)(s, first, last);
  else
    (s.bypass ? block<false, true> : block<false, false>)(s, first, last);
}

void run(Streams streams, int32_t threads) {
  const int64_t count = (streams.count + BLOCK - 1) / BLOCK;
  steptuner::parallelFor(threads, count, steptuner::Order::FORWARDS, blocks, &streams);
}

struct Filling {
  void* to;
  int32_t type;
  int64_t count, seed;
  double scale;
};

// The finalizer of splitmix64 (Steele, Lea and Flood, 2014), its upper 24 bits.
float hash(int64_t i) {
  uint64_t z = static_cast<uint64_t>(i) * 0x9e3779b97f4a7c15ull;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  z = z ^ (z >> 31);
  return static_cast<float>(static_cast<int32_t>(z >> 40) - (1 << 23)) / static_cast<float>(1 << 23);
}

void fillBlocks(void* context, int64_t begin, int64_t end) {
  const Filling& f = *static_cast<const Filling*>(context);
  for (int64_t i = begin * BLOCK; i < end * BLOCK && i < f.count; ++i)
    steptuner::store<float>(f.to, f.type, i, static_cast<float>(f.scale) * hash(i + f.seed));
}

}  // namespace

void bench_copy(float* to, const float* a, int64_t count, int32_t threads, int32_t bypass) {
  run({to, a, nullptr, 0, count, bypass != 0}, threads);
}

void bench_triad(float* to, const float* a, const float* b, float scale, int64_t count, int32_t threads, int32_t bypass) {
  run({to, a, b, scale, count, bypass != 0}, threads);
}

void bench_fill(void* to, int32_t type, int64_t count, int64_t seed, double scale) {
  Filling filling = {to, type, count, seed, scale};
  steptuner::parallelFor(steptuner::processors(), (count + BLOCK - 1) / BLOCK, steptuner::Order::FORWARDS, fillBlocks, &filling);
}
