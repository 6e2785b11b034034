// SPDX-License-Identifier: Apache-2.0
//
// One kernel over tensors of made numbers, through the C ABI, and all that it left: what the tests of all kernels share.
#pragma once
#include "../native/check.h"
#include "../native/description.h"
#include "steptuner.h"
#include "math/types.h"
#include <algorithm>
#include <map>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace kernel_run {

using description::matchesAny;
using description::split;

using steptuner::bitCast;
using steptuner::bytesOf;
using steptuner::computeType;
using steptuner::TYPES;

// The type of elements that are no numbers: what ST_REST holds.
constexpr int32_t NO_NUMBERS = -1;

// Tensors of what sizes, and in which segment each is; segments are counted from 0 and do not interleave. A shape outlives its runs.
struct Shape {
  std::vector<int64_t> counts;
  std::vector<int32_t> segments;

  int tensors() const { return static_cast<int>(counts.size()); }
  int segmentCount() const { return segments.back() + 1; }
  void add(int64_t count, int32_t segment) {
    counts.push_back(count);
    segments.push_back(segment);
  }
};

// Two tensors a segment.
constexpr int TENSORS = 6;
inline const Shape MIXED = {{1, 6, 0, 515, 4097, 9001}, {0, 0, 1, 1, 2, 2}};

constexpr int64_t GUARD = 64;
constexpr unsigned char GUARD_BYTE = 0xA5;

// What tensors, slots and coefficients are filled with. PLAIN: numbers between -1 and 1, in slots and coefficients between 0 and 1.
// SPECIAL: also zeros of both signs, subnormal and large numbers; coefficients that are 0, 1 or negative. NOT_FINITE: also infinities
// and NaN.
enum Values { PLAIN, SPECIAL, NOT_FINITE };

struct Random {
  uint64_t state;

  // Seeds that follow each other give numbers that do not.
  explicit Random(uint64_t seed) : state((seed + 1) * 0x9e3779b97f4a7c15u) {
    state = (state ^ state >> 30) * 0xbf58476d1ce4e5b9u;
    state ^= state >> 27;
  }
  double next() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return static_cast<double>(state >> 11) * 0x1p-52 - 1;
  }
  int below(int most) { return static_cast<int>((next() + 1) / 2 * most); }
};

// Every eighth number or so is a special one. The subnormal ones are subnormal in float16, in float32 and bfloat16, in float64.
inline double special(Random& random, Values values, double plain) {
  constexpr double numbers[] = {0.0,  -0.0,  3e-7,   -3e-7,   1e-40,    -1e-40, 2e-310, -2e-310,
                                1e-4, 60000, -60000, 1.25e19, -1.25e19, 3e38,   1e300};
  constexpr int COUNT = sizeof numbers / sizeof *numbers;
  if (values == PLAIN || random.below(8) != 0) return plain;
  if (values == NOT_FINITE && random.below(8) == 0) {
    const int which = random.below(3);
    return which == 0 ? INFINITY : which == 1 ? -INFINITY : NAN;
  }
  return numbers[random.below(COUNT)];
}

// An element, which is special only where its type can hold the number.
inline void put(char* array, int32_t type, int64_t i, Random& random, Values values, double plain) {
  const double number = special(random, values, plain);
  steptuner::store<double>(array, type, i, number);
  if (isfinite(number) && !isfinite(steptuner::load<double>(array, type, i))) steptuner::store<double>(array, type, i, plain);
}

// Memory of all tensors, with guard bytes around. Every other tensor begins one, two or three elements from an aligned address; how many
// depends on the seed, and so parameters, gradients and updates are not aligned alike.
struct Arena {
  std::vector<char> memory;
  std::vector<int64_t> offset;
  const Shape& shape;
  int32_t type;

  Arena(int32_t elementType, uint64_t seed, Values values, const Shape& of) : shape(of), type(elementType) {
    int64_t at = 0;
    for (int t = 0; t < shape.tensors(); ++t) {
      const int shift = t % 2 ? 1 + static_cast<int>((static_cast<uint64_t>(t) / 2 + seed) % 3) : 0;
      at = (at + GUARD + 63) / 64 * 64 + shift * bytesOf(type);
      offset.push_back(at);
      at += bytes(t);
    }
    memory.assign(static_cast<size_t>(at + GUARD + 64), static_cast<char>(GUARD_BYTE));
    Random random(seed);
    for (int t = 0; t < shape.tensors(); ++t)
      for (int64_t i = 0; i < shape.counts[static_cast<size_t>(t)]; ++i)
        put(base() + offset[static_cast<size_t>(t)], type, i, random, values, random.next());
  }
  Arena(const Arena& other)
      : memory(other.memory.size(), static_cast<char>(GUARD_BYTE)), offset(other.offset), shape(other.shape), type(other.type) {
    for (int t = 0; t < shape.tensors(); ++t) {
      const char* const from = other.base() + offset[static_cast<size_t>(t)];
      std::copy(from, from + bytes(t), base() + offset[static_cast<size_t>(t)]);
    }
  }
  Arena& operator=(const Arena&) = delete;

