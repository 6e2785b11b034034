// SPDX-License-Identifier: Apache-2.0
//
// Rounding to 16 bits: the functions of math/rounding.h by themselves, their random bits by statistics (of fixed seeds, so that the numbers are
// always the same), and what sweeps make of both, through the C ABI, on every instruction set or the device library that is named.
//
//   rounding_test [<device library>]
#include "check.h"
#include "core/summation.h"
#include "math/rounding.h"
#include "steptuner.h"
#include <math.h>
#include <string.h>
#include <string>
#include <vector>

using namespace steptuner;

namespace {

constexpr uint32_t RANDOM[] = {0, 1, 7, 8, 0x7fff, 0x8000, 0xfff8, 0xffff};

uint16_t stochasticHalf(int32_t type, float value, uint32_t random) {
  uint16_t half = 0;
  storeRounded(&half, type, 0, value, true, random);
  return half;
}
float widened(int32_t type, uint16_t half) { return type == BFLOAT16 ? fromBfloat16(half) : fromFloat16(half); }

bool sameFloat(float a, float b) { return bitCast<uint32_t>(a) == bitCast<uint32_t>(b) || (isnan(a) && isnan(b)); }
bool sameHalf(int32_t type, uint16_t a, uint16_t b) { return a == b || (isnan(widened(type, a)) && isnan(widened(type, b))); }

// Numbers of all sorts: of every exponent and sign, with fractions of all kinds; infinities and NaN, also those whose upper half is infinity.
std::vector<float> manyNumbers() {
  std::vector<float> numbers;
  for (uint32_t exponent = 0; exponent < 512; ++exponent)
    for (const uint32_t fraction : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu, 0x10000u, 0x18000u, 0x3fffffu, 0x7f0000u, 0x7fdfffu,
                                    0x7fe000u, 0x7fefffu, 0x7ff000u, 0x7f8000u, 0x7fffffu, exponent * 0x3d2c1u % 0x800000u})
      numbers.push_back(bitCast<float>(exponent << 23 | fraction));
  return numbers;
}

void exactValuesStay() {
  for (uint32_t bits = 0; bits < 0x10000 && failures == 0; ++bits)
    for (const int32_t type : {BFLOAT16, FLOAT16}) {
      const uint16_t half = static_cast<uint16_t>(bits);
      const float value = widened(type, half);
      for (const uint32_t random : RANDOM) CHECK(sameHalf(type, stochasticHalf(type, value, random), half));
      uint16_t nearest = 0;
      storeRounded(&nearest, type, 0, value, false, 0);
      CHECK(sameHalf(type, nearest, half));
    }
}

// Away from zero or towards it, and never beyond the largest number.
void staysBetweenNeighbours() {
  for (const float value : manyNumbers())
    for (const int32_t type : {BFLOAT16, FLOAT16}) {
      const float below = widened(type, stochasticHalf(type, value, 0));
      const float magnitude = fabsf(value);
      for (const uint32_t random : RANDOM) {
        const float rounded = widened(type, stochasticHalf(type, value, random));
        if (isnan(value)) {
          CHECK(isnan(rounded));
        } else if (isinf(value) || (type == FLOAT16 && magnitude >= 65536)) {
          CHECK(isinf(rounded) && signbit(rounded) == signbit(value));
        } else {
          CHECK(isfinite(rounded) && signbit(rounded) == signbit(value) && fabsf(below) <= magnitude);
          const float above = widened(type, static_cast<uint16_t>(stochasticHalf(type, value, 0) + 1));
          CHECK(sameFloat(rounded, below) || (sameFloat(rounded, above) && fabsf(above) > magnitude));
        }
        if (failures > 20) return;
      }
    }
  CHECK_EQUAL(stochasticHalf(BFLOAT16, bitCast<float>(0x7f7fffffu), 0xffff), 0x7f7f);
  CHECK_EQUAL(stochasticHalf(BFLOAT16, bitCast<float>(0xff7fffffu), 0xffff), 0xff7f);
  CHECK_EQUAL(stochasticHalf(FLOAT16, 65535.99f, 0xffff), 0x7bff);
  CHECK_EQUAL(stochasticHalf(FLOAT16, -65504.01f, 0xffff), 0xfbff);
}

