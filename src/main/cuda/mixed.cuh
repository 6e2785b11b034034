// SPDX-License-Identifier: Apache-2.0
//
// What a warp of a CUDA sweep in float32 does where some operands have another type: state in bfloat16, parameters and gradients in any
// type, parameters in parts. Which types there are is the same for all of a tensor and is asked for each operand, as a predicate: code for
// every combination would be too much.
//
// Where operands begin is in shared memory and not in registers. Each thread of a warp finds out about one of them.
#pragma once
#include "rows.cuh"

namespace steptuner {

// What a thread knows of the tensor that comes next: where one operand begins in it, and what its elements are.
struct Found {
  uint64_t begin;  // 0 where there is no such operand
  int32_t type;
  int32_t segment;  // -1: the tensor is absent
};
__device__ __forceinline__ bool isAbsent(const Found& found) { return found.segment < 0; }

// Behind the operands of a kernel come the rest of its parameters, which has 16 bits where there is one, and the tensor's key.
template <class K>
constexpr int REST_AT = OPERANDS<K>;
template <class K>
constexpr int KEY_AT = OPERANDS<K> + 1;
template <class K>
constexpr int PLACES = OPERANDS<K> + 2;
static_assert(MAX_OPERANDS + 2 <= 32, "a warp finds all of them at once");

// roundingPlace() of all operands, four bits each: a constant, which device code may use where it may not call.
template <class K>
constexpr uint64_t roundingPlaces() {
  uint64_t places = 0;
  for (int o = 0; o < OPERANDS<K>; ++o) places |= static_cast<uint64_t>(roundingPlace<K>(o)) << 4 * o;
  return places;
}
template <class K>
constexpr uint64_t ROUNDING_PLACES = roundingPlaces<K>();
static_assert(MAX_OPERANDS <= 16, "places have four bits, and all of them 64");

// What a thread of a warp finds: the operand of its number, or one of the two behind them.
template <class K>
__device__ __forceinline__ Found find(const Arguments& a, const Tensor& tensor, int thread) {
  constexpr unsigned GRADIENTS = GRADIENT_MASK<K>, PARAMETERS = PARAMETER_MASK<K>, UPDATES = UPDATE_MASK<K>, STATES = STATE_MASK<K>;
  const unsigned bit = 1u << thread;
  Found found = {0, FLOAT32, tensor.absent ? -1 : tensor.segment};
  const char* begin = nullptr;
  if (GRADIENTS & bit) {
    begin = tensor.gradient;
    found.type = tensor.gradientType;
  } else if (PARAMETERS & bit) {
    begin = tensor.parameter;
    found.type = tensor.parameterType;
  } else if (UPDATES & bit) {
    begin = tensor.update;
  } else if (STATES & bit) {
    const int32_t storage = a.storage[thread];
    begin = a.slot[thread] + tensor.stateOffset[storage];
    found.type = storedType(tensor, storage);
  } else if (PARAMETERS != 0 && thread == REST_AT<K> && a.rest && tensor.parameterType == BFLOAT16) {
    begin = a.rest + tensor.stateOffset[REST];
    found.type = BFLOAT16;
  }
  found.begin = thread == KEY_AT<K> ? tensor.key : reinterpret_cast<uintptr_t>(begin);
  return found;
}

// What a warp works on, with all operands of the chunk. Sets of them are bits.
template <class K>
struct Mixed : Part<float> {
  const uint64_t* place;  // where they begin in the chunk
  unsigned halves;        // those that have 16 bits
  unsigned float16;       // of those, the ones that are float16
  unsigned float64;       // gradients
  unsigned stochastic;    // of the halves, the ones that are written stochastically
  uint32_t key;           // of element 0 of the chunk among random bits
  bool aligned;           // four elements that begin at a multiple of four are one access

