// SPDX-License-Identifier: Apache-2.0
//
// Kernels of the table on a GPU, each beside its twin: a kernel that reads and writes the same arrays, adds what it has read where the
// sweep has sums, and computes nothing else. CUDA events around one launch, the second-level cache full of clean lines of something else
// before each, sweep and twin in turn, medians. Prints one JSON object a line.
//
//   measure <device library> [--rounds N] [--float32 SIZE,...] [--bfloat16 SIZE,...] [--kernels PATTERN,...] [--scrub BYTES]
//
// A pattern is for "sweep" or "sweep/rule", as the shell's for file names; without any, all kernels. Sizes are numbers of elements.
// --rounds 0 is for profilers: one launch of each sweep, no twin and no copy, and rows without times. --scrub is
// how much is read before each measurement; the copy copies four times as much.
#include "../../src/test/cpp/native/description.h"
#include <algorithm>
#include <array>
#include <cuda_runtime.h>
#include <functional>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <utility>
#include <vector>

using namespace description;

namespace {

constexpr double COEFFICIENT = 0.5, STATE = 0.25;
constexpr int TWIN_THREADS = 256;
constexpr int MOST_READ = 13, MOST_WRITTEN = 10;
constexpr int64_t MOST_BLOCKS = 1 << 16;

struct Options {
  int rounds = 9;
  double scrub = 512e6;                                               // bytes: more than any second-level cache holds
  std::vector<double> sizes[2] = {{1e5, 1e6, 1e7, 1e8}, {1e7, 1e8}};  // float32, bfloat16
  std::vector<std::string> patterns = {"*"};
};

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

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

// What a twin works on: arrays of groups of four elements, of 16 or of 8 bytes.
struct Twin {
  const char* read[MOST_READ];
  char* written[MOST_WRITTEN];
  unsigned narrowRead, narrowWritten;  // bits: the arrays of 16-bit elements
  int64_t groups;
  double* blockSums;  // null where the sweep has no sums
};

__device__ __forceinline__ float4 loadGroup(const char* from, bool narrow, int64_t group) {
  if (!narrow) return reinterpret_cast<const float4*>(from)[group];
  const float2 two = reinterpret_cast<const float2*>(from)[group];
  return make_float4(two.x, two.y, two.x, two.y);
}

__device__ __forceinline__ void storeGroup(char* to, bool narrow, int64_t group, float4 value) {
  if (narrow)
    reinterpret_cast<float2*>(to)[group] = make_float2(value.x, value.y);
  else
    reinterpret_cast<float4*>(to)[group] = value;
}

// About eight loads of a thread are under way together, as CUB's transform has them.
template <int R, int W>
__global__ void __launch_bounds__(TWIN_THREADS) twin(const __grid_constant__ Twin t) {
  constexpr int AHEAD = R >= 8 ? 1 : 8 / R;
  const int64_t stride = int64_t(gridDim.x) * TWIN_THREADS;
  float sum = 0;
  for (int64_t first = int64_t(blockIdx.x) * TWIN_THREADS + threadIdx.x; first < t.groups; first += AHEAD * stride) {
    float4 value[AHEAD][R];
#pragma unroll
    for (int u = 0; u < AHEAD; ++u)
#pragma unroll
      for (int r = 0; r < R; ++r)
        if (first + u * stride < t.groups) value[u][r] = loadGroup(t.read[r], t.narrowRead >> r & 1, first + u * stride);
#pragma unroll
    for (int u = 0; u < AHEAD; ++u) {
      if (first + u * stride >= t.groups) continue;
#pragma unroll
      for (int r = 0; r < R; ++r) sum += value[u][r].x + value[u][r].y + value[u][r].z + value[u][r].w;
#pragma unroll
      for (int w = 0; w < W; ++w) storeGroup(t.written[w], t.narrowWritten >> w & 1, first + u * stride, value[u][w % R]);
    }
  }
  if (!t.blockSums) return;
  __shared__ float sums[TWIN_THREADS / 32];
  for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_down_sync(0xffffffffu, sum, distance);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  double total = 0;
  for (float one : sums) total += one;
  t.blockSums[blockIdx.x] = total;
}

// Reads memory, so that the second-level cache holds nothing else, and nothing that must be written back.
__global__ void readAll(const float4* memory, int64_t count, float* never) {
  float sum = 0;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += int64_t(gridDim.x) * blockDim.x) sum += memory[i].x;
  if (sum == 12345.678f) *never = sum;
}

using TwinKernel = void (*)(const Twin);

template <int R, int... W>
constexpr std::array<TwinKernel, sizeof...(W)> twinsOf(std::integer_sequence<int, W...>) {
  return {twin<R + 1, W>...};
}
template <int... R>
constexpr auto allTwins(std::integer_sequence<int, R...>) {
  return std::array<std::array<TwinKernel, MOST_WRITTEN + 1>, sizeof...(R)>{
      twinsOf<R>(std::make_integer_sequence<int, MOST_WRITTEN + 1>())...};
}
const auto TWINS = allTwins(std::make_integer_sequence<int, MOST_READ>());