// Over all random bits there are, the mean is the number itself, but for what of a float16 is below its 13 bits.
void isUnbiased() {
  const float numbers[] = {1.0001f, -1.2345f, 3.14159f, 1e-3f,  65000.7f, -7e-5f, 6.3e-5f,
                           5e-6f,   -3.3e-7f, 2e-8f,    1e-20f, -1e-38f,  3e-39f, -1e-40f};
  for (const int32_t type : {BFLOAT16, FLOAT16})
    for (const float value : numbers) {
      double sum = 0;
      for (uint32_t random = 0; random < 0x10000; ++random) sum += widened(type, stochasticHalf(type, value, random));
      const uint16_t half = stochasticHalf(type, value, 0);
      const double step = fabs(static_cast<double>(widened(type, static_cast<uint16_t>(half + 1))) - widened(type, half));
      CHECK(fabs(sum / 0x10000 - value) <= (type == BFLOAT16 ? 0 : step / 8192));
    }
}

void partsAreAFloat() {
  const auto there = [](uint32_t bits) { return ofParts(upperPart(bits), restPart(bits)); };
  for (uint64_t bits = 0; bits < (uint64_t(1) << 32) && failures == 0; bits += 977) {
    const float value = bitCast<float>(static_cast<uint32_t>(bits));
    CHECK(sameFloat(bitCast<float>(there(static_cast<uint32_t>(bits))), value));
  }
  for (const float value : manyNumbers()) {
    const uint32_t bits = bitCast<uint32_t>(value);
    CHECK(sameFloat(bitCast<float>(there(bits)), value));
    // The upper part alone is the nearest, of two equally near ones that away from zero.
    const float upper = fromBfloat16(upperPart(bits));
    if (isnan(value))
      CHECK(isnan(upper) && restPart(bits) == 0);
    else if ((bits & 0xffffu) != 0x8000u)
      CHECK_EQUAL(upperPart(bits), toBfloat16(value));
  }
}

// Samples of 16 bits: their mean, how they spread over sixteen classes, and whether they go with others.
struct Samples {
  double count = 0, sum = 0, product = 0;
  double classes[16] = {};

  void add(uint32_t random, uint32_t other) {
    const double a = random / 65535.0 - 0.5, b = other / 65535.0 - 0.5;
    count += 1;
    sum += a;
    product += a * b;
    ++classes[random >> 12];
  }
  // Within five standard deviations, and a chi-square of 15 degrees of freedom that is exceeded once in 10^5.
  void check(const char* what, int place) const {
    double spread = 0;
    for (const double each : classes) spread += (each - count / 16) * (each - count / 16) / (count / 16);
    const bool fine = fabs(sum / count) < 5 * sqrt(1 / 12.0 / count) && fabs(product / count) < 5 / 12.0 / sqrt(count) && spread < 50;
    CHECK(fine);
    if (!fine) fprintf(stderr, "  %s, place %d: mean %g, product %g, chi-square %g\n", what, place, sum / count, product / count, spread);
  }
};

uint32_t wordAt(uint64_t steps, uint64_t tensor, int64_t i) {
  return wordOf(chunkKey(steps, tensor, i / CHUNK) + static_cast<uint32_t>(i % CHUNK) * ELEMENT_STEP);
}

void randomBitsAreRandom() {
  constexpr int64_t COUNT = 1 << 18;
  constexpr int PLACES = 8;
  const uint64_t sweep = mixed(17), tensor = mixed(4);
  for (int place = 0; place < PLACES; ++place) {
    const auto of = [place](uint32_t word) { return randomOf(word, place); };
    Samples neighbours, rows, chunks, steps, tensors;
    for (int64_t i = 0; i < COUNT; ++i) {
      const uint64_t first = stepKey(sweep, 5);
      const uint32_t here = of(wordAt(first, tensor, i));
      neighbours.add(here, of(wordAt(first, tensor, i + 1)));
      rows.add(here, of(wordAt(first, tensor, i + 128)));
      chunks.add(here, of(wordAt(first, tensor, i + CHUNK)));
      tensors.add(here, of(wordAt(first, mixed(5), i)));
      steps.add(of(wordAt(stepKey(sweep, i), tensor, 77)), of(wordAt(stepKey(sweep, i + 1), tensor, 77)));
    }
    neighbours.check("neighbours in a step", place);
    rows.check("rows in a step", place);
    chunks.check("chunks in a step", place);
    tensors.check("two tensors", place);
    steps.check("an element over the steps", place);
    for (int other = 0; other < place; ++other) {
      Samples both;
      for (int64_t i = 0; i < COUNT / 4; ++i) {
        const uint32_t word = wordAt(stepKey(sweep, i % 7), tensor, i);
        both.add(of(word), randomOf(word, other));
      }
      both.check("two places of an element", 10 * place + other);
    }
  }
}

