// SPDX-License-Identifier: Apache-2.0
//
// Every kernel of the table, in every pair of parameter and gradient types, through the C ABI, on the CPU, on every instruction set as
// for tensors beyond the caches, and on another device whose memory this process can address (the emulation of CUDA): all memory and all
// sums must have the same bits, and nothing outside of the tensors may have changed. Only NaN is like every other NaN: its bits are the
// hardware's affair. The same goes for state of 16 bits, and for parameters that are rounded stochastically or kept in parts; what a kernel
// leaves there is what it leaves in float32, rounded by the functions of math/rounding.h. Tensors that are left out do not change, nor
// anything of the others. Run under sanitizers, this is the memory and race check of the kernels.
//
//   kernels_test <device library> [OPTION VALUE]...
//
// --every N      of all pairs of a kernel with types, every n-th
// --kernels P,.. patterns for "sweep" or "sweep/rule", as the shell's for file names; all without
// --types T,..   float32, float64, bfloat16, float16: for parameters and gradients; all without
// --values V,..  plain (the default), special, not-finite, as kernel_run.h explains
// --shapes S,..  mixed (the default): 14,000 elements in three segments
//                short: many tensors below one chunk, those around a strip and a chunk, a long segment of tensors of 1,000
//                segments: more segments than the last block adds, and more coefficients than travel with a launch
//                long: several tensors of together --elements in one segment (150,001 without), and a segment of ten chunks
#include "kernel_run.h"
#include "core/summation.h"
#include "math/rounding.h"
#include <algorithm>
#include <string.h>

using namespace kernel_run;