  __device__ __forceinline__ bool has(unsigned set, int o) const { return (set >> o & 1u) != 0; }
  __device__ __forceinline__ bool inParts() const { return PARAMETER_MASK<K> != 0 && has(halves, REST_AT<K>); }
  __device__ __forceinline__ char* begin(int o) const { return reinterpret_cast<char*>(place[o]); }
  // Of an operand that is float32 or has 16 bits.
  __device__ __forceinline__ char* at(int o, int i) const { return begin(o) + (i << (has(halves, o) ? 1 : 2)); }
};

// Called by a whole warp. Its places are in shared memory.
template <class K>
__device__ __forceinline__ void placeIn(Mixed<K>& rows, const Arguments& a, const Found& found, int64_t chunkBegin, uint64_t* places,
                                        int thread) {
  const bool isOperand = thread < KEY_AT<K> && found.begin != 0;
  const uint64_t begin = found.begin + (isOperand ? static_cast<uint64_t>(chunkBegin * bytesOf(found.type)) : 0);
  __syncwarp();  // nobody needs those of the chunk before any more
  if (thread < PLACES<K>) places[thread] = begin;
  __syncwarp();
  const bool isHalf = bytesOf(found.type) == 2;
  rows.place = places;
  rows.halves = __ballot_sync(0xffffffffu, isHalf);
  rows.float16 = __ballot_sync(0xffffffffu, found.type == FLOAT16);
  rows.float64 = __ballot_sync(0xffffffffu, found.type == FLOAT64);
  rows.aligned = __all_sync(0xffffffffu, !isOperand || (begin & (isHalf ? 7 : 15)) == 0);
  rows.stochastic = a.stochastic & rows.halves;
  rows.key = 0;
  if (WRITE_MASK<K> != 0 && rows.stochastic != 0)
    rows.key = chunkKey(a.step ? stepKey(a.key, __ldcg(a.step)) : a.key, places[KEY_AT<K>], chunkBegin / CHUNK);
}

// Four elements, as they are in memory or as float32.
__device__ __forceinline__ uint32_t& wordAt(uint4& four, int j) { return j == 0 ? four.x : j == 1 ? four.y : j == 2 ? four.z : four.w; }

__device__ __forceinline__ void widen(uint4& four, bool half) {
  const uint2 two = make_uint2(four.x, four.y);
  four.x = half ? two.x << 16 : two.x;
  four.y = half ? two.x & 0xffff0000u : two.y;
  four.z = half ? two.y << 16 : four.z;
  four.w = half ? two.y & 0xffff0000u : four.w;
}

// Parameters in parts: the upper ones in the first two words, the rest in the others.
__device__ __forceinline__ void joinParts(uint4& four) {
  const uint2 upper = make_uint2(four.x, four.y), rest = make_uint2(four.z, four.w);
  four.x = ofParts(upper.x & 0xffffu, rest.x & 0xffffu);
  four.y = ofParts(upper.x >> 16, rest.x >> 16);
  four.z = ofParts(upper.y & 0xffffu, rest.y & 0xffffu);
  four.w = ofParts(upper.y >> 16, rest.y >> 16);
}

__device__ __forceinline__ uint32_t upperHalves(uint32_t first, uint32_t second) { return first >> 16 | (second & 0xffff0000u); }
__device__ __forceinline__ uint32_t lowerHalves(uint32_t first, uint32_t second) { return (first & 0xffffu) | second << 16; }

// Four elements of operand o, from number i of the chunk on. `word`: their random bits.
template <class K>
__device__ __forceinline__ void storeFour(const Mixed<K>& rows, int o, int i, uint4 four, const uint32_t* word) {
  constexpr unsigned PARAMETERS = PARAMETER_MASK<K>;
  constexpr uint64_t RANDOM = ROUNDING_PLACES<K>;
  char* const to = rows.at(o, i);
  assumeGlobal(to);
  if (!rows.has(rows.halves, o)) {
    *reinterpret_cast<uint4*>(to) = four;
    return;
  }
  const bool isParameter = (PARAMETERS >> o & 1u) != 0;
  if (isParameter && rows.inParts()) {
#pragma unroll
    for (int j = 0; j < 4; ++j) wordAt(four, j) = withoutPayload(wordAt(four, j));
    char* const rest = rows.at(REST_AT<K>, i);
    assumeGlobal(rest);
    *reinterpret_cast<uint2*>(rest) = make_uint2(lowerHalves(four.x, four.y), lowerHalves(four.z, four.w));
#pragma unroll
    for (int j = 0; j < 4; ++j) wordAt(four, j) += 0x8000u;
  } else if (isParameter && !rows.has(rows.stochastic, o)) {
#pragma unroll
    for (int j = 0; j < 4; ++j) wordAt(four, j) = nearestBfloat16(wordAt(four, j));
  } else {
#pragma unroll
    for (int j = 0; j < 4; ++j)
      wordAt(four, j) = stochasticBfloat16(wordAt(four, j), randomOf(word[j], static_cast<int>(RANDOM >> 4 * o & 15)));
  }
  *reinterpret_cast<uint2*>(to) = make_uint2(upperHalves(four.x, four.y), upperHalves(four.z, four.w));
}

// Rows whose loads are issued together: of 16 bits it takes more of them than of 32 to have as many bytes under way.
template <class K>
constexpr int MIXED_IN_FLIGHT = bytesRead<K, float>() > 12 && bytesRead<K, float>() <= 20 ? 2 : ROWS_IN_FLIGHT<K, float>;

// Whole aligned rows of float32 and bfloat16. sum[s][j] is that of lane 4 thread + j.
template <class K>
__device__ __forceinline__ void wholeRows(const Mixed<K>& rows, int thread, float (*sum)[4]) {
  constexpr unsigned PARAMETERS = PARAMETER_MASK<K>, READS = READ_MASK<K>, WRITES = WRITE_MASK<K>;
  constexpr int IN_FLIGHT = MIXED_IN_FLIGHT<K>;
#pragma unroll 1
  for (int row = 0; row < rows.count; row += IN_FLIGHT) {
    const int first = (rows.first + row) * LANES + 4 * thread;
    uint4 four[IN_FLIGHT][OPERANDS<K>];
#pragma unroll
    for (int u = 0; u < IN_FLIGHT; ++u) {
      if (row + u >= rows.count) continue;
#pragma unroll
      for (int o = 0; o < OPERANDS<K>; ++o) {
        if (!(READS >> o & 1u)) continue;
        loadVector(four[u][o], rows.at(o, first + u * LANES), rows.has(rows.halves, o));
        if (PARAMETERS >> o & 1u) loadBehind(four[u][o], rows.at(REST_AT<K>, first + u * LANES), rows.inParts());
      }
    }
    // One formula for all of them, which move up: registers have no index.
#pragma unroll 1
    for (int u = 0; u < IN_FLIGHT && row + u < rows.count; ++u) {
      const int begin = first + u * LANES;
      uint4* const now = four[0];
#pragma unroll
      for (int o = 0; o < OPERANDS<K>; ++o)
        if (READS >> o & 1u) {
          if ((PARAMETERS >> o & 1u) && rows.inParts())
            joinParts(now[o]);
          else
            widen(now[o], rows.has(rows.halves, o));
        }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        float r[OPERANDS<K>];
        float term[SUMS<K> + 1];
#pragma unroll
        for (int o = 0; o < OPERANDS<K>; ++o) r[o] = READS >> o & 1u ? bitCast<float>(wordAt(now[o], j)) : 0.0f;
        applyTo<K, float>(rows, r, begin + j, term);
#pragma unroll
        for (int s = 0; s < SUMS<K>; ++s) sum[s][j] = sum[s][j] + term[s];
#pragma unroll
        for (int o = 0; o < OPERANDS<K>; ++o)
          if (WRITES >> o & 1u) wordAt(now[o], j) = bitCast<uint32_t>(r[o]);
      }
      if constexpr (WRITES != 0) {
        uint32_t word[4] = {};
        if (rows.stochastic != 0)
#pragma unroll
          for (int j = 0; j < 4; ++j) word[j] = wordOf(rows.key + static_cast<uint32_t>(begin + j) * ELEMENT_STEP);
#pragma unroll
        for (int o = 0; o < OPERANDS<K>; ++o)
          if (WRITES >> o & 1u) storeFour<K>(rows, o, begin, now[o], word);
      }
#pragma unroll
      for (int later = 1; later < IN_FLIGHT; ++later)
#pragma unroll
        for (int o = 0; o < OPERANDS<K>; ++o)
          if (READS >> o & 1u) four[later - 1][o] = four[later][o];
    }
  }
}

