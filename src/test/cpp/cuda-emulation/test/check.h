// SPDX-License-Identifier: Apache-2.0
//
// What the test programs share. They are CUDA: nvcc compiles them too.
#pragma once
#include <cuda_runtime.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                               \
    }                                                                           \
  } while (0)

#define CHECK_EQUAL(actual, expected)                                                                                        \
  do {                                                                                                                       \
    const auto actualValue = (actual);                                                                                       \
    const auto expectedValue = (expected);                                                                                   \
    if (!(actualValue == expectedValue)) {                                                                                   \
      fprintf(stderr, "%s:%d: %s is %.17g, expected %.17g\n", __FILE__, __LINE__, #actual, static_cast<double>(actualValue), \
              static_cast<double>(expectedValue));                                                                           \
      ++failures;                                                                                                            \
    }                                                                                                                        \
  } while (0)

#if defined(__CUDA_EMULATION__)
#define DYNAMIC_SHARED(T, name) CUDA_EMULATION_DYNAMIC_SHARED(T, name)
#else
#define DYNAMIC_SHARED(T, name) extern __shared__ T name[]
#endif

struct Shape {
  dim3 grid;
  dim3 block;
  size_t sharedBytes = 0;
  cudaStream_t stream = nullptr;
};

// Same<A>::type keeps the arguments from being deduced: they convert to what the kernel takes.
template <class A>
struct Same {
  using type = A;
};

template <class... A>
cudaError_t launch(void (*kernel)(A...), const Shape& shape, typename Same<A>::type... arguments) {
  void* addresses[] = {const_cast<void*>(static_cast<const void*>(&arguments))...};
  return cudaLaunchKernel(kernel, shape.grid, shape.block, addresses, shape.sharedBytes, shape.stream);
}

// Device memory for some values, with the means to look at them.
template <class T>
class Buffer {
 public:
  explicit Buffer(size_t count, int byte = 0) : count_(count) {
    CHECK_EQUAL(cudaMalloc(&memory_, count * sizeof(T)), cudaSuccess);
    CHECK_EQUAL(cudaMemset(memory_, byte, count * sizeof(T)), cudaSuccess);
  }
  ~Buffer() { cudaFree(memory_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  T* get() const { return memory_; }
  T operator[](size_t i) const {
    T value;
    CHECK_EQUAL(cudaMemcpy(&value, memory_ + i, sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
    return value;
  }

 private:
  size_t count_;
  T* memory_ = nullptr;
};