namespace {

struct Options {
  int every = 1;
  int64_t elements = 150001;
  std::vector<std::string> patterns = {"*"}, types = {"float32", "float64", "bfloat16", "float16"}, values = {"plain"}, shapes = {"mixed"};
};

bool has(const std::vector<std::string>& names, const char* name) { return std::find(names.begin(), names.end(), name) != names.end(); }

bool allKnown(const std::vector<std::string>& names, const std::vector<std::string>& known) {
  return std::all_of(names.begin(), names.end(), [&](const std::string& name) { return has(known, name.c_str()); });
}

bool parse(int count, char** arguments, Options& options) {
  if (count < 2 || count % 2 != 0) return false;
  const Options known = {1, 0, {}, options.types, {"plain", "special", "not-finite"}, {"mixed", "short", "segments", "long"}};
  for (int i = 2; i < count; i += 2) {
    const std::string option = arguments[i], value = arguments[i + 1];
    if (option == "--every")
      options.every = atoi(arguments[i + 1]);
    else if (option == "--elements")
      options.elements = static_cast<int64_t>(atof(arguments[i + 1]));
    else if (option == "--kernels")
      options.patterns = split(value, ',');
    else if (option == "--types")
      options.types = split(value, ',');
    else if (option == "--values")
      options.values = split(value, ',');
    else if (option == "--shapes")
      options.shapes = split(value, ',');
    else
      return false;
  }
  return options.every > 0 && options.elements >= 8 && allKnown(options.types, known.types) && allKnown(options.values, known.values) &&
         allKnown(options.shapes, known.shapes);
}

Shape shortShape() {
  Shape shape;
  for (int t = 0; t < 40; ++t) shape.add(1000, 0);
  // Twice, so that each is aligned once and once is not.
  for (int32_t segment : {1, 2})
    for (int64_t count : {1, 127, 128, 129, 512, 513, 1024, 1025, 4096}) shape.add(count, segment);
  for (int64_t count : {0, 999, 1000}) shape.add(count, 3);
  return shape;
}

Shape manySegments() {
  Shape shape;
  for (int t = 0; t < 90; ++t) shape.add(1 + t * 37 % 400, t);
  return shape;
}

Shape longShape(int64_t elements) { return {{elements - elements / 4 - elements / 8, elements / 4, elements / 8, 40000}, {0, 0, 0, 1}}; }

void compare(const Result& here, const Result& there, const char* where, int32_t kernel, int32_t parameterType, int32_t gradientType) {
  const bool sums = sameSums(here, there);
  if (sums && sameMemory(here, there)) return;
  ++failures;
  fprintf(stderr, "%s with parameters of type %s and gradients of type %s: other %s %s than on the CPU\n", st_kernel_describe(kernel),
          steptuner::nameOfType(parameterType), steptuner::nameOfType(gradientType), sums ? "memory" : "sums", where);
}

// Some tensors are left out: they are as they were, and the others do not notice.
void leaveOut(int64_t cpu, int64_t other, int32_t kernel, int32_t parameterType, int32_t gradientType) {
  constexpr int32_t NOBODY[TENSORS] = {}, SOME[TENSORS] = {0, 1, 1, 1, 0, 1};
  const Result whole = run(cpu, kernel, parameterType, gradientType);
  const Result before = run(cpu, kernel, parameterType, gradientType, PLAIN, NONE, NOBODY);
  const Result here = run(cpu, kernel, parameterType, gradientType, PLAIN, NONE, SOME);
  compare(here, run(other, kernel, parameterType, gradientType, PLAIN, NONE, SOME), "there, without some tensors,", kernel, parameterType,
          gradientType);
  for (double sum : before.sums) CHECK(sum == 0);
  for (size_t i = 0; i < here.memory.size(); ++i) CHECK(here.memory[i] == (SOME[i % TENSORS] ? whole : before).memory[i]);
}

struct Devices {
  int64_t cpu = 0, other = 0;
  std::vector<int64_t> beyondCaches, withinCaches;
};

// A kernel with 16-bit state or parameters. Every storage and every rounding is there, and every form that a harness has for some of them.
struct HalfCase {
  const char* name;
  int32_t parameterType, gradientType;
  Precision precision;
};
const HalfCase HALF_CASES[] = {
    {"half state", ST_FLOAT32, ST_FLOAT32, {{ST_HALF}, ST_AS_PARAMETER, ST_NEAREST}},
    {"all half, stochastic", ST_BFLOAT16, ST_BFLOAT16, {{ST_AS_PARAMETER}, ST_AS_PARAMETER, ST_STOCHASTIC}},
    {"stochastic parameters", ST_BFLOAT16, ST_BFLOAT16, {{ST_COMPUTED}, ST_AS_PARAMETER, ST_STOCHASTIC}},
    {"in parts", ST_BFLOAT16, ST_BFLOAT16, {{ST_COMPUTED, ST_HALF}, ST_COMPUTED, ST_IN_PARTS}},
    {"in parts, other gradients", ST_BFLOAT16, ST_FLOAT64, {{ST_HALF, ST_COMPUTED, ST_AS_PARAMETER}, ST_HALF, ST_IN_PARTS}},
    {"nearest, in turn", ST_BFLOAT16, ST_FLOAT32, {{ST_COMPUTED, ST_AS_PARAMETER}, ST_HALF, ST_NEAREST}},
    {"stochastic float16", ST_FLOAT16, ST_FLOAT16, {{ST_HALF, ST_AS_PARAMETER}, ST_AS_PARAMETER, ST_STOCHASTIC}},
    {"float64", ST_FLOAT64, ST_FLOAT64, {{ST_HALF, ST_AS_PARAMETER}, ST_AS_PARAMETER, ST_STOCHASTIC}},
};

// Tensors of more than a chunk and of less, aligned and not.
const Shape HALVES = {{4500, 700, 1, 1027}, {0, 0, 1, 1}};

// Of a name, and of a step of it: rounding.h in other words.
uint64_t keyOfStep(const std::string& sweep, int64_t step) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : sweep) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return steptuner::stepKey(steptuner::mixed(static_cast<uint64_t>(SEED) + hash), step);
}

uint32_t wordOfElement(uint64_t stepKey, int tensor, int64_t i) {
  const uint64_t tensorKey = steptuner::mixed(static_cast<uint64_t>(keyOf(tensor)));
  const uint32_t chunk = steptuner::chunkKey(stepKey, tensorKey, i / steptuner::CHUNK);
  return steptuner::wordOf(chunk + static_cast<uint32_t>(i % steptuner::CHUNK) * steptuner::ELEMENT_STEP);
}