  int64_t bytes(int t) const { return shape.counts[static_cast<size_t>(t)] * bytesOf(type); }

  char* base() { return aligned(memory.data()); }
  const char* base() const { return aligned(const_cast<char*>(memory.data())); }
  int64_t address(int t) { return reinterpret_cast<int64_t>(base() + offset[static_cast<size_t>(t)]); }

  bool guardsIntact() {
    const char* from = base();
    for (int t = 0; t <= shape.tensors(); ++t) {
      const char* const until = t < shape.tensors() ? base() + offset[static_cast<size_t>(t)] : memory.data() + memory.size();
      for (; from < until; ++from)
        if (static_cast<unsigned char>(*from) != GUARD_BYTE) return false;
      if (t < shape.tensors()) from += bytes(t);
    }
    return true;
  }

 private:
  static char* aligned(char* memory) { return memory + (-reinterpret_cast<uintptr_t>(memory) & 63); }
};

struct Result {
  std::vector<std::vector<char>> memory;  // slots, parameters, gradients, updates; each tensor by tensor
  std::vector<int32_t> types;             // of each entry of memory
  std::vector<double> sums;
};

inline void require(st_status status, const char* what) {
  if (status == ST_OK) return;
  fprintf(stderr, "%s: %s\n", what, st_last_error());
  exit(2);
}

inline void sweepAndWait(int64_t plan, int32_t binding) {
  require(st_sweep(plan, binding, 0), "st_sweep");
  require(st_wait(plan, 0), "st_wait");
}

// Whether both have the same bits, where every NaN counts as every other one: which of its many bit patterns comes out is the hardware's
// affair.
inline bool same(const char* one, const char* other, int32_t type, size_t bytes) {
  if (bytes == 0 || memcmp(one, other, bytes) == 0) return true;
  if (type == NO_NUMBERS) return false;
  const size_t width = static_cast<size_t>(bytesOf(type));
  for (size_t i = 0; i < bytes / width; ++i)
    if (memcmp(one + i * width, other + i * width, width) != 0 && !(isnan(steptuner::load<double>(one, type, static_cast<int64_t>(i))) &&
                                                                    isnan(steptuner::load<double>(other, type, static_cast<int64_t>(i)))))
      return false;
  return true;
}

inline bool sameSums(const Result& one, const Result& other) {
  return one.sums.size() == other.sums.size() &&
         (one.sums.empty() || same(reinterpret_cast<const char*>(one.sums.data()), reinterpret_cast<const char*>(other.sums.data()),
                                   steptuner::FLOAT64, one.sums.size() * sizeof(double)));
}

inline bool sameMemory(const Result& one, const Result& other) {
  if (one.memory.size() != other.memory.size()) return false;
  for (size_t m = 0; m < one.memory.size(); ++m)
    if (one.memory[m].size() != other.memory[m].size() ||
        !same(one.memory[m].data(), other.memory[m].data(), one.types[m], one.memory[m].size()))
      return false;
  return true;
}

// How run() sweeps; a test may put something around it.
inline void (*sweepOnce)(int64_t plan, int32_t binding) = sweepAndWait;

// The same contents are wanted for every kernel and device: they are made once.
inline const Arena& contents(int32_t type, uint64_t seed, Values values, const Shape& shape) {
  static std::map<std::tuple<int32_t, uint64_t, Values, const Shape*>, Arena> made;
  const auto key = std::make_tuple(type, seed, values, &shape);
  auto found = made.find(key);
  if (found == made.end()) found = made.emplace(key, Arena(type, seed, values, shape)).first;
  return found->second;
}

// Squares must not be negative; which slots those are, the test does not know. `narrow`: only numbers that a bfloat16 holds.
inline const std::vector<char>& slotContents(int32_t type, int slot, int tensor, Values values, const Shape& shape, bool narrow = false) {
  static std::map<std::tuple<int32_t, int, int, Values, const Shape*, bool>, std::vector<char>> made;
  const auto key = std::make_tuple(type, slot, tensor, values, &shape, narrow);
  auto found = made.find(key);
  if (found == made.end()) {
    const int64_t count = shape.counts[static_cast<size_t>(tensor)];
    std::vector<char> bytes(static_cast<size_t>(count * bytesOf(type)) + 8);
    Random random(static_cast<uint64_t>(99 + 1000 * slot + tensor));
    for (int64_t i = 0; i < count; ++i) {
      char half[2];
      put(narrow ? half : bytes.data(), narrow ? int32_t(steptuner::BFLOAT16) : type, narrow ? 0 : i, random, values,
          random.next() * 0.5 + 0.5);
      if (narrow) steptuner::store<double>(bytes.data(), type, i, steptuner::load<double>(half, steptuner::BFLOAT16, 0));
    }
    found = made.emplace(key, bytes).first;
  }
  return found->second;
}

