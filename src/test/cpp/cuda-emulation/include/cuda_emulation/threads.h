// SPDX-License-Identifier: Apache-2.0
//
// What a thread of a kernel knows of itself, and how it meets the others: barriers, shuffles, votes.
#pragma once
#include <string.h>

#include <type_traits>

extern __thread uint3 threadIdx;
extern __thread uint3 blockIdx;
extern __thread dim3 blockDim;
extern __thread dim3 gridDim;
constexpr int warpSize = 32;

namespace cuda_emulation {

// Where in the source a thread waits; a default argument of type Site is the place of the call.
struct Site {
  const char* file;
  int line;
};
constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }

enum class WarpOperation : unsigned char { SYNC, SHUFFLE, SHUFFLE_UP, SHUFFLE_DOWN, SHUFFLE_XOR, VOTE };

void blockBarrier(Site site);

// What a lane brings to a warp operation: a word for the others, and whose word it wants. Small enough to be passed in
// registers, which counts here.
struct Offer {
  unsigned long long word;
  unsigned mask;
  unsigned char source;
  WarpOperation operation;
};

// Waits until all lanes of the mask that have not returned have made the same call. Returns the word of lane `source`, and
// poison if that lane takes no part; for a vote, one bit from each lane. Only SYNC orders memory, as in CUDA.
unsigned long long meet(Offer offer, Site site);

unsigned liveLanes();
void fence(bool wholeDevice);

inline unsigned laneIndex() { return (threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % warpSize; }

template <class T>
T shuffle(WarpOperation operation, unsigned mask, T value, unsigned source, Site site) {
  static_assert(std::is_arithmetic_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "CUDA shuffles 32- and 64-bit numbers");
  unsigned long long word = 0;
  memcpy(&word, &value, sizeof(T));
  word = meet({word, mask, static_cast<unsigned char>(source), operation}, site);
  memcpy(&value, &word, sizeof(T));
  return value;
}

inline unsigned ballot(unsigned mask, bool predicate, Site site) {
  return static_cast<unsigned>(meet({predicate, mask, 0, WarpOperation::VOTE}, site));
}

}  // namespace cuda_emulation

inline void __syncthreads(cuda_emulation::Site site = cuda_emulation::here()) { cuda_emulation::blockBarrier(site); }

inline void __syncwarp(unsigned mask = 0xffffffffu, cuda_emulation::Site site = cuda_emulation::here()) {
  cuda_emulation::meet({0, mask, 0, cuda_emulation::WarpOperation::SYNC}, site);
}

inline void __threadfence_block() { cuda_emulation::fence(false); }
inline void __threadfence() { cuda_emulation::fence(true); }
inline void __threadfence_system() { cuda_emulation::fence(true); }

// A shuffle stays within segments of `width` lanes, a power of two; a lane whose source lies outside gets its own value back.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize, cuda_emulation::Site site = cuda_emulation::here()) {
  const unsigned first = cuda_emulation::laneIndex() & ~(width - 1u);
  return cuda_emulation::shuffle(cuda_emulation::WarpOperation::SHUFFLE, mask, value, first | (source & (width - 1u)), site);
}

template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize, cuda_emulation::Site site = cuda_emulation::here()) {
  const unsigned lane = cuda_emulation::laneIndex();
  const unsigned position = lane & (width - 1u);
  return cuda_emulation::shuffle(cuda_emulation::WarpOperation::SHUFFLE_UP, mask, value, delta <= position ? lane - delta : lane, site);
}

template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize, cuda_emulation::Site site = cuda_emulation::here()) {
  const unsigned lane = cuda_emulation::laneIndex();
  const unsigned room = width - 1u - (lane & (width - 1u));
  return cuda_emulation::shuffle(cuda_emulation::WarpOperation::SHUFFLE_DOWN, mask, value, delta <= room ? lane + delta : lane, site);
}

template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize, cuda_emulation::Site site = cuda_emulation::here()) {
  const unsigned lane = cuda_emulation::laneIndex();
  const unsigned source = lane ^ static_cast<unsigned>(bits);
  const unsigned last = lane | (width - 1u);
  return cuda_emulation::shuffle(cuda_emulation::WarpOperation::SHUFFLE_XOR, mask, value, source <= last ? source : lane, site);
}

inline unsigned __activemask() { return cuda_emulation::liveLanes(); }

inline unsigned __ballot_sync(unsigned mask, int predicate, cuda_emulation::Site site = cuda_emulation::here()) {
  return cuda_emulation::ballot(mask, predicate != 0, site);
}

inline int __any_sync(unsigned mask, int predicate, cuda_emulation::Site site = cuda_emulation::here()) {
  return cuda_emulation::ballot(mask, predicate != 0, site) != 0;
}

inline int __all_sync(unsigned mask, int predicate, cuda_emulation::Site site = cuda_emulation::here()) {
  return cuda_emulation::ballot(mask, predicate == 0, site) == 0;
}