// What a sweep leaves in 16 bits is what it leaves in float32, rounded. In parts a bfloat16 parameter is one.
void roundsAsSaid(int64_t device, int32_t kernel, Values values, const Shape& shape) {
  const std::vector<std::string> parts = split(st_kernel_describe(kernel), '|'), operands = split(parts[2], ',');
  const auto runWith = [&](int32_t storage, int32_t rounding) {
    return run(device, kernel, ST_BFLOAT16, ST_FLOAT32, values, NONE, nullptr, shape, {{storage}, storage, rounding, 1, true});
  };
  const Result exact = runWith(ST_COMPUTED, ST_IN_PARTS), rounded = runWith(ST_HALF, ST_STOCHASTIC);
  CHECK(sameSums(exact, rounded));
  // Which rounds to the nearest, although it reads and writes the parameters.
  const bool makesNoStep = parts[0] == "evaluating";
  const uint64_t key = keyOfStep(parts[0], STEP);
  const size_t tensors = shape.counts.size(), states = operands.size() * tensors;
  int written[2] = {0, 0};  // operands that are no state, and state
  for (const bool state : {true, false})
    for (size_t o = 0; o < operands.size(); ++o) {
      const std::vector<std::string> field = split(operands[o], ':');
      if ((field[1] == "state") != state || (!state && field[1] != "parameter")) continue;
      const std::string access = field.size() > 2 ? field[2] : "";
      const bool writes = access.find('w') != std::string::npos;
      const int place = written[0] + written[1];
      written[state] += writes;
      const bool stochastic = writes && (state || (access == "rw" && !makesNoStep));
      for (size_t t = 0; t < tensors; ++t) {
        // In `exact` there is a slot for the rest between the others and the parameters.
        const size_t at = state ? o * tensors + t : states + t;
        const std::vector<char>& whole = exact.memory[state ? at : at + tensors];
        std::vector<char> wanted(static_cast<size_t>(2 * shape.counts[t]));
        for (int64_t i = 0; i < shape.counts[t]; ++i) {
          uint32_t bits;
          if (state)
            bits = reinterpret_cast<const uint32_t*>(whole.data())[i];
          else
            bits = steptuner::ofParts(reinterpret_cast<const uint16_t*>(whole.data())[i],
                                      reinterpret_cast<const uint16_t*>(exact.memory[at].data())[i]);
          const uint32_t random = steptuner::randomOf(wordOfElement(key, static_cast<int>(t), i), place);
          reinterpret_cast<uint16_t*>(wanted.data())[i] =
              static_cast<uint16_t>((stochastic ? steptuner::stochasticBfloat16(bits, random) : steptuner::nearestBfloat16(bits)) >> 16);
        }
        if (same(wanted.data(), rounded.memory[at].data(), ST_BFLOAT16, wanted.size())) continue;
        ++failures;
        fprintf(stderr, "%s: operand %s is not rounded as rounding.h says, in tensor %d\n", st_kernel_describe(kernel), field[0].c_str(),
                static_cast<int>(t));
      }
    }
}

// How many pairs were run.
int runAll(const Devices& devices, const Options& options, const Shape& shape, const char* shapeName, Values values) {
  const char* const typeNames[TYPES] = {"float32", "float64", "bfloat16", "float16"};
  const std::string where = std::string("there (") + shapeName + ")";
  int pair = 0, runs = 0;
  for (int32_t kernel = 0; kernel < st_kernel_count(); ++kernel)
    for (int32_t parameterType = 0; parameterType < TYPES; ++parameterType)
      for (int32_t gradientType = 0; gradientType < TYPES; ++gradientType) {
        if (!matchesAny(options.patterns, kernel) || !has(options.types, typeNames[parameterType]) ||
            !has(options.types, typeNames[gradientType]))
          continue;
        if (pair++ % options.every) continue;
        const Result here = run(devices.cpu, kernel, parameterType, gradientType, values, NONE, nullptr, shape);
        compare(here, run(devices.other, kernel, parameterType, gradientType, values, NONE, nullptr, shape), where.c_str(), kernel,
                parameterType, gradientType);
        ++runs;
        if (&shape != &MIXED || values != PLAIN) continue;
        for (int64_t device : devices.beyondCaches)
          compare(here, run(device, kernel, parameterType, gradientType), "beyond the caches", kernel, parameterType, gradientType);
        if (parameterType == gradientType) leaveOut(devices.cpu, devices.other, kernel, parameterType, gradientType);
      }
  return runs;
}

