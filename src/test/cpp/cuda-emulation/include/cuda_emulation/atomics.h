// SPDX-License-Identifier: Apache-2.0
//
// Atomics on int, unsigned and unsigned long long. Like CUDA's they are relaxed: they order nothing but themselves. The two
// hooks tell ThreadSanitizer what the fences around them order (see ../../runtime/race.h). None on floats, by design: their sum
// would depend on the order.
#pragma once
#include <type_traits>

namespace cuda_emulation {

void beforeAtomic(const void* address);
void afterAtomic(const void* address);

// Keeps a parameter out of template argument deduction, so that atomicAdd(&someUnsigned, 1) converts the 1.
template <class T>
struct Same {
  using type = T;
};
template <class T>
using same_t = typename Same<T>::type;

template <class T, class Operation>
T atomically(T* address, Operation operation) {
  static_assert(std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, unsigned long long>,
                "no such atomic in CUDA, or not one that this project may use");
  beforeAtomic(address);
  const T old = operation();
  afterAtomic(address);
  return old;
}

template <class T, class Next>
T atomicUpdate(T* address, Next next) {
  return atomically(address, [=] {
    T old = __atomic_load_n(address, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(address, &old, next(old), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    return old;
  });
}

// Stands for a volatile store that the host reads meanwhile: atomic, and like the atomics it announces what lies before a fence before it.
template <class T>
void storeForHost(T* address, T value) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "one access");
  beforeAtomic(address);
  __atomic_store_n(address, value, __ATOMIC_RELAXED);
}

}  // namespace cuda_emulation

template <class T>
T atomicAdd(T* address, cuda_emulation::same_t<T> value) {
  return cuda_emulation::atomically(address, [=] { return __atomic_fetch_add(address, value, __ATOMIC_RELAXED); });
}

template <class T>
T atomicExch(T* address, cuda_emulation::same_t<T> value) {
  return cuda_emulation::atomically(address, [=] { return __atomic_exchange_n(address, value, __ATOMIC_RELAXED); });
}

template <class T>
T atomicCAS(T* address, cuda_emulation::same_t<T> expected, cuda_emulation::same_t<T> value) {
  return cuda_emulation::atomically(address, [=] {
    T old = expected;
    __atomic_compare_exchange_n(address, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    return old;
  });
}

template <class T>
T atomicMax(T* address, cuda_emulation::same_t<T> value) {
  return cuda_emulation::atomicUpdate(address, [=](T old) { return old < value ? value : old; });
}

// Counts up and starts again at 0 after `limit`.
inline unsigned atomicInc(unsigned* address, unsigned limit) {
  return cuda_emulation::atomicUpdate(address, [=](unsigned old) { return old >= limit ? 0u : old + 1; });
}
