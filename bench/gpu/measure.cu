// SPDX-License-Identifier: Apache-2.0
//
// Every kernel of the table on a GPU, beside a device-to-device copy that moves as many bytes: CUDA events around one sweep, caches
// scrubbed before each, sweep and copy in turn, medians. Prints one JSON object a line.
//
//   measure <device library> <rounds> <largest float32 size> <largest bfloat16 size>
#include "steptuner.h"
#include <algorithm>
#include <cuda_runtime.h>
#include <functional>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <vector>

namespace {

constexpr int64_t SIZES[] = {100'000, 1'000'000, 10'000'000, 100'000'000, 1'000'000'000};
// More than any second-level cache holds.
constexpr size_t SCRUB_BYTES = size_t(512) << 20;
// A copy that moves more bytes takes proportionally longer.
constexpr int64_t COPY_LIMIT = int64_t(4) << 30;
constexpr double COEFFICIENT = 0.5, STATE = 0.25;

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  fprintf(stderr, "%s: %s\n", what, cudaGetErrorString(error));
  exit(1);
}

void check(st_status status, const char* what) {
  if (status == ST_OK) return;
  fprintf(stderr, "%s: %s\n", what, st_last_error());
  exit(1);
}

// Numbers in [-1, 1) that no compression of memory can shorten; bfloat16 is the upper half of float32.
template <class T, int SHIFT>
__global__ void fill(T* memory, int64_t count, uint32_t seed) {
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += int64_t(gridDim.x) * blockDim.x) {
    uint32_t hash = uint32_t(i) * 2654435769u + seed;
    hash = (hash ^ hash >> 15) * 2246822519u;
    const float number = float(int32_t(hash ^ hash >> 13)) * 0x1p-31f;
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    memory[i] = T(bits >> SHIFT);
  }
}

struct Array {
  void* memory = nullptr;
  ~Array() { cudaFree(memory); }
  bool allocate(size_t bytes) {
    if (cudaMalloc(&memory, bytes) == cudaSuccess) return true;
    cudaGetLastError();
    return false;
  }
  int64_t address() const { return reinterpret_cast<int64_t>(memory); }
};

bool allocate(Array& array, st_type type, int64_t count, uint32_t seed) {
  const bool wide = type == ST_FLOAT32;
  if (!array.allocate(size_t(count) * (wide ? 4 : 2))) return false;
  void* arguments[] = {&array.memory, &count, &seed};
  check(wide ? cudaLaunchKernel(fill<uint32_t, 0>, dim3(1024), dim3(256), arguments, 0, nullptr)
             : cudaLaunchKernel(fill<uint16_t, 16>, dim3(1024), dim3(256), arguments, 0, nullptr),
        "fill");
  return true;
}

int parts(const std::string& text, char at) { return text.empty() ? 0 : 1 + int(std::count(text.begin(), text.end(), at)); }

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

class Clock {
 public:
  Clock() {
    check(cudaEventCreate(&begin_), "cudaEventCreate");
    check(cudaEventCreate(&end_), "cudaEventCreate");
    if (!scrub_.allocate(SCRUB_BYTES)) check(cudaErrorMemoryAllocation, "scrub");
  }
  ~Clock() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;

  double nanoseconds(const std::function<void()>& work) {
    check(cudaMemsetAsync(scrub_.memory, 1, SCRUB_BYTES), "cudaMemsetAsync");
    check(cudaEventRecord(begin_), "cudaEventRecord");
    work();
    check(cudaEventRecord(end_), "cudaEventRecord");
    check(cudaEventSynchronize(end_), "cudaEventSynchronize");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime");
    return milliseconds * 1e6;
  }

 private:
  cudaEvent_t begin_, end_;
  Array scrub_;
};