int runHalves(const Devices& devices, const Options& options, const Shape& shape, Values values) {
  const char* const typeNames[TYPES] = {"float32", "float64", "bfloat16", "float16"};
  int pair = 0, runs = 0;
  for (int32_t kernel = 0; kernel < st_kernel_count(); ++kernel) {
    if (!matchesAny(options.patterns, kernel)) continue;
    for (const HalfCase& each : HALF_CASES) {
      if (!has(options.types, typeNames[each.parameterType]) || !has(options.types, typeNames[each.gradientType]) || pair++ % options.every)
        continue;
      const auto on = [&](int64_t device) {
        return run(device, kernel, each.parameterType, each.gradientType, values, NONE, nullptr, shape, each.precision);
      };
      const std::string where = std::string("there (") + each.name + ")",
                        onCpu = std::string("on another instruction set (") + each.name + ")";
      const Result here = on(devices.cpu);
      compare(here, on(devices.other), where.c_str(), kernel, each.parameterType, each.gradientType);
      ++runs;
      if (&shape != &HALVES) continue;
      for (const auto* all : {&devices.withinCaches, &devices.beyondCaches})
        for (int64_t device : *all) compare(here, on(device), onCpu.c_str(), kernel, each.parameterType, each.gradientType);
    }
    if (&shape == &HALVES && kernel % options.every == 0) roundsAsSaid(devices.cpu, kernel, values, shape);
  }
  return runs;
}

}  // namespace

int main(int count, char** arguments) {
  Options options;
  if (!parse(count, arguments, options)) {
    fprintf(stderr,
            "usage: kernels_test <device library> [--every N] [--kernels PATTERN,...] [--types float32,float64,bfloat16,float16] "
            "[--values plain,special,not-finite] [--shapes mixed,short,segments,long] [--elements N]\n");
    return 2;
  }
  Devices devices;
  int64_t opened = 0;
  require(st_device_open(nullptr, 0, 1, "", &devices.cpu), "the CPU");
  setenv("STEPTUNER_CACHE_BYTES", "many", 1);
  CHECK(st_device_open(nullptr, 0, 1, "", &opened) == ST_BAD_ARGUMENT && strstr(st_last_error(), "STEPTUNER_CACHE_BYTES"));
  devices.beyondCaches = openAll(2, true);
  devices.withinCaches = openAll(1, false);
  require(st_device_open(arguments[1], 0, 0, "", &devices.other), arguments[1]);

  const std::vector<std::pair<std::string, Values>> allValues = {{"plain", PLAIN}, {"special", SPECIAL}, {"not-finite", NOT_FINITE}};
  const Shape shortTensors = shortShape(), segments = manySegments(), longTensors = longShape(options.elements);
  const std::vector<std::pair<std::string, const Shape*>> allShapes = {
      {"mixed", &MIXED}, {"short", &shortTensors}, {"segments", &segments}, {"long", &longTensors}};
  for (const auto& shape : allShapes)
    for (const auto& values : allValues) {
      if (!has(options.shapes, shape.first.c_str()) || !has(options.values, values.first.c_str())) continue;
      const int runs = runAll(devices, options, *shape.second, shape.first.c_str(), values.second);
      CHECK(runs > 0);
      const int halves = runHalves(devices, options, shape.second == &MIXED ? HALVES : *shape.second, values.second);
      printf("%s values, shape %s: %d kernels and type pairs and %d with 16-bit state or rounding on %s against %s\n", values.first.c_str(),
             shape.first.c_str(), runs, halves, st_device_name(devices.other), st_device_name(devices.cpu));
      fflush(stdout);
    }
  st_device_close(devices.other);
  for (const auto* all : {&devices.withinCaches, &devices.beyondCaches})
    for (int64_t device : *all) st_device_close(device);
  st_device_close(devices.cpu);
  return report("kernels_test");
}