void require(st_status status, const char* what) {
  if (status == ST_OK) return;
  ++failures;
  fprintf(stderr, "%s: %s\n", what, st_last_error());
}

uint64_t keyOfSweep(const char* name, int64_t seed) {
  uint64_t hash = 14695981039346656037u;
  for (; *name; ++name) hash = (hash ^ static_cast<unsigned char>(*name)) * 1099511628211u;
  return mixed(static_cast<uint64_t>(seed) + hash);
}

constexpr int64_t SEED = 1234567;

// Tensors in memory of the test, each some elements from an aligned address, and a plan over them.
struct Fixture {
  int64_t device;
  int64_t plan = 0;
  std::vector<int32_t> types;
  std::vector<int64_t> counts;
  std::vector<std::vector<char>> x, g;

  Fixture(int64_t on, int32_t parameterType, std::vector<int64_t> elements, std::vector<int32_t> storage, int offset = 0)
      : Fixture(on, std::vector<int32_t>(elements.size(), parameterType), elements, storage, offset) {}
  Fixture(int64_t on, std::vector<int32_t> parameterTypes, std::vector<int64_t> elements, std::vector<int32_t> storage, int offset = 0)
      : device(on), types(parameterTypes), counts(elements), shift(offset) {
    std::vector<int64_t> parameters, gradients;
    const std::vector<int32_t> gradientTypes(counts.size(), ST_FLOAT32), segments(counts.size(), 0);
    for (size_t t = 0; t < counts.size(); ++t) {
      x.emplace_back(static_cast<size_t>((counts[t] + shift) * bytesOf(types[t])) + 128);
      g.emplace_back(static_cast<size_t>((counts[t] + shift) * 4) + 128);
    }
    for (size_t t = 0; t < counts.size(); ++t) {
      parameters.push_back(reinterpret_cast<int64_t>(parameter(t)));
      gradients.push_back(reinterpret_cast<int64_t>(gradient(t)));
    }
    require(
        st_plan_create(device, static_cast<int32_t>(counts.size()), parameters.data(), types.data(), gradients.data(), gradientTypes.data(),
                       nullptr, counts.data(), segments.data(), static_cast<int32_t>(storage.size()), storage.data(), 0, &plan),
        "st_plan_create");
  }
  ~Fixture() { st_plan_destroy(plan); }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  char* parameter(size_t t) { return aligned(x[t]) + shift * bytesOf(types[t]); }
  float* gradient(size_t t) { return reinterpret_cast<float*>(aligned(g[t])) + shift; }

  void rounding(int32_t how, int32_t rest = -1, std::vector<int64_t> keys = {}, std::vector<int64_t> begins = {}) {
    require(st_plan_set_rounding(plan, how, rest, SEED, keys.empty() ? nullptr : keys.data(), begins.empty() ? nullptr : begins.data()),
            "st_plan_set_rounding");
  }
  int32_t bind(const char* sweep, const char* rule, const std::vector<int32_t>& slots, const std::vector<double>& coefficients = {}) {
    int32_t binding = -1;
    require(st_plan_bind(plan, st_kernel_find(sweep, rule), slots.data(), static_cast<int32_t>(slots.size()), &binding), "st_plan_bind");
    memcpy(reinterpret_cast<void*>(st_binding_coefficients(plan, binding)), coefficients.data(), coefficients.size() * sizeof(double));
    return binding;
  }
  void sweep(int32_t binding, int64_t step = 0) {
    st_plan_set_step(plan, step);
    require(st_sweep(plan, binding, 0), "st_sweep");
    require(st_wait(plan, 0), "st_wait");
  }
  // x <- x - rate g.
  int32_t sgd(double rate) { return bind("fixed_rate", "sgd", {-1, -1}, {1, rate, 0}); }

