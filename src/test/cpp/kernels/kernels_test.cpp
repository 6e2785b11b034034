// SPDX-License-Identifier: Apache-2.0
//
// Every kernel of the table, in every pair of parameter and gradient types, through the C ABI, on the CPU, on every instruction set as
// for tensors beyond the caches, and on another device whose memory this process can address (the emulation of CUDA): all memory and all
// sums must have the same bits, and nothing outside of the tensors may have changed. Run under sanitizers, this is the memory and race
// check of the kernels.
//
//   kernels_test <device library> [every n-th type pair]
#include "../native/check.h"
#include "steptuner.h"
#include "sweep/types.h"
#include <algorithm>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <vector>

using namespace steptuner;

namespace {

constexpr int64_t COUNTS[] = {1, 6, 0, 515, 4097, 9001};
constexpr int TENSORS = 6;
// Two tensors a segment.
constexpr int SEGMENTS = 3;
constexpr int64_t GUARD = 64;
constexpr unsigned char GUARD_BYTE = 0xA5;

struct Random {
  uint64_t state;
  double next() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(state >> 11) * 0x1p-52 - 1;
  }
};

// Memory of all tensors, each at an odd number of elements from an aligned address, with guard bytes around.
struct Arena {
  std::vector<char> memory;
  std::vector<int64_t> offset;
  int32_t type;

  Arena(int32_t elementType, uint64_t seed) : type(elementType) {
    int64_t at = 0;
    for (int t = 0; t < TENSORS; ++t) {
      at = (at + GUARD + 63) / 64 * 64 + (t % 2) * bytesOf(type);
      offset.push_back(at);
      at += COUNTS[t] * bytesOf(type);
    }
    memory.assign(static_cast<size_t>(at + GUARD + 64), static_cast<char>(GUARD_BYTE));
    Random random{seed};
    for (int t = 0; t < TENSORS; ++t)
      for (int64_t i = 0; i < COUNTS[t]; ++i) store<double>(base() + offset[t], type, i, random.next());
  }

  char* base() { return reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64); }
  int64_t address(int t) { return reinterpret_cast<int64_t>(base() + offset[static_cast<size_t>(t)]); }

  bool guardsIntact() {
    const char* from = base();
    for (int t = 0; t <= TENSORS; ++t) {
      const char* const until = t < TENSORS ? base() + offset[static_cast<size_t>(t)] : memory.data() + memory.size();
      for (; from < until; ++from)
        if (static_cast<unsigned char>(*from) != GUARD_BYTE) return false;
      if (t < TENSORS) from += COUNTS[t] * bytesOf(type);
    }
    return true;
  }
};

struct Result {
  std::vector<std::vector<char>> memory;  // parameters, gradients, then slots
  std::vector<double> sums;
};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts(1);
  for (char c : text)
    if (c == at)
      parts.emplace_back();
    else
      parts.back() += c;
  if (text.empty()) parts.clear();
  return parts;
}

void require(st_status status, const char* what) {
  if (status == ST_OK) return;
  fprintf(stderr, "%s: %s\n", what, st_last_error());
  exit(2);
}

