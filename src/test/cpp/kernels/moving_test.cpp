// SPDX-License-Identifier: Apache-2.0
//
// Tensors that move, and gradients that are zeroed, on the emulation of CUDA, where nothing runs before it must: a sweep goes by the
// addresses of when it was called, whatever stream it is on and whatever has been moved since. A move allocates, frees, copies and waits
// for nothing.
#include "../native/check.h"
#include "math/types.h"
#include "steptuner.h"
#include <cuda_runtime.h>
#include <vector>

namespace {

// More than one launch moves; of both types that are computed in.
constexpr int TENSORS = 150;
constexpr int64_t COUNT = 5;

int64_t handle(cudaStream_t stream) { return reinterpret_cast<int64_t>(stream); }

// x <- x - g, with three sets of gradients: 1, 10 and 100 in every element.
struct Fixture {
  int64_t device = 0, plan = 0;
  int32_t binding = -1;
  cudaStream_t stream = nullptr, other = nullptr;
  std::vector<double> memory;
  std::vector<int64_t> parameters;
  std::vector<int64_t> gradients[3];

  Fixture() : memory(static_cast<size_t>(4 * TENSORS) * COUNT) {
    std::vector<int32_t> types, segments(TENSORS, 0);
    for (int t = 0; t < TENSORS; ++t) {
      types.push_back(t % 2 ? ST_FLOAT64 : ST_FLOAT32);
      parameters.push_back(at(0, t));
      for (int set = 0; set < 3; ++set) {
        gradients[set].push_back(at(1 + set, t));
        for (int64_t i = 0; i < COUNT; ++i)
          store(gradients[set].back(), types[static_cast<size_t>(t)], i, set == 0 ? 1 : set == 1 ? 10 : 100);
      }
    }
    const std::vector<int64_t> counts(TENSORS, COUNT);
    CHECK_EQUAL(st_device_open("", 0, 0, "", &device), ST_OK);
    CHECK_EQUAL(st_plan_create(device, TENSORS, parameters.data(), types.data(), gradients[0].data(), types.data(), nullptr, counts.data(),
                               segments.data(), 0, nullptr, 1, &plan),
                ST_OK);
    const int32_t slots[] = {-1, -1};
    CHECK_EQUAL(st_plan_bind(plan, st_kernel_find("fixed_rate", "sgd"), slots, 2, &binding), ST_OK);
    double* const row = reinterpret_cast<double*>(st_binding_coefficients(plan, binding));  // gradientScale, rate, weightDecay
    row[0] = row[1] = 1;
    row[2] = 0;
    CHECK_EQUAL(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    CHECK_EQUAL(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
    cudaEmulationDefer(1);
  }
  ~Fixture() {
    cudaEmulationRecover();
    st_plan_destroy(plan);
    st_device_close(device);
    CHECK_EQUAL(cudaStreamDestroy(stream), cudaSuccess);
    CHECK_EQUAL(cudaStreamDestroy(other), cudaSuccess);
    cudaEmulationDefer(0);
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  int64_t at(int set, int tensor) { return reinterpret_cast<int64_t>(memory.data() + (set * TENSORS + tensor) * COUNT); }

  static void store(int64_t address, int32_t type, int64_t i, double value) {
    steptuner::store<double>(reinterpret_cast<char*>(address), type, i, value);
  }

  void sweep(cudaStream_t on) { CHECK_EQUAL(st_sweep(plan, binding, handle(on)), ST_OK); }
  void move(int set) { CHECK_EQUAL(st_plan_rebind(plan, TENSORS, nullptr, parameters.data(), gradients[set].data(), nullptr, 1), ST_OK); }
  void zero(cudaStream_t on) { CHECK_EQUAL(st_plan_zero_gradients(plan, handle(on), 1), ST_OK); }

  bool all(const std::vector<int64_t>& addresses, double value) const {
    for (int t = 0; t < TENSORS; ++t)
      for (int64_t i = 0; i < COUNT; ++i)
        if (steptuner::load<double>(reinterpret_cast<const char*>(addresses[static_cast<size_t>(t)]), t % 2 ? ST_FLOAT64 : ST_FLOAT32, i) !=
            value)
          return false;
    return true;
  }
};

void eachSweepByItsOwnAddresses() {
  Fixture f;
  f.sweep(f.stream);
  f.move(1);
  f.sweep(f.other);
  f.move(0);
  f.move(2);
  f.sweep(f.stream);
  f.move(0);
  f.sweep(f.other);
  f.move(1);
  CHECK(f.all(f.parameters, 0));
  CHECK_EQUAL(cudaStreamSynchronize(f.other), cudaSuccess);
  CHECK(f.all(f.parameters, -112));
  f.sweep(f.stream);
  CHECK_EQUAL(cudaStreamSynchronize(f.stream), cudaSuccess);
  CHECK(f.all(f.parameters, -122));
}

// Moves of parts, of which the last one counts.
void oneTensorAfterAnother() {
  Fixture f;
  f.sweep(f.stream);
  for (int set : {1, 2})
    for (int32_t t = 0; t < TENSORS; ++t)
      CHECK_EQUAL(st_plan_rebind(f.plan, 1, &t, nullptr, &f.gradients[set][static_cast<size_t>(t)], nullptr, 1), ST_OK);
  f.sweep(f.stream);
  CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK);
  CHECK(f.all(f.parameters, -101));
}

// Every function that would allocate, free, copy or wait fails.
void nothingIsAllocatedOrWaitedFor() {
  Fixture f;
  f.sweep(f.stream);
  f.zero(f.stream);
  for (const char* function :
       {"cudaMalloc", "cudaMallocHost", "cudaHostAlloc", "cudaMallocAsync", "cudaFree", "cudaFreeHost", "cudaFreeAsync", "cudaMemcpy",
        "cudaMemcpyAsync", "cudaMemset", "cudaMemsetAsync", "cudaStreamSynchronize", "cudaStreamQuery", "cudaEventSynchronize",
        "cudaEventQuery", "cudaDeviceSynchronize", "cudaEventCreateWithFlags"})
    cudaEmulationFail(function, 0, cudaErrorInvalidValue);
  f.move(1);
  f.sweep(f.stream);
  f.move(2);
  f.sweep(f.other);
  f.zero(f.stream);
  f.move(0);
  f.zero(f.other);
  CHECK(f.all(f.parameters, 0) && f.all(f.gradients[2], 100));
  cudaEmulationRecover();
  CHECK_EQUAL(st_wait(f.plan, 0), ST_OK);
  CHECK(f.all(f.parameters, -111));
  CHECK(f.all(f.gradients[2], 0) && f.all(f.gradients[0], 0) && f.all(f.gradients[1], 10));
}

// Zeros come after the sweeps before them and before those after them, on whatever stream.
void zerosAreWorkOfThePlan() {
  Fixture f;
  f.move(2);
  f.sweep(f.stream);
  f.zero(f.other);
  f.sweep(f.stream);
  CHECK(f.all(f.parameters, 0) && f.all(f.gradients[2], 100));
  CHECK_EQUAL(cudaStreamSynchronize(f.stream), cudaSuccess);
  CHECK(f.all(f.parameters, -100) && f.all(f.gradients[2], 0));
}

// A launch that fails while tensors move: the next sweep goes by the new addresses all the same.
void afterALaunchThatFailed() {
  for (int nth = 1; nth <= 3; ++nth) {
    Fixture f;
    f.sweep(f.stream);
    f.move(1);
    cudaEmulationFail("cudaLaunchKernel", nth, cudaErrorLaunchFailure);
    CHECK_EQUAL(st_sweep(f.plan, f.binding, handle(f.stream)), ST_DEVICE_ERROR);
    cudaEmulationRecover();
    f.sweep(f.other);
    CHECK_EQUAL(cudaStreamSynchronize(f.other), cudaSuccess);
    CHECK(f.all(f.parameters, -11));
  }
}

// Tables that could not be made are made by the next call.
void afterATableThatFailed() {
  for (int nth = 1; nth <= 5; ++nth) {
    Fixture f;
    cudaEmulationFail("cudaMalloc", nth, cudaErrorMemoryAllocation);
    CHECK_EQUAL(st_sweep(f.plan, f.binding, handle(f.stream)), ST_OUT_OF_MEMORY);
    cudaEmulationRecover();
    f.sweep(f.stream);
    CHECK_EQUAL(st_wait(f.plan, 0), ST_OK);
    CHECK(f.all(f.parameters, -1));
  }
}

}  // namespace

int main() {
  eachSweepByItsOwnAddresses();
  oneTensorAfterAnother();
  nothingIsAllocatedOrWaitedFor();
  zerosAreWorkOfThePlan();
  afterALaunchThatFailed();
  afterATableThatFailed();
  return report("moving_test");
}