int processors() {
  int device = 0, count = 1;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "cudaDeviceGetAttribute");
  return count;
}

class Clock {
 public:
  explicit Clock(double scrub) : count_(std::max<int64_t>(1, int64_t(scrub / sizeof(float4)))) {
    check(cudaEventCreate(&begin_), "cudaEventCreate");
    check(cudaEventCreate(&end_), "cudaEventCreate");
    if (!scrub_.allocate(bytes())) check(cudaErrorMemoryAllocation, "scrub");
    check(cudaMemset(scrub_.memory, 0, bytes()), "cudaMemset");
  }
  ~Clock() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;

  double nanoseconds(const std::function<void()>& work) {
    const float4* from = static_cast<const float4*>(scrub_.memory);
    float* never = static_cast<float*>(scrub_.memory);
    void* arguments[] = {&from, &count_, &never};
    check(cudaLaunchKernel(readAll, dim3(1024), dim3(256), arguments, 0, nullptr), "readAll");
    check(cudaEventRecord(begin_), "cudaEventRecord");
    work();
    check(cudaEventRecord(end_), "cudaEventRecord");
    check(cudaEventSynchronize(end_), "cudaEventSynchronize");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin_, end_), "cudaEventElapsedTime");
    return milliseconds * 1e6;
  }

 private:
  size_t bytes() const { return size_t(count_) * sizeof(float4); }

  cudaEvent_t begin_, end_;
  int64_t count_;
  Array scrub_;
};

// Whether it fitted into memory.
bool measure(int64_t device, int32_t kernel, st_type type, int64_t count, int rounds, Clock& clock) {
  const std::vector<std::string> part = split(st_kernel_describe(kernel), '|');
  const std::vector<std::string> operands = split(part[2], ',');
  const int coefficients = static_cast<int>(split(part[3], ',').size());
  const bool sums = part.size() > 4;

  Array parameters, gradients, updates, twinSums;
  if (!allocate(parameters, type, count, 1) || !allocate(gradients, type, count, 2) || !allocate(updates, ST_FLOAT32, count, 3) ||
      !twinSums.allocate(MOST_BLOCKS * sizeof(double)))
    return false;
  const int64_t p = parameters.address(), g = gradients.address(), u = updates.address();
  const int32_t t = type, segment = 0;
  int64_t plan = 0;
  const st_status created = st_plan_create(device, 1, &p, &t, &g, &t, &u, &count, &segment, int(operands.size()), nullptr, 0, &plan);
  if (created == ST_OUT_OF_MEMORY) return false;
  check(created, "st_plan_create");
  std::vector<int32_t> slots;
  for (int32_t slot = 0; slot < int(operands.size()); ++slot) {
    check(st_plan_fill(plan, slot, STATE, 0), "st_plan_fill");
    slots.push_back(slot);
  }
  int32_t binding = 0;
  check(st_plan_bind(plan, kernel, slots.data(), int(slots.size()), &binding), "st_plan_bind");
  std::fill_n(reinterpret_cast<double*>(st_binding_coefficients(plan, binding)), coefficients, COEFFICIENT);

  Twin arrays = {};
  int read = 0, written = 0;
  // What is read and written comes first: the twin writes there what it has read, and the sweep finds its numbers again.
  for (const std::string access : {"rw", "r", "w"})
    for (size_t o = 0; o < operands.size(); ++o) {
      const std::vector<std::string> field = split(operands[o], ':');
      if (field.size() < 3 || field[2] != access) continue;
      void* const memory = field[1] == "parameter"  ? parameters.memory
                           : field[1] == "gradient" ? gradients.memory
                           : field[1] == "update"   ? updates.memory
                                                    : reinterpret_cast<void*>(st_plan_address(plan, int32_t(o), 0));
      const unsigned narrow = type == ST_BFLOAT16 && (field[1] == "parameter" || field[1] == "gradient");
      if (access != "w") {
        arrays.narrowRead |= narrow << read;
        arrays.read[read++] = static_cast<const char*>(memory);
      }
      if (access != "r") {
        arrays.narrowWritten |= narrow << written;
        arrays.written[written++] = static_cast<char*>(memory);
      }
    }
  arrays.groups = count / 4;
  arrays.blockSums = sums ? static_cast<double*>(twinSums.memory) : nullptr;
  const bool twinned = read >= 1 && read <= MOST_READ && written <= MOST_WRITTEN;
  const TwinKernel kernelOfTwin = twinned ? TWINS[size_t(read - 1)][size_t(written)] : nullptr;
  int resident = 0;
  if (twinned) check(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernelOfTwin, TWIN_THREADS, 0), "occupancy");
  const int64_t blocks = std::max<int64_t>(
      1, std::min<int64_t>({MOST_BLOCKS, int64_t(resident) * processors(), (arrays.groups + TWIN_THREADS - 1) / TWIN_THREADS}));

  const int64_t bytes = st_binding_bytes(plan, binding);
  const auto sweep = [&] { check(st_sweep(plan, binding, 0), "st_sweep"); };
  const std::string name = "sweep/" + part[0] + (part[1].empty() ? "" : "/" + part[1]);
  const auto begin = [&] {
    printf("{\"benchmark\":\"%s\",\"size\":%lld,\"dtype\":\"%s\",\"device\":\"%s\"", name.c_str(), static_cast<long long>(count),
           type == ST_FLOAT32 ? "float32" : "bfloat16", st_device_name(device));
  };
  if (rounds == 0) {
    sweep();
    check(st_wait(plan, 0), "st_wait");
    st_plan_destroy(plan);
    begin();
    printf("}\n");
    return true;
  }
  const auto twinOnce = [&] {
    void* arguments[] = {&arrays};
    check(cudaLaunchKernel(kernelOfTwin, dim3(unsigned(blocks)), dim3(TWIN_THREADS), arguments, 0, nullptr), "twin");
  };
  std::vector<double> times, twins, ratios;
  for (int round = -2; round < rounds; ++round) {
    const double time = clock.nanoseconds(sweep);
    const double other = twinned ? clock.nanoseconds(twinOnce) : 0;
    if (round < 0) continue;
    times.push_back(time);
    twins.push_back(other);
    ratios.push_back(other / time);
  }
  check(st_wait(plan, 0), "st_wait");
  st_plan_destroy(plan);
  begin();
  printf(",\"timeNs\":%.0f,\"twinNs\":%.0f,\"bytesPerElement\":%.2f,\"gbPerSecond\":%.1f,\"shareOfTwin\":%.4f}\n", median(times),
         median(twins), double(bytes) / double(count), double(bytes) / median(times), median(ratios));
  fflush(stdout);
  return true;
}

