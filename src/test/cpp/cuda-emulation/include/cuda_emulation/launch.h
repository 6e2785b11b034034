// SPDX-License-Identifier: Apache-2.0
//
// Launches, and questions about kernels. A kernel is any function `void (A...)`.
#pragma once
#include <memory>
#include <tuple>
#include <utility>

#include "runtime_types.h"

namespace cuda_emulation {

// One launch's kernel with its arguments; every thread of the grid runs it.
class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual void run() const = 0;
};

template <class... A>
class KernelCall final : public Kernel {
 public:
  KernelCall(void (*function)(A...), void** arguments) : KernelCall(function, arguments, std::index_sequence_for<A...>()) {}
  void run() const override { std::apply(function_, arguments_); }

 private:
  template <size_t... I>
  KernelCall(void (*function)(A...), [[maybe_unused]] void** arguments, std::index_sequence<I...>)
      : function_(function), arguments_(*static_cast<A*>(arguments[I])...) {}

  void (*function_)(A...);
  std::tuple<A...> arguments_;
};

cudaError_t launch(const void* function, std::unique_ptr<Kernel> kernel, dim3 grid, dim3 block, size_t sharedBytes, cudaStream_t stream);

template <class F>
const void* functionAddress(F* function) {
  return reinterpret_cast<const void*>(function);
}

}  // namespace cuda_emulation

// The arguments are copied now, whenever the kernel runs.
template <class... A>
cudaError_t cudaLaunchKernel(void (*function)(A...), dim3 grid, dim3 block, void** arguments, size_t sharedBytes = 0,
                             cudaStream_t stream = nullptr) {
  auto kernel = std::make_unique<cuda_emulation::KernelCall<A...>>(function, arguments);
  return cuda_emulation::launch(cuda_emulation::functionAddress(function), std::move(kernel), grid, block, sharedBytes, stream);
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function);
cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value);
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int blockThreads, size_t sharedBytes);

template <class T>
cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, T* function) {
  return cudaFuncGetAttributes(attributes, cuda_emulation::functionAddress(function));
}
template <class T>
cudaError_t cudaFuncSetAttribute(T* function, cudaFuncAttribute attribute, int value) {
  return cudaFuncSetAttribute(cuda_emulation::functionAddress(function), attribute, value);
}
template <class T>
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, T* function, int blockThreads, size_t sharedBytes) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, cuda_emulation::functionAddress(function), blockThreads, sharedBytes);
}
