// SPDX-License-Identifier: Apache-2.0
//
// Filling a slot on the emulation of CUDA: it is work on the stream that was given, waits for the plan's work before it, and makes
// nothing else wait.
#include "../native/check.h"
#include "core/backend.h"
#include "steptuner.h"
#include <cuda_runtime.h>

using namespace steptuner;

extern "C" const Backend* steptuner_backend();

namespace {

void explain(const char*, ...) {}

// Tensors of both computing types, in turn, with an empty one.
struct Fixture {
  const Backend* backend = steptuner_backend();
  void* device = nullptr;
  Plan plan;
  cudaStream_t stream = nullptr, other = nullptr;

  Fixture() {
    CHECK_EQUAL(backend->open(0, 0, "", explain, &device), ST_OK);
    const struct {
      int64_t count;
      Type type;
    } tensors[] = {{5, FLOAT32}, {0, FLOAT32}, {3000, BFLOAT16}, {7, FLOAT64}, {0, FLOAT64}, {1, FLOAT32}, {300, FLOAT64}};
    for (const auto& t : tensors) {
      Tensor tensor = {};
      tensor.count = t.count;
      tensor.parameterType = tensor.gradientType = t.type;
      plan.tensors.push_back(tensor);
    }
    CHECK(layOut(plan) == nullptr);
    for (int slot = 0; slot < 2; ++slot) {
      char* memory = nullptr;
      CHECK_EQUAL(backend->allocate(device, plan.stateBytes, &memory), ST_OK);
      plan.slots.push_back(memory);
    }
    CHECK_EQUAL(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    CHECK_EQUAL(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
    cudaEmulationDefer(1);
  }
  ~Fixture() {
    backend->forget(device, plan);
    for (char* slot : plan.slots) backend->release(device, slot);
    CHECK_EQUAL(cudaStreamDestroy(stream), cudaSuccess);
    CHECK_EQUAL(cudaStreamDestroy(other), cudaSuccess);
    backend->close(device);
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  void fill(int slot, double value, cudaStream_t on) { CHECK_EQUAL(backend->fill(device, plan, slot, value, on), ST_OK); }

  bool holds(size_t slot, double value) const {
    for (const Tensor& tensor : plan.tensors)
      for (int64_t i = 0; i < tensor.count; ++i)
        if (load<double>(plan.slots[slot] + tensor.stateOffset, tensor.stateType, i) != value) return false;
    return true;
  }
};

void isWorkOnItsStream() {
  Fixture f;
  f.fill(0, 1.5, f.stream);
  CHECK(f.holds(0, 0));
  CHECK_EQUAL(cudaStreamSynchronize(f.other), cudaSuccess);
  CHECK(f.holds(0, 0));
  CHECK_EQUAL(cudaStreamSynchronize(f.stream), cudaSuccess);
  CHECK(f.holds(0, 1.5));
  CHECK(f.holds(1, 0));
}

void makesNothingElseWait() {
  Fixture f;
  int* pending = nullptr;
  CHECK_EQUAL(cudaMalloc(&pending, sizeof(int)), cudaSuccess);
  CHECK_EQUAL(cudaMemsetAsync(pending, 1, sizeof(int), f.other), cudaSuccess);
  f.fill(0, 1.5, f.stream);
  CHECK_EQUAL(f.backend->wait(f.device, f.plan, f.stream), ST_OK);
  CHECK(f.holds(0, 1.5));
  CHECK(*pending != 0x01010101);
  CHECK_EQUAL(cudaStreamSynchronize(f.other), cudaSuccess);
  CHECK_EQUAL(*pending, 0x01010101);
  CHECK_EQUAL(cudaFree(pending), cudaSuccess);
}

void comesAfterThePlansWork() {
  Fixture f;
  f.fill(0, 2, f.stream);
  f.fill(0, 3, f.other);
  CHECK_EQUAL(cudaStreamSynchronize(f.other), cudaSuccess);
  CHECK(f.holds(0, 3));
  CHECK_EQUAL(cudaStreamSynchronize(f.stream), cudaSuccess);
  CHECK(f.holds(0, 3));
}

// Through the C ABI: a copy comes after the plan's work, also where that is on another stream, and st_wait waits for a fill.
void copiesComeAfterThePlansWork() {
  cudaEmulationDefer(0);
  int64_t device = 0, plan = 0;
  CHECK_EQUAL(st_device_open("", 0, 0, "", &device), ST_OK);
  float parameters[4] = {}, gradients[4] = {};
  const int64_t parameter = reinterpret_cast<int64_t>(parameters), gradient = reinterpret_cast<int64_t>(gradients), count = 4;
  const int32_t type = ST_FLOAT32, segment = 0;
  CHECK_EQUAL(st_plan_create(device, 1, &parameter, &type, &gradient, &type, nullptr, &count, &segment, 1, 0, &plan), ST_OK);
  cudaStream_t stream = nullptr, other = nullptr;
  CHECK_EQUAL(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  CHECK_EQUAL(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
  cudaEmulationDefer(1);
  const int64_t on = reinterpret_cast<int64_t>(stream), elsewhere = reinterpret_cast<int64_t>(other);
  float read[4] = {};
  CHECK_EQUAL(st_plan_fill(plan, 0, 2.5, on), ST_OK);
  CHECK_EQUAL(st_plan_read(plan, 0, 0, 0, read, sizeof read, elsewhere), ST_OK);
  CHECK_EQUAL(read[3], 2.5f);
  const float written[4] = {1, 2, 3, 4};
  CHECK_EQUAL(st_plan_fill(plan, 0, 7, on), ST_OK);
  CHECK_EQUAL(st_plan_write(plan, 0, 0, 0, written, sizeof written, elsewhere), ST_OK);
  CHECK_EQUAL(cudaStreamSynchronize(stream), cudaSuccess);
  CHECK_EQUAL(st_plan_read(plan, 0, 0, 0, read, sizeof read, elsewhere), ST_OK);
  CHECK_EQUAL(read[3], 4.0f);
  CHECK_EQUAL(st_plan_fill(plan, 0, 5, on), ST_OK);
  CHECK_EQUAL(st_wait(plan, on), ST_OK);
  CHECK_EQUAL(reinterpret_cast<const float*>(st_plan_address(plan, 0, 0))[3], 5.0f);
  CHECK_EQUAL(st_plan_fill(plan, 1, 5, on), ST_BAD_ARGUMENT);
  st_plan_destroy(plan);
  st_device_close(device);
  CHECK_EQUAL(cudaStreamDestroy(stream), cudaSuccess);
  CHECK_EQUAL(cudaStreamDestroy(other), cudaSuccess);
}

}  // namespace

int main() {
  isWorkOnItsStream();
  makesNothingElseWait();
  comesAfterThePlansWork();
  copiesComeAfterThePlansWork();
  return report("fill_test");
}