  template <class E>
  std::vector<E> slot(int32_t number, size_t t) {
    std::vector<E> content(static_cast<size_t>(st_plan_bytes(plan, number, static_cast<int32_t>(t))) / sizeof(E));
    require(st_plan_read(plan, number, static_cast<int32_t>(t), 0, content.data(), static_cast<int64_t>(content.size() * sizeof(E)), 0),
            "st_plan_read");
    return content;
  }
  template <class E>
  void write(int32_t number, size_t t, const std::vector<E>& content) {
    require(st_plan_write(plan, number, static_cast<int32_t>(t), 0, content.data(), static_cast<int64_t>(content.size() * sizeof(E)), 0),
            "st_plan_write");
  }
  std::vector<uint16_t> halves(size_t t) {
    const uint16_t* const from = reinterpret_cast<const uint16_t*>(parameter(t));
    return {from, from + counts[t]};
  }

 private:
  int shift;

  static char* aligned(std::vector<char>& memory) { return memory.data() + (-reinterpret_cast<uintptr_t>(memory.data()) & 63); }
};

// What one sweep writes, element by element, at each alignment and up to each end of a vector.
void sweepsRoundAsTheFunctionsDo(int64_t device) {
  const std::vector<float> numbers = manyNumbers();
  for (const int shift : {0, 1, 3})
    for (const int64_t count : {int64_t(numbers.size()), int64_t(4096 + 129), int64_t(515)}) {
      const auto key = [&](const char* sweep, int64_t step) { return stepKey(keyOfSweep(sweep, SEED), step); };
      const uint64_t tensor = mixed(99);
      {
        // State is stochastic.
        Fixture f(device, ST_FLOAT32, {count}, {ST_HALF}, shift);
        memcpy(f.parameter(0), numbers.data(), static_cast<size_t>(count) * 4);
        f.rounding(ST_NEAREST, -1, {99});
        f.sweep(f.bind("reference", "", {-1, 0}), 31);
        const std::vector<uint16_t> seen = f.slot<uint16_t>(0, 0);
        for (int64_t i = 0; i < count; ++i) {
          const uint32_t random = randomOf(wordAt(key("reference", 31), tensor, i), 0);
          CHECK(sameHalf(BFLOAT16, seen[static_cast<size_t>(i)], stochasticHalf(BFLOAT16, numbers[static_cast<size_t>(i)], random)));
        }
      }
      for (const int32_t type : {BFLOAT16, FLOAT16}) {
        // Parameters that are only written go to the nearest, whatever the rounding is.
        Fixture f(device, type, {count}, {ST_COMPUTED}, shift);
        f.write(0, 0, std::vector<float>(numbers.begin(), numbers.begin() + count));
        f.rounding(ST_STOCHASTIC, -1, {99});
        f.sweep(f.bind("training", "", {-1, 0}));
        const std::vector<uint16_t> before = f.halves(0);
        for (int64_t i = 0; i < count; ++i) {
          uint16_t nearest = 0;
          storeRounded(&nearest, type, 0, numbers[static_cast<size_t>(i)], false, 0);
          CHECK(sameHalf(type, before[static_cast<size_t>(i)], nearest));
          if (failures > 20) return;
        }
        // Those that a step moves are stochastic.
        for (int64_t i = 0; i < count; ++i) f.gradient(0)[i] = numbers[static_cast<size_t>((i * 31 + 7) % count)];
        f.sweep(f.sgd(0.001), 8);
        const std::vector<uint16_t> after = f.halves(0);
        for (int64_t i = 0; i < count; ++i) {
          const float scaled = 1.0f * f.gradient(0)[i];
          const float x = widened(type, before[static_cast<size_t>(i)]);
          const float moved = x - 0.001f * (scaled + 0.0f * x);
          const uint32_t random = randomOf(wordAt(key("fixed_rate", 8), tensor, i), 0);
          if (isfinite(scaled) && isfinite(x)) CHECK(sameHalf(type, after[static_cast<size_t>(i)], stochasticHalf(type, moved, random)));
          if (failures > 20) return;
        }
      }
      {
        // In parts a parameter is a float32.
        Fixture f(device, ST_BFLOAT16, {count}, {ST_COMPUTED, ST_COMPUTED, ST_REST}, shift);
        const std::vector<float> all(numbers.begin(), numbers.begin() + count);
        f.write(0, 0, all);
        f.rounding(ST_IN_PARTS, 2);
        f.sweep(f.bind("training", "", {-1, 0}));
        f.sweep(f.bind("reference", "", {-1, 1}));
        const std::vector<uint16_t> upper = f.halves(0), rest = f.slot<uint16_t>(2, 0);
        const std::vector<float> seen = f.slot<float>(1, 0);
        for (size_t i = 0; i < all.size(); ++i) {
          const uint32_t bits = bitCast<uint32_t>(all[i]);
          CHECK(sameFloat(seen[i], all[i]));
          CHECK(sameHalf(BFLOAT16, upper[i], upperPart(bits)) && rest[i] == restPart(bits));
          if (failures > 20) return;
        }
      }
    }
}