// What the card's memory gives at most.
void copy(int64_t device, const Options& options, Clock& clock) {
  const size_t bytes = size_t(4 * options.scrub);
  Array from, to;
  if (!from.allocate(bytes) || !to.allocate(bytes)) return;
  std::vector<double> times;
  for (int round = -2; round < options.rounds; ++round) {
    const double time =
        clock.nanoseconds([&] { check(cudaMemcpyAsync(to.memory, from.memory, bytes, cudaMemcpyDeviceToDevice), "cudaMemcpyAsync"); });
    if (round >= 0) times.push_back(time);
  }
  printf("{\"benchmark\":\"copy\",\"size\":%lld,\"dtype\":\"bytes\",\"device\":\"%s\",\"timeNs\":%.0f,\"gbPerSecond\":%.1f}\n",
         static_cast<long long>(bytes), st_device_name(device), median(times), 2.0 * double(bytes) / median(times));
}

// How many patterns no kernel has.
int unmatched(const Options& options) {
  int count = 0;
  for (const std::string& pattern : options.patterns) {
    bool found = false;
    for (int32_t kernel = 0; kernel < st_kernel_count(); ++kernel) found |= matches(pattern, kernel);
    if (found) continue;
    ++count;
    fprintf(stderr, "no kernel is like %s\n", pattern.c_str());
  }
  return count;
}

std::vector<double> sizesOf(const char* text) {
  std::vector<double> sizes;
  for (const std::string& one : split(text, ',')) sizes.push_back(atof(one.c_str()));
  return sizes;
}

bool parse(int count, char** arguments, Options& options) {
  if (count < 2 || count % 2 != 0) return false;
  for (int i = 2; i < count; i += 2) {
    const std::string option = arguments[i];
    if (option == "--rounds")
      options.rounds = std::max(0, atoi(arguments[i + 1]));
    else if (option == "--scrub")
      options.scrub = atof(arguments[i + 1]);
    else if (option == "--float32")
      options.sizes[0] = sizesOf(arguments[i + 1]);
    else if (option == "--bfloat16")
      options.sizes[1] = sizesOf(arguments[i + 1]);
    else if (option == "--kernels")
      options.patterns = split(arguments[i + 1], ',');
    else
      return false;
  }
  return true;
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  if (!parse(count, arguments, options)) {
    fprintf(stderr,
            "usage: measure <device library> [--rounds N] [--float32 SIZE,...] [--bfloat16 SIZE,...] [--kernels PATTERN,...] "
            "[--scrub BYTES]\n");
    return 2;
  }
  int64_t device = 0;
  check(st_device_open(arguments[1], 0, 0, "", &device), arguments[1]);
  {
    Clock clock(options.scrub);
    if (options.rounds > 0) copy(device, options, clock);
    for (const st_type type : {ST_FLOAT32, ST_BFLOAT16})
      for (const double size : options.sizes[type == ST_FLOAT32 ? 0 : 1])
        for (int32_t kernel = 0; kernel < st_kernel_count(); ++kernel)
          if (matchesAny(options.patterns, kernel) && !measure(device, kernel, type, int64_t(size), options.rounds, clock))
            fprintf(stderr, "%s: %.0f elements do not fit\n", st_kernel_describe(kernel), size);
  }
  st_device_close(device);
  return unmatched(options) == 0 ? 0 : 1;
}
