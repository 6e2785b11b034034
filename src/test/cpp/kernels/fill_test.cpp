// SPDX-License-Identifier: Apache-2.0
//
// Filling a slot on the emulation of CUDA: it is work on the stream that was given, waits for the plan's work before it, and makes
// nothing else wait.
#include "../native/check.h"
#include "core/backend.h"
#include "steptuner.h"
#include <cuda_runtime.h>
#include <string.h>

using namespace steptuner;

extern "C" const Backend* steptuner_backend();

namespace {

void explain(const char*, ...) {}

// Tensors of both computing types, in turn, with empty ones, and a slot of each storage, but two of COMPUTED.
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
    for (const Storage storage : {COMPUTED, COMPUTED, HALF, AS_PARAMETER, REST}) {
      char* memory = nullptr;
      CHECK_EQUAL(backend->allocate(device, plan.stateBytes[storage], &memory), ST_OK);
      plan.slots.push_back({memory, storage});
    }
    CHECK_EQUAL(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    CHECK_EQUAL(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), cudaSuccess);
    cudaEmulationDefer(1);
  }
  ~Fixture() {
    backend->forget(device, plan);
    for (const Slot& slot : plan.slots) backend->release(device, slot.memory);
    CHECK_EQUAL(cudaStreamDestroy(stream), cudaSuccess);
    CHECK_EQUAL(cudaStreamDestroy(other), cudaSuccess);
    backend->close(device);
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  void fill(int slot, double value, cudaStream_t on) { CHECK_EQUAL(backend->fill(device, plan, slot, value, on), ST_OK); }

  bool holds(size_t slot, double value) const {
    for (const Tensor& tensor : plan.tensors) {
      const int32_t type = storedType(tensor, plan.slots[slot].storage);
      const int64_t count = storedBytes(tensor, plan.slots[slot].storage) / bytesOf(type);
      for (int64_t i = 0; i < count; ++i)
        if (load<double>(inSlot(plan.slots[slot], tensor), type, i) != value) return false;
    }
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

// Of tensors whose types differ within a slot as well.
void fillsEveryStorage() {
  Fixture f;
  for (int slot = 2; slot < 5; ++slot) {
    const double value = slot == 4 ? 0 : 1.5;
    if (slot == 4) memset(f.plan.slots[4].memory, 0x55, static_cast<size_t>(f.plan.stateBytes[REST]));
    f.fill(slot, value, f.stream);
    CHECK(!f.holds(static_cast<size_t>(slot), value));
    CHECK_EQUAL(cudaStreamSynchronize(f.stream), cudaSuccess);
    CHECK(f.holds(static_cast<size_t>(slot), value));
  }
  CHECK(f.holds(0, 0) && f.holds(1, 0));
  f.fill(2, 1 + 0x1p-8 + 0x1p-20, f.stream);
  CHECK_EQUAL(cudaStreamSynchronize(f.stream), cudaSuccess);
  CHECK_EQUAL(load<float>(inSlot(f.plan.slots[2], f.plan.tensors[0]), BFLOAT16, 4), 1 + 0x1p-7f);
  CHECK_EQUAL(load<double>(inSlot(f.plan.slots[2], f.plan.tensors[3]), FLOAT64, 6), 1 + 0x1p-8 + 0x1p-20);
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
  CHECK_EQUAL(st_plan_create(device, 1, &parameter, &type, &gradient, &type, nullptr, &count, &segment, 1, nullptr, 0, &plan), ST_OK);
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
  fillsEveryStorage();
  makesNothingElseWait();
  comesAfterThePlansWork();
  copiesComeAfterThePlansWork();
  return report("fill_test");
}