// Steps that are a part of the distance of two 16-bit numbers come out right on average, over the elements.
void smallStepsAddUp(int64_t device) {
  constexpr int64_t COUNT = 5000;
  constexpr int STEPS = 400;
  const struct {
    int32_t type;
    float from, step;
  } cases[] = {{BFLOAT16, 1, 0x1p-11f}, {BFLOAT16, -3, 0x1p-13f},      {BFLOAT16, 0x1p-130f, 0x1p-137f},
               {FLOAT16, 1, 0x1p-14f},  {FLOAT16, 0x1p-16f, 0x1p-27f}, {FLOAT16, -0x1p-20f, -0x1p-27f}};
  for (const auto& each : cases) {
    Fixture f(device, each.type, {COUNT}, {});
    for (int64_t i = 0; i < COUNT; ++i) {
      steptuner::store<float>(f.parameter(0), each.type, i, each.from);
      f.gradient(0)[i] = -each.step;
    }
    f.rounding(ST_STOCHASTIC);
    const int32_t sgd = f.sgd(1);
    for (int step = 0; step < STEPS; ++step) f.sweep(sgd, step);
    double sum = 0;
    for (const uint16_t half : f.halves(0)) sum += widened(each.type, half);
    const uint16_t half = stochasticHalf(each.type, each.from, 0);
    const double distance = fabs(static_cast<double>(widened(each.type, static_cast<uint16_t>(half + 1))) - each.from);
    // Each step varies by p (1 - p) of a distance, squared; further on distances may be twice as long.
    const double p = fabs(static_cast<double>(each.step)) / distance;
    const double deviation = 2 * distance * sqrt(p * STEPS / COUNT);
    CHECK(fabs(sum / COUNT - (each.from + STEPS * static_cast<double>(each.step))) < 5 * deviation + distance / 8192 * STEPS);
    CHECK(fabs(STEPS * static_cast<double>(each.step)) > 10 * deviation);  // so it says something
  }
  // The same for state: an average that moves by less than it can hold.
  Fixture f(device, ST_FLOAT32, {COUNT}, {ST_HALF});
  for (int64_t i = 0; i < COUNT; ++i) reinterpret_cast<float*>(f.parameter(0))[i] = 2;
  require(st_plan_fill(f.plan, 0, 1, 0), "st_plan_fill");
  f.rounding(ST_NEAREST);
  const int32_t average = f.bind("exponential_average", "", {-1, 0}, {0x1p-10});
  for (int step = 0; step < STEPS; ++step) f.sweep(average, step);
  double sum = 0;
  for (const uint16_t half : f.slot<uint16_t>(0, 0)) sum += fromBfloat16(half);
  CHECK(fabs(sum / COUNT - (2 - pow(1 - 0x1p-10, STEPS))) < 0.003);
}