// What a bfloat16 parameter may be short of a float32: any bits.
inline std::vector<char> restContents(int tensor, int64_t bytes) {
  std::vector<char> rest(static_cast<size_t>(bytes));
  Random random(static_cast<uint64_t>(77000 + tensor));
  for (char& byte : rest) byte = static_cast<char>(random.below(256));
  return rest;
}

// Coefficient `number` of a segment. Segment 0 keeps to plain numbers; the others have a special one in every other place, which is often
// not positive: that is where formulas branch.
inline double coefficient(int segment, int number, Values values) {
  Random random(static_cast<uint64_t>(11 + 100 * segment + number));
  const double plain = random.next() * 0.5 + 0.5;
  if (values == PLAIN || segment == 0 || (segment + number) % 2 != 0) return plain;
  constexpr double numbers[] = {0, 1, 0, -0.75, 0, 2.5, 1e-8, -1, 7, 1e4};
  return numbers[random.below(10)];
}

// Whether the exponential average comes after each sweep of a kernel, and how.
enum Follower { NONE, FOLLOWS, SWEEP_OF_ITS_OWN };

// How slots are stored and 16-bit parameters rounded. Storages are taken in turn, but of what a kernel calls "reference", whose storage is
// that of `reference`. Random bits are those of SEED, of step STEP and the one after it, and of keys that are one for each tensor.
struct Precision {
  std::vector<int32_t> storage = {ST_COMPUTED};
  int32_t reference = ST_COMPUTED;
  int32_t rounding = ST_NEAREST;
  int sweeps = 2;
  bool narrow = false;  // slots hold at first what a bfloat16 can hold, and of parameters in parts there is no rest
};
constexpr int64_t SEED = -4711, STEP = 12345;
inline int64_t keyOf(int tensor) { return static_cast<int64_t>(static_cast<uint64_t>(tensor) * 0x9e3779b97f4a7c15u - 77); }