// Rows in any type, at any alignment, up to the chunk's end.
template <class K>
__device__ __forceinline__ void anyRows(const Mixed<K>& rows, int thread, float (*sum)[4]) {
  constexpr unsigned GRADIENTS = GRADIENT_MASK<K>, PARAMETERS = PARAMETER_MASK<K>, READS = READ_MASK<K>, WRITES = WRITE_MASK<K>;
  constexpr int SOME = STRIDED_AT_A_TIME<K, float>;
  const auto typeOf = [&](int o) {
    return rows.has(rows.float64, o)   ? int32_t(FLOAT64)
           : rows.has(rows.float16, o) ? int32_t(FLOAT16)
           : rows.has(rows.halves, o)  ? int32_t(BFLOAT16)
                                       : int32_t(FLOAT32);
  };
  stridedRows<K, float>(
      rows, thread, sum,
      [&](float* all, int i, int end) {
#pragma unroll
        for (int o = 0; o < OPERANDS<K>; ++o) {
          float* const to = all + o;
          if (!(READS >> o & 1u)) {
#pragma unroll
            for (int k = 0; k < SOME; ++k) to[k * OPERANDS<K>] = 0;
            continue;
          }
          const char* const from = rows.begin(o);
          assumeGlobal(from);
          if ((GRADIENTS | PARAMETERS) >> o & 1u)
            loadAnyStrided<float, SOME>(to, OPERANDS<K>, from, typeOf(o), i, end);
          else if (rows.has(rows.halves, o))
            loadStrided<float, SOME>(to, OPERANDS<K>, from, BFLOAT16, i, end);
          else
            loadStrided<float, SOME>(to, OPERANDS<K>, from, FLOAT32, i, end);
          if ((PARAMETERS >> o & 1u) && rows.inParts()) {
            const uint16_t* const rest = reinterpret_cast<const uint16_t*>(rows.begin(REST_AT<K>));
#pragma unroll
            for (int k = 0; k < SOME; ++k)
              if (i + 32 * k < end)
                to[k * OPERANDS<K>] = bitCast<float>(ofParts(bitCast<uint32_t>(to[k * OPERANDS<K>]) >> 16, rest[i + 32 * k]));
          }
        }
      },
      [&](const float* r, int i) {
        constexpr uint64_t RANDOM = ROUNDING_PLACES<K>;
        uint32_t word = 0;
        if (WRITES != 0 && rows.stochastic != 0) word = wordOf(rows.key + static_cast<uint32_t>(i) * ELEMENT_STEP);
#pragma unroll
        for (int o = 0; o < OPERANDS<K>; ++o) {
          if (!(WRITES >> o & 1u)) continue;
          char* const to = rows.begin(o);
          assumeGlobal(to);
          if (!rows.has(rows.halves, o)) {
            store<float>(to, FLOAT32, i, r[o]);
          } else if ((PARAMETERS >> o & 1u) && rows.inParts()) {
            const uint32_t bits = bitCast<uint32_t>(r[o]);
            reinterpret_cast<uint16_t*>(to)[i] = upperPart(bits);
            reinterpret_cast<uint16_t*>(rows.begin(REST_AT<K>))[i] = restPart(bits);
          } else {
            storeRounded(to, (PARAMETERS >> o & 1u) && rows.has(rows.float16, o) ? FLOAT16 : BFLOAT16, i, r[o],
                         !(PARAMETERS >> o & 1u) || rows.has(rows.stochastic, o), randomOf(word, static_cast<int>(RANDOM >> 4 * o & 15)));
          }
        }
      });
}

// Rows in the way that is right for them; whether lanes are those of anyRows.
template <class K>
__device__ __forceinline__ bool someRows(const Mixed<K>& rows, int thread, float (*sum)[4]) {
  if (rows.live >= (rows.first + rows.count) * LANES && rows.aligned && rows.float16 == 0 && rows.float64 == 0) {
    wholeRows<K>(rows, thread, sum);
    return false;
  }
  anyRows<K>(rows, thread, sum);
  return true;
}

}  // namespace steptuner