// Random bits are of an element's place in the whole tensor, whatever else a plan holds.
void piecesHaveTheBitsOfTheWhole(int64_t device) {
  constexpr int64_t CUT = 2 * CHUNK, WHOLE = CUT + CHUNK + 777, OTHER = 1000;
  const auto fill = [](Fixture& f, size_t t, int64_t begin, int salt) {
    for (int64_t i = 0; i < f.counts[t]; ++i) {
      steptuner::store<float>(f.parameter(t), ST_BFLOAT16, i, static_cast<float>(sin(static_cast<double>(begin + i + salt))));
      f.gradient(t)[i] = static_cast<float>(cos(static_cast<double>(begin + i) * 3 + salt));
    }
  };
  const auto step = [](Fixture& f) {
    const int32_t adam = f.bind("fixed_rate", "adam", {-1, -1, 0, 1}, {1, 0.003, 0, 0, 0.9, 0.1, 0.99, 0.01, 1, 1e-8});
    for (const int64_t number : {1, 2, 3}) f.sweep(adam, number);
  };
  const std::vector<int32_t> storage = {ST_HALF, ST_AS_PARAMETER};
  Fixture whole(device, ST_BFLOAT16, {OTHER, WHOLE}, storage), pieces(device, ST_BFLOAT16, {WHOLE - CUT, CUT}, storage),
      alone(device, ST_BFLOAT16, {OTHER}, storage);
  fill(whole, 0, 0, 1);
  fill(whole, 1, 0, 2);
  fill(pieces, 0, CUT, 2);
  fill(pieces, 1, 0, 2);
  fill(alone, 0, 0, 1);
  whole.rounding(ST_STOCHASTIC, -1, {5, 6});
  pieces.rounding(ST_STOCHASTIC, -1, {6, 6}, {CUT, 0});
  alone.rounding(ST_STOCHASTIC, -1, {5});
  for (Fixture* f : {&whole, &pieces, &alone}) step(*f);
  const auto joined = [&](std::vector<uint16_t> first, const std::vector<uint16_t>& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
  };
  CHECK(joined(pieces.halves(1), pieces.halves(0)) == whole.halves(1));
  CHECK(alone.halves(0) == whole.halves(0));
  for (const int32_t slot : {0, 1}) {
    CHECK(joined(pieces.slot<uint16_t>(slot, 1), pieces.slot<uint16_t>(slot, 0)) == whole.slot<uint16_t>(slot, 1));
    CHECK(alone.slot<uint16_t>(slot, 0) == whole.slot<uint16_t>(slot, 0));
  }
  // And they are those of the seed, the sweep's name, the step and the key: another of them, and other bits.
  const auto rounded = [&](const char* sweep, int64_t seed, int64_t number, int64_t key) {
    Fixture f(device, ST_FLOAT32, {OTHER}, {ST_HALF, ST_COMPUTED});
    for (int64_t i = 0; i < OTHER; ++i) reinterpret_cast<float*>(f.parameter(0))[i] = 1.003f;
    require(st_plan_set_rounding(f.plan, ST_NEAREST, -1, seed, &key, nullptr), "st_plan_set_rounding");
    const bool isReference = strcmp(sweep, "reference") == 0;
    f.sweep(isReference ? f.bind(sweep, "", {-1, 0}) : f.bind(sweep, "", {-1, 0}, {1}), number);
    return f.slot<uint16_t>(0, 0);
  };
  const std::vector<uint16_t> one = rounded("reference", 1, 1, 1);
  CHECK(one == rounded("reference", 1, 1, 1));
  CHECK(one != rounded("reference", 2, 1, 1) && one != rounded("reference", 1, 2, 1) && one != rounded("reference", 1, 1, 2) &&
        one != rounded("exponential_average", 1, 1, 1));
}