Result run(int64_t device, int32_t kernel, int32_t parameterType, int32_t gradientType) {
  const std::vector<std::string> parts = split(st_kernel_describe(kernel), '|');
  const int operands = static_cast<int>(split(parts[2], ',').size());
  const int coefficients = static_cast<int>(split(parts[3], ',').size());
  const int sums = static_cast<int>(split(parts[4], ',').size());
  Arena parameters(parameterType, 1), gradients(gradientType, 2), updates(computeType(parameterType), 3);
  int64_t p[TENSORS], g[TENSORS], u[TENSORS];
  int32_t pt[TENSORS], gt[TENSORS], segment[TENSORS];
  for (int t = 0; t < TENSORS; ++t) {
    p[t] = parameters.address(t);
    g[t] = gradients.address(t);
    u[t] = updates.address(t);
    pt[t] = parameterType;
    gt[t] = gradientType;
    segment[t] = t * SEGMENTS / TENSORS;
  }
  int64_t plan = 0;
  require(st_plan_create(device, TENSORS, p, pt, g, gt, u, COUNTS, segment, operands, 0, &plan), "st_plan_create");
  Random random{99};
  for (int slot = 0; slot < operands; ++slot)
    for (int t = 0; t < TENSORS; ++t) {
      std::vector<char> bytes(static_cast<size_t>(st_plan_bytes(plan, slot, t)) + 8);
      const int32_t type = computeType(parameterType);
      // Squares must not be negative; which slots those are, the test does not know.
      for (int64_t i = 0; i < COUNTS[t]; ++i) store<double>(bytes.data(), type, i, random.next() * 0.5 + 0.5);
      require(st_plan_write(plan, slot, t, 0, bytes.data(), st_plan_bytes(plan, slot, t), 0), "st_plan_write");
    }
  std::vector<int32_t> slots(static_cast<size_t>(operands));
  for (int o = 0; o < operands; ++o) slots[static_cast<size_t>(o)] = o;
  int32_t binding = 0;
  require(st_plan_bind(plan, kernel, slots.data(), operands, &binding), "st_plan_bind");
  double* const row = reinterpret_cast<double*>(st_binding_coefficients(plan, binding));
  for (int i = 0; i < SEGMENTS * coefficients; ++i) row[i] = random.next() * 0.5 + 0.5;
  // Twice: the second sweep goes the other way.
  for (int times = 0; times < 2; ++times) {
    require(st_sweep(plan, binding, 0), "st_sweep");
    require(st_wait(plan, 0), "st_wait");
  }
  Result result;
  const double* const sumRow = reinterpret_cast<const double*>(st_binding_sums(plan, binding));
  result.sums.assign(sumRow, sumRow + SEGMENTS * sums);
  CHECK(parameters.guardsIntact() && gradients.guardsIntact() && updates.guardsIntact());
  for (int slot = 0; slot < operands; ++slot)
    for (int t = 0; t < TENSORS; ++t) {
      std::vector<char> bytes(static_cast<size_t>(st_plan_bytes(plan, slot, t)));
      require(st_plan_read(plan, slot, t, 0, bytes.data(), static_cast<int64_t>(bytes.size()), 0), "st_plan_read");
      result.memory.push_back(bytes);
    }
  for (Arena* arena : {&parameters, &gradients, &updates})
    for (int t = 0; t < TENSORS; ++t) {
      const char* const begin = arena->base() + arena->offset[static_cast<size_t>(t)];
      result.memory.emplace_back(begin, begin + COUNTS[t] * bytesOf(arena->type));
    }
  st_plan_destroy(plan);
  return result;
}

void compare(const Result& here, const Result& there, const char* where, int32_t kernel, int32_t parameterType, int32_t gradientType) {
  const bool sums = here.sums.empty() || memcmp(here.sums.data(), there.sums.data(), here.sums.size() * sizeof(double)) == 0;
  if (sums && here.memory == there.memory) return;
  ++failures;
  fprintf(stderr, "%s with parameters of type %d and gradients of type %d: other %s %s than on the CPU\n", st_kernel_describe(kernel),
          parameterType, gradientType, sums ? "memory" : "sums", where);
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 2) return 2;
  const int every = count > 2 ? atoi(arguments[2]) : 1;
  int64_t cpu = 0, other = 0, opened = 0;
  require(st_device_open(nullptr, 0, 1, "", &cpu), "the CPU");
  setenv("STEPTUNER_CACHE_BYTES", "many", 1);
  CHECK(st_device_open(nullptr, 0, 1, "", &opened) == ST_BAD_ARGUMENT && strstr(st_last_error(), "STEPTUNER_CACHE_BYTES"));
  setenv("STEPTUNER_CACHE_BYTES", "0", 1);
  std::vector<int64_t> beyondCaches;
  for (const char* isa : {"sse2", "avx2", "avx512"})
    if (st_device_open(nullptr, 0, 2, isa, &opened) == ST_OK) beyondCaches.push_back(opened);
  CHECK(!beyondCaches.empty());
  unsetenv("STEPTUNER_CACHE_BYTES");
  require(st_device_open(arguments[1], 0, 0, "", &other), arguments[1]);
  int pair = 0, runs = 0;
  for (int32_t kernel = 0; kernel < st_kernel_count(); ++kernel)
    for (int32_t parameterType = 0; parameterType < TYPES; ++parameterType)
      for (int32_t gradientType = 0; gradientType < TYPES; ++gradientType) {
        if (pair++ % every) continue;
        const Result here = run(cpu, kernel, parameterType, gradientType);
        for (int64_t device : beyondCaches)
          compare(here, run(device, kernel, parameterType, gradientType), "beyond the caches", kernel, parameterType, gradientType);
        compare(here, run(other, kernel, parameterType, gradientType), "there", kernel, parameterType, gradientType);
        ++runs;
      }
  printf("%d kernels and type pairs on %s against %s\n", runs, st_device_name(other), st_device_name(cpu));
  st_device_close(other);
  for (int64_t device : beyondCaches) st_device_close(device);
  st_device_close(cpu);
  return report("kernels_test");
}