// Whether it fitted into memory.
bool measure(int64_t device, int32_t kernel, st_type type, int64_t count, int rounds, Clock& clock) {
  const std::string description = st_kernel_describe(kernel);
  std::vector<std::string> part(1);
  for (char c : description)
    if (c == '|')
      part.emplace_back();
    else
      part.back() += c;
  const int operands = parts(part[2], ','), coefficients = parts(part[3], ',');

  Array parameters, gradients, updates;
  if (!allocate(parameters, type, count, 1) || !allocate(gradients, type, count, 2) || !allocate(updates, ST_FLOAT32, count, 3))
    return false;
  const int64_t p = parameters.address(), g = gradients.address(), u = updates.address();
  const int32_t t = type, segment = 0;
  int64_t plan = 0;
  const st_status created = st_plan_create(device, 1, &p, &t, &g, &t, &u, &count, &segment, operands, 0, &plan);
  if (created == ST_OUT_OF_MEMORY) return false;
  check(created, "st_plan_create");
  std::vector<int32_t> slots;
  for (int32_t slot = 0; slot < operands; ++slot) {
    check(st_plan_fill(plan, slot, STATE, 0), "st_plan_fill");
    slots.push_back(slot);
  }
  int32_t binding = 0;
  check(st_plan_bind(plan, kernel, slots.data(), operands, &binding), "st_plan_bind");
  std::fill_n(reinterpret_cast<double*>(st_binding_coefficients(plan, binding)), coefficients, COEFFICIENT);

  const int64_t bytes = st_binding_bytes(plan, binding);
  const int64_t half = std::min(bytes / 2, COPY_LIMIT);
  Array from, to;
  if (!from.allocate(size_t(half)) || !to.allocate(size_t(half))) {
    st_plan_destroy(plan);
    return false;
  }
  const auto sweep = [&] { check(st_sweep(plan, binding, 0), "st_sweep"); };
  const auto copy = [&] { check(cudaMemcpyAsync(to.memory, from.memory, size_t(half), cudaMemcpyDeviceToDevice), "cudaMemcpyAsync"); };
  std::vector<double> times, copies, ratios;
  for (int round = -2; round < rounds; ++round) {
    const double time = clock.nanoseconds(sweep);
    const double ceiling = clock.nanoseconds(copy) * double(bytes) / double(2 * half);
    if (round < 0) continue;
    times.push_back(time);
    copies.push_back(ceiling);
    ratios.push_back(ceiling / time);
  }
  check(st_wait(plan, 0), "st_wait");
  st_plan_destroy(plan);
  const std::string name = "sweep/" + part[0] + (part[1].empty() ? "" : "/" + part[1]);
  printf(
      "{\"benchmark\":\"%s\",\"size\":%lld,\"dtype\":\"%s\",\"device\":\"%s\",\"timeNs\":%.0f,\"bytesPerElement\":%.2f,"
      "\"gbPerSecond\":%.1f,\"copyGbPerSecond\":%.1f,\"fractionOfCeiling\":%.4f}\n",
      name.c_str(), static_cast<long long>(count), type == ST_FLOAT32 ? "float32" : "bfloat16", st_device_name(device), median(times),
      double(bytes) / double(count), double(bytes) / median(times), double(bytes) / median(copies), median(ratios));
  fflush(stdout);
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 5) {
    fprintf(stderr, "usage: measure <device library> <rounds> <largest float32 size> <largest bfloat16 size>\n");
    return 2;
  }
  const int rounds = std::max(1, atoi(arguments[2]));
  int64_t device = 0;
  check(st_device_open(arguments[1], 0, 0, "", &device), arguments[1]);
  {
    Clock clock;
    for (const st_type type : {ST_FLOAT32, ST_BFLOAT16}) {
      const double most = atof(arguments[type == ST_FLOAT32 ? 3 : 4]);
      for (const int64_t size : SIZES)
        for (int32_t kernel = 0; kernel < st_kernel_count() && double(size) <= most; ++kernel)
          if (!measure(device, kernel, type, size, rounds, clock))
            fprintf(stderr, "%s: %lld elements do not fit\n", st_kernel_describe(kernel), static_cast<long long>(size));
    }
  }
  st_device_close(device);
  return 0;
}