// Tensors of several types in a plan: each holds what it holds in a plan of its own.
void typesInOnePlan(int64_t device) {
  const std::vector<int32_t> types = {ST_FLOAT32, ST_BFLOAT16, ST_FLOAT64, ST_FLOAT16, ST_BFLOAT16, ST_FLOAT64, ST_FLOAT32, ST_BFLOAT16};
  const std::vector<int64_t> counts = {1030, 4200, 515, 77, 0, 1, 4096, 1030};
  for (const std::vector<int32_t>& storage : std::vector<std::vector<int32_t>>{
           {ST_HALF, ST_AS_PARAMETER, ST_REST}, {ST_AS_PARAMETER, ST_COMPUTED, ST_REST}, {ST_COMPUTED, ST_COMPUTED, ST_REST}})
    for (const int32_t rounding : {ST_NEAREST, ST_STOCHASTIC, ST_IN_PARTS}) {
      const auto stepped = [&](Fixture& f, const std::vector<int64_t>& keys) {
        for (size_t t = 0; t < f.counts.size(); ++t)
          for (int64_t i = 0; i < f.counts[t]; ++i) {
            steptuner::store<double>(f.parameter(t), f.types[t], i, sin(static_cast<double>(i + keys[t])));
            f.gradient(t)[i] = static_cast<float>(cos(static_cast<double>(i) * 3 + static_cast<double>(keys[t])));
          }
        f.rounding(rounding, rounding == ST_IN_PARTS ? 2 : -1, keys);
        const int32_t adam = f.bind("fixed_rate", "adam", {-1, -1, 0, 1}, {1, 0.003, 0, 0, 0.9, 0.1, 0.99, 0.01, 1, 1e-8});
        for (const int64_t step : {1, 2}) f.sweep(adam, step);
      };
      Fixture all(device, types, counts, storage);
      std::vector<int64_t> keys;
      for (size_t t = 0; t < types.size(); ++t) keys.push_back(static_cast<int64_t>(10 * t));
      stepped(all, keys);
      for (size_t t = 0; t < types.size(); ++t) {
        Fixture alone(device, types[t], {counts[t]}, storage);
        stepped(alone, {keys[t]});
        CHECK(memcmp(alone.parameter(0), all.parameter(t), static_cast<size_t>(counts[t] * bytesOf(types[t]))) == 0);
        for (const int32_t slot : {0, 1, 2}) CHECK(alone.slot<char>(slot, 0) == all.slot<char>(slot, t));
      }
    }
}

void fillsEveryStorage(int64_t device) {
  for (const int32_t type : {ST_FLOAT32, ST_FLOAT64, ST_BFLOAT16, ST_FLOAT16}) {
    Fixture f(device, type, {77, 0, 300}, {ST_COMPUTED, ST_HALF, ST_AS_PARAMETER, ST_REST});
    const int32_t types[] = {type == ST_FLOAT64 ? ST_FLOAT64 : ST_FLOAT32, type == ST_FLOAT64 ? ST_FLOAT64 : ST_BFLOAT16,
                             type == ST_FLOAT64    ? ST_FLOAT64
                             : type == ST_BFLOAT16 ? ST_BFLOAT16
                                                   : ST_FLOAT32};
    for (int32_t slot = 0; slot < 3; ++slot)
      for (const double value : {1 + 0x1p-8 + 0x1p-30, -0.0, 0x1p-149, 3.3e38, 1e300, -HUGE_VAL, double(NAN)}) {
        CHECK_EQUAL(st_plan_fill(f.plan, slot, value, 0), ST_OK);
        require(st_wait(f.plan, 0), "st_wait");
        for (const size_t t : {0, 2}) {
          CHECK_EQUAL(st_plan_type(f.plan, slot, static_cast<int32_t>(t)), types[slot]);
          char wanted[8];
          steptuner::store<double>(wanted, types[slot], 0, value);
          const std::vector<char> seen = f.slot<char>(slot, t);
          CHECK_EQUAL(static_cast<int64_t>(seen.size()), f.counts[t] * bytesOf(types[slot]));
          for (int64_t i = 0; i < f.counts[t]; ++i) {
            const double element = steptuner::load<double>(seen.data(), types[slot], i),
                         same = steptuner::load<double>(wanted, types[slot], 0);
            CHECK((element == same && signbit(element) == signbit(same)) || (isnan(element) && isnan(same)));
          }
        }
      }
    CHECK_EQUAL(st_plan_bytes(f.plan, 3, 2), type == ST_BFLOAT16 ? 600 : 0);
    CHECK_EQUAL(st_plan_fill(f.plan, 3, 0, 0), ST_OK);
    CHECK_EQUAL(st_plan_fill(f.plan, 3, 1, 0), ST_BAD_ARGUMENT);
    CHECK(strstr(st_last_error(), "slot #3"));
  }
}

#define CHECK_REFUSED(call, because)                                        \
  do {                                                                      \
    CHECK_EQUAL(call, ST_BAD_ARGUMENT);                                     \
    CHECK(std::string(st_last_error()).find(because) != std::string::npos); \
  } while (false)