// Two sweeps of a kernel, the second one the other way. `present` is what st_plan_set_present takes; null for all tensors.
inline Result run(int64_t device, int32_t kernel, int32_t parameterType, int32_t gradientType, Values values = PLAIN,
                  Follower follower = NONE, const int32_t* present = nullptr, const Shape& shape = MIXED,
                  const Precision& precision = Precision()) {
  const std::vector<std::string> parts = split(st_kernel_describe(kernel), '|');
  const std::vector<std::string> operandTexts = split(parts[2], ',');
  const int operands = static_cast<int>(operandTexts.size());
  const std::vector<std::string> coefficientNames = split(parts[3], ',');
  const int coefficients = static_cast<int>(coefficientNames.size());
  const int sums = parts.size() > 4 ? static_cast<int>(split(parts[4], ',').size()) : 0;
  const int32_t stateType = computeType(parameterType);
  Arena parameters = contents(parameterType, 1, values, shape), gradients = contents(gradientType, 2, values, shape),
        updates = contents(stateType, 3, values, shape);
  const int tensors = shape.tensors(), segments = shape.segmentCount();
  std::vector<int64_t> p, g, u;
  for (int t = 0; t < tensors; ++t) {
    p.push_back(parameters.address(t));
    g.push_back(gradients.address(t));
    u.push_back(updates.address(t));
  }
  const std::vector<int32_t> pt(shape.counts.size(), parameterType), gt(shape.counts.size(), gradientType);
  int64_t plan = 0;
  const int slotCount = follower == NONE ? operands : operands + 1;
  const bool inParts = precision.rounding == ST_IN_PARTS;
  std::vector<int32_t> storage;
  for (int slot = 0; slot < slotCount; ++slot) {
    const bool isReference = slot < operands && operandTexts[static_cast<size_t>(slot)].compare(0, 10, "reference:") == 0;
    storage.push_back(isReference ? precision.reference : precision.storage[static_cast<size_t>(slot) % precision.storage.size()]);
  }
  if (inParts) storage.push_back(ST_REST);
  require(st_plan_create(device, tensors, p.data(), pt.data(), g.data(), gt.data(), u.data(), shape.counts.data(), shape.segments.data(),
                         static_cast<int32_t>(storage.size()), storage.data(), 0, &plan),
          "st_plan_create");
  for (int slot = 0; slot < slotCount; ++slot)
    for (int t = 0; t < tensors; ++t) {
      const std::vector<char>& content = slotContents(st_plan_type(plan, slot, t), slot, t, values, shape, precision.narrow);
      require(st_plan_write(plan, slot, t, 0, content.data(), st_plan_bytes(plan, slot, t), 0), "st_plan_write");
    }
  for (int t = 0; t < tensors && inParts && !precision.narrow; ++t) {
    const std::vector<char> content = restContents(t, st_plan_bytes(plan, slotCount, t));
    require(st_plan_write(plan, slotCount, t, 0, content.data(), static_cast<int64_t>(content.size()), 0), "st_plan_write");
  }
  std::vector<int64_t> keys;
  for (int t = 0; t < tensors; ++t) keys.push_back(keyOf(t));
  require(st_plan_set_rounding(plan, precision.rounding, inParts ? slotCount : -1, SEED, keys.data(), nullptr), "st_plan_set_rounding");
  std::vector<int32_t> slots(static_cast<size_t>(operands));
  for (int o = 0; o < operands; ++o) slots[static_cast<size_t>(o)] = o;
  int32_t binding = 0;
  require(st_plan_bind(plan, kernel, slots.data(), operands, &binding), "st_plan_bind");
  double* const row = reinterpret_cast<double*>(st_binding_coefficients(plan, binding));
  for (int s = 0; s < segments; ++s)
    for (int i = 0; i < coefficients; ++i) row[s * coefficients + i] = coefficient(s, i, values);
  // A period is a whole number, and below 1 it is none. The recorded digests are of the mixed shape, without one.
  const auto period = std::find(coefficientNames.begin(), coefficientNames.end(), "period");
  if (&shape != &MIXED && period != coefficientNames.end())
    for (int s = 0; s < segments; ++s) row[s * coefficients + (period - coefficientNames.begin())] = 3;
  int32_t average = 0;
  if (follower != NONE) {
    const int32_t averageSlots[] = {-1, operands};
    require(st_plan_bind(plan, st_kernel_find("exponential_average", ""), averageSlots, 2, &average), "st_plan_bind");
    for (int s = 0; s < segments; ++s) reinterpret_cast<double*>(st_binding_coefficients(plan, average))[s] = 0.1 + 0.3 * s;
  }
  if (present) require(st_plan_set_present(plan, present), "st_plan_set_present");
  for (int times = 0; times < precision.sweeps; ++times) {
    st_plan_set_step(plan, STEP + times);
    if (follower == FOLLOWS)
      require(st_sweep_followed(plan, binding, average, 0), "st_sweep_followed");
    else
      sweepOnce(plan, binding);
    if (follower == SWEEP_OF_ITS_OWN) require(st_sweep(plan, average, 0), "st_sweep");
    require(st_wait(plan, 0), "st_wait");
  }
  Result result;
  const double* const sumRow = reinterpret_cast<const double*>(st_binding_sums(plan, binding));
  result.sums.assign(sumRow, sumRow + segments * sums);
  CHECK(parameters.guardsIntact() && gradients.guardsIntact() && updates.guardsIntact());
  for (int slot = 0; slot < static_cast<int>(storage.size()); ++slot)
    for (int t = 0; t < tensors; ++t) {
      std::vector<char> bytes(static_cast<size_t>(st_plan_bytes(plan, slot, t)));
      require(st_plan_read(plan, slot, t, 0, bytes.data(), static_cast<int64_t>(bytes.size()), 0), "st_plan_read");
      result.memory.push_back(bytes);
      result.types.push_back(slot == slotCount ? NO_NUMBERS : st_plan_type(plan, slot, t));
    }
  for (Arena* arena : {&parameters, &gradients, &updates})
    for (int t = 0; t < tensors; ++t) {
      const char* const begin = arena->base() + arena->offset[static_cast<size_t>(t)];
      result.memory.emplace_back(begin, begin + arena->bytes(t));
      result.types.push_back(arena->type);
    }
  st_plan_destroy(plan);
  return result;
}

// The instruction sets that this library and processor have (the others say why not), each with threads of its own; for memory beyond the
// caches, or not.
inline std::vector<int64_t> openAll(int32_t threads, bool beyondCaches) {
  std::vector<int64_t> devices;
  if (beyondCaches) setenv("STEPTUNER_CACHE_BYTES", "0", 1);
  int64_t opened = 0;
  for (const char* isa : {"sse2", "avx2", "avx512"})
    if (st_device_open(nullptr, 0, threads, isa, &opened) == ST_OK)
      devices.push_back(opened);
    else  // "sse2 (not built into this library)", "avx512 (not on this processor)"
      CHECK(std::string(st_last_error()).find(std::string(isa) + " (not ") != std::string::npos);
  unsetenv("STEPTUNER_CACHE_BYTES");
  CHECK(!devices.empty());
  return devices;
}

}  // namespace kernel_run
