// SPDX-License-Identifier: Apache-2.0
//
// Every kernel of the table, in every pair of parameter and gradient types, through the C ABI, on the CPU, on every instruction set as
// for tensors beyond the caches, and on another device whose memory this process can address (the emulation of CUDA): all memory and all
// sums must have the same bits, and nothing outside of the tensors may have changed. Only NaN is like every other NaN: its bits are the
// hardware's affair. Tensors that are left out do not change, nor anything of the others. Run under sanitizers, this is the memory and race
// check of the kernels.
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
  std::vector<int64_t> beyondCaches;
};

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
      printf("%s values, shape %s: %d kernels and type pairs on %s against %s\n", values.first.c_str(), shape.first.c_str(), runs,
             st_device_name(devices.other), st_device_name(devices.cpu));
      fflush(stdout);
    }
  st_device_close(devices.other);
  for (int64_t device : devices.beyondCaches) st_device_close(device);
  st_device_close(devices.cpu);
  return report("kernels_test");
}