void refusesWhatIsWrong(int64_t device) {
  Fixture f(device, ST_BFLOAT16, {5000, 10}, {ST_HALF, ST_COMPUTED, ST_REST, ST_REST});
  const auto set = [&](int32_t rounding, int32_t rest, std::vector<int64_t> begins) {
    return st_plan_set_rounding(f.plan, rounding, rest, 1, nullptr, begins.empty() ? nullptr : begins.data());
  };
  for (const int32_t rounding : {-1, 3, INT32_MAX, INT32_MIN}) CHECK_REFUSED(set(rounding, -1, {}), "unknown rounding");
  for (const int32_t slot : {-1, 0, 1, 4, INT32_MAX}) CHECK_REFUSED(set(ST_IN_PARTS, slot, {}), "ST_REST");
  for (const int64_t begin : {int64_t(1), int64_t(4095), int64_t(-4096), (int64_t(1) << 40) + 4096, INT64_MIN})
    CHECK_REFUSED(set(ST_STOCHASTIC, -1, {0, begin}), "tensor #1");
  CHECK_EQUAL(set(ST_STOCHASTIC, -1, {4096, int64_t(1) << 40}), ST_OK);
  int32_t slot = -7, binding = -7;
  for (const int32_t storage : {-1, 4, INT32_MAX}) CHECK_REFUSED(st_plan_add_slot(f.plan, storage, &slot), "unknown storage");
  CHECK_EQUAL(slot, -7);
  CHECK_EQUAL(st_plan_add_slot(f.plan, ST_AS_PARAMETER, &slot), ST_OK);
  CHECK_EQUAL(slot, 4);
  CHECK_EQUAL(st_plan_type(f.plan, 9, 0), -1);
  CHECK_EQUAL(st_plan_type(f.plan, 0, 2), -1);
  CHECK_EQUAL(st_plan_type(f.plan, -1, 1), ST_BFLOAT16);
  const int32_t reference = st_kernel_find("reference", ""), slots[] = {-1, 2};
  CHECK_REFUSED(st_plan_bind(f.plan, reference, slots, 2, &binding), "holds no numbers");
  CHECK_EQUAL(binding, -7);
  // The slot of the rest is one of those that a sweep in parts needs.
  CHECK_EQUAL(set(ST_IN_PARTS, 3, {}), ST_OK);
  const int32_t inParts = f.bind("reference", "", {-1, 0});
  f.sweep(inParts);
  CHECK_EQUAL(st_plan_release_slot(f.plan, 3), ST_OK);
  CHECK_REFUSED(st_sweep(f.plan, inParts, 0), "rest");
  const int32_t others[] = {-1, 0};
  CHECK_REFUSED(st_plan_bind(f.plan, reference, others, 2, &binding), "rest");
  CHECK_EQUAL(set(ST_NEAREST, -1, {}), ST_OK);
  f.sweep(f.bind("reference", "", {-1, 0}));
}

}  // namespace

int main(int count, char** arguments) {
  exactValuesStay();
  staysBetweenNeighbours();
  isUnbiased();
  partsAreAFloat();
  randomBitsAreRandom();
  std::vector<int64_t> devices;
  int64_t opened = 0;
  if (count > 1) {
    require(st_device_open(arguments[1], 0, 0, "", &opened), arguments[1]);
    devices.push_back(opened);
  } else {
    for (const char* isa : {"sse2", "avx2", "avx512"})
      for (const bool beyondCaches : {false, true}) {
        if (beyondCaches) setenv("STEPTUNER_CACHE_BYTES", "0", 1);
        if (st_device_open(nullptr, 0, 2, isa, &opened) == ST_OK) devices.push_back(opened);
        unsetenv("STEPTUNER_CACHE_BYTES");
      }
  }
  CHECK(!devices.empty());
  for (const int64_t device : devices) {
    sweepsRoundAsTheFunctionsDo(device);
    smallStepsAddUp(device);
    piecesHaveTheBitsOfTheWhole(device);
    typesInOnePlan(device);
    fillsEveryStorage(device);
    refusesWhatIsWrong(device);
    st_device_close(device);
  }
  return report("rounding_test");
}
