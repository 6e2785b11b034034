// SPDX-License-Identifier: Apache-2.0
//
// Steps whose scalars are computed on the device, captured into a CUDA graph and launched many times, on the emulation of CUDA, where
// nothing runs before it must: they leave what the same steps leave on the CPU, one by one. Some are skipped, some are not prepared. With
// 16-bit parameters and state, the random bits are those of each step.
#include "../native/check.h"
#include "../native/description.h"
#include "math/types.h"
#include "steptuner.h"
#include <cuda_runtime.h>
#include <math.h>
#include <string.h>
#include <string>
#include <vector>

namespace {

constexpr int32_t CAPACITY = 8;
constexpr int STEPS = 24;

int64_t handle(const void* pointer) { return reinterpret_cast<int64_t>(pointer); }

std::vector<std::string> part(const char* text, size_t number) { return description::split(description::split(text, '|')[number], ','); }

struct Run {
  const char* tuner;
  int64_t device = 0, plan = 0;
  int32_t first = -1, second = -1;
  const bool halves;  // x is bfloat16, and rounded stochastically
  std::vector<float> x, g;
  std::vector<uint16_t> half;
  std::vector<double> wide, wideGradient;
  std::vector<std::string> names;
  int prepared = 0, groupCount = 2;
  int64_t stream;

  // "" is the emulated backend in this program, null the CPU: with one thread, since the shared memory of all emulated kernels, which is
  // thread-local, leaves others next to no stack.
  Run(const char* library, const char* name, bool manySegments, int64_t onStream, bool in16Bits = false)
      : tuner(name), halves(in16Bits), x(5000), g(5000), half(5000), wide(4100), wideGradient(4100), stream(onStream) {
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = static_cast<float>(sin(static_cast<double>(i)));
      half[i] = steptuner::toBfloat16(x[i]);
    }
    for (size_t i = 0; i < wide.size(); ++i) wide[i] = cos(static_cast<double>(i));
    CHECK_EQUAL(st_device_open(library, 0, library ? 0 : 1, "", &device), ST_OK);
    // Where there are many segments a launch of its own adds their sums, and neither state nor rows fit into shared memory: a tensor of 100
    // elements each, and the wide one last.
    const int narrow = manySegments ? 50 : 1, tensors = narrow + 1;
    std::vector<int64_t> parameters, gradients, counts;
    std::vector<int32_t> types, gradientTypes, segments, scopes, groups;
    for (int t = 0; t < tensors; ++t) {
      const bool last = t == narrow;
      counts.push_back(last ? int64_t(wide.size()) : int64_t(x.size()) / narrow);
      parameters.push_back(last ? handle(wide.data()) : halves ? handle(half.data() + t * counts[0]) : handle(x.data() + t * counts[0]));
      gradients.push_back(last ? handle(wideGradient.data()) : handle(g.data() + t * counts[0]));
      types.push_back(last ? ST_FLOAT64 : halves ? ST_BFLOAT16 : ST_FLOAT32);
      gradientTypes.push_back(last ? ST_FLOAT64 : ST_FLOAT32);
      segments.push_back(t);
      scopes.push_back(manySegments ? tensors - 1 - t : 0);  // in another order
      groups.push_back(manySegments ? t : last);
    }
    const int32_t storage[] = {halves ? ST_AS_PARAMETER : ST_COMPUTED, halves ? ST_HALF : ST_COMPUTED};
    CHECK_EQUAL(st_plan_create(device, tensors, parameters.data(), types.data(), gradients.data(), gradientTypes.data(), nullptr,
                               counts.data(), segments.data(), 2, storage, 1, &plan),
                ST_OK);
    CHECK_EQUAL(st_plan_set_rounding(plan, ST_STOCHASTIC, -1, 42, nullptr, nullptr), ST_OK);
    st_plan_set_step(plan, 5);  // not the number of any captured step
    const bool mechanic = strcmp(tuner, "mechanic") == 0;
    first = bind(mechanic ? "mechanic_observe" : "gradient_norm", "");
    second = bind(mechanic ? "mechanic_apply" : "fixed_rate", "sgd");
    names = part(st_kernel_describe(st_kernel_find(mechanic ? "mechanic_apply" : "fixed_rate", "sgd")), 3);
    const int32_t reference = bind("reference", "");
    CHECK_EQUAL(st_sweep(plan, reference, stream), ST_OK);
    const int32_t machine = st_scalars_find(tuner), length = mechanic ? 2 : 0;
    groupCount = manySegments ? tensors : 2;
    CHECK_EQUAL(st_capture_create(plan, machine, first, second, manySegments ? tensors : 1, scopes.data(), groupCount, groups.data(),
                                  length, CAPACITY),
                ST_OK);
    double* settings = reinterpret_cast<double*>(st_capture_address(plan, ST_CAPTURE_SETTINGS));
    const auto settingNames = part(st_scalars_describe(machine), 1);
    for (size_t i = 0; i < settingNames.size(); ++i)
      settings[i] = settingNames[i] == "variant" ? 1 : settingNames[i] == "supplied" ? 0 : settingNames[i] == "boundedDecay" ? 1 : 0.01;
    for (int i = 0; i < length; ++i) settings[settingNames.size() + static_cast<size_t>(i)] = 0.9 + 0.09 * i;
    double* state = reinterpret_cast<double*>(st_capture_address(plan, ST_CAPTURE_STATE));
    const int width = st_capture_width(plan, ST_CAPTURE_STATE);
    for (int i = 0; i < width * (manySegments ? tensors : 1); ++i) state[i] = mechanic ? 0.001 : 0;
    CHECK_EQUAL(st_capture_begin(plan, -0.5, 10, 1, 100, 7, 0, ST_FLOAT32, stream), ST_OK);
  }
  ~Run() {
    st_capture_destroy(plan);
    st_plan_destroy(plan);
    st_device_close(device);
  }

  int32_t bind(const char* sweep, const char* rule) {
    const int32_t kernel = st_kernel_find(sweep, rule);
    std::vector<int32_t> slots;
    for (const std::string& operand : part(st_kernel_describe(kernel), 2)) slots.push_back(operand.compare(0, 5, "delta") == 0 ? 1 : 0);
    int32_t binding = -1;
    CHECK_EQUAL(st_plan_bind(plan, kernel, slots.data(), static_cast<int32_t>(slots.size()), &binding), ST_OK);
    return binding;
  }

  // The rows of steps 101 to 100 + last.
  st_status prepare(int last) {
    const int width = st_capture_width(plan, ST_CAPTURE_RING);
    while (prepared < last) {
      const int number = 101 + prepared;
      double* row = reinterpret_cast<double*>(st_capture_address(plan, ST_CAPTURE_RING)) + number % CAPACITY * width;
      const int group = (width - 3) / groupCount;
      row[0] = number;
      row[1] = 0.25 * number;
      row[2] = 0;
      for (int i = 0; i < width - 3; ++i) {
        const size_t name = static_cast<size_t>(i % group);
        row[3 + i] = name < names.size() && names[name] == "rate" ? 0.001 * number : name == names.size() ? 0.25 * number : 0.0625;
      }
      const st_status sent = st_capture_send(plan, number % CAPACITY, 1, stream);
      if (sent != ST_OK) return sent;
      ++prepared;
    }
    return ST_OK;
  }

  void backward(int step) {
    for (size_t i = 0; i < g.size() && halves; ++i) x[i] = steptuner::fromBfloat16(half[i]);
    for (size_t i = 0; i < g.size(); ++i) g[i] = static_cast<float>(x[i] - 0.5 + cos(static_cast<double>(i) * 3 + step) / 8);
    for (size_t i = 0; i < wide.size(); ++i) wideGradient[i] = wide[i] + sin(static_cast<double>(i) + step) / 8;
    if (step == 5 || step == 6 || step == 13) wideGradient[4099] = step == 6 ? INFINITY : NAN;
  }

  std::vector<double> report() const {
    std::vector<double> numbers(static_cast<size_t>(st_capture_width(plan, ST_CAPTURE_REPORT)));
    CHECK_EQUAL(st_capture_report(plan, numbers.data()), 1);
    return numbers;
  }

  // What a captured step of the fixed rate has done on `captured`, if it was made, as an ordinary one.
  void stepAs(const Run& captured) {
    const std::vector<double> numbers = captured.report();
    const int64_t number = static_cast<int64_t>(numbers[1]);
    if (numbers[3] != 0) return;
    g = captured.g;
    wideGradient = captured.wideGradient;
    double* rows = reinterpret_cast<double*>(st_binding_coefficients(plan, second));  // gradientScale, rate, weightDecay
    for (int segment = 0; segment < 2; ++segment, rows += 3) {
      rows[0] = -0.5 * numbers[5];
      rows[1] = 0.001 * static_cast<double>(number);
      rows[2] = 0.0625;
    }
    st_plan_set_step(plan, number);
    CHECK_EQUAL(st_sweep(plan, second, 0), ST_OK);
  }

  std::vector<double> state() const {
    const double* from = reinterpret_cast<const double*>(st_capture_address(plan, ST_CAPTURE_STATE));
    return {from, from + st_capture_width(plan, ST_CAPTURE_STATE)};
  }
};

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// NaN is as good as any other NaN.
bool sameNumbers(const std::vector<double>& a, const std::vector<double>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i] && !(isnan(a[i]) && isnan(b[i]))) return false;
  return a.size() == b.size();
}

void replay(const char* tuner, bool manySegments, int steps, bool halves) {
  cudaStream_t stream = nullptr;
  CHECK_EQUAL(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  cudaEmulationDefer(1);
  {
    Run expected(nullptr, tuner, manySegments, 0, halves), actual("", tuner, manySegments, handle(stream), halves);
    Run ordinary(nullptr, tuner, manySegments, 0, halves);
    const bool comparesOrdinary = strcmp(tuner, "fixed_rate") == 0 && !manySegments;
    double none[1];
    CHECK_EQUAL(st_capture_report(actual.plan, none), 0);
    CHECK_EQUAL(st_capture_capturing(actual.plan, handle(stream)), 0);
    CHECK_EQUAL(actual.prepare(CAPACITY), ST_OK);
    CHECK_EQUAL(cudaStreamSynchronize(stream), cudaSuccess);
    CHECK_EQUAL(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
    CHECK_EQUAL(st_capture_capturing(actual.plan, handle(stream)), 1);
    CHECK_EQUAL(st_capture_send(actual.plan, 0, 1, handle(stream)), ST_BAD_STATE);
    CHECK(strstr(st_last_error(), "captured"));
    CHECK_EQUAL(st_capture_end(actual.plan, handle(stream)), ST_BAD_STATE);
    CHECK_EQUAL(st_capture_step(actual.plan, handle(stream)), ST_OK);
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    CHECK_EQUAL(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    CHECK_EQUAL(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    CHECK_EQUAL(expected.prepare(CAPACITY), ST_OK);
    int made = 0, skipped = 0;
    for (int step = 0; step < steps; ++step) {
      expected.backward(step);
      actual.backward(step);
      if (step < 9 || step >= 18) {  // meanwhile they run out
        CHECK_EQUAL(expected.prepare(made + CAPACITY), ST_OK);
        CHECK_EQUAL(actual.prepare(made + CAPACITY), ST_OK);
      }
      const bool several = step % 3 == 2;  // launched one behind the other, with the same gradients
      for (int i = 0; i < (several ? 2 : 1); ++i) {
        CHECK_EQUAL(st_capture_step(expected.plan, 0), ST_OK);
        if (comparesOrdinary) ordinary.stepAs(expected);
        if (step == 8)
          CHECK_EQUAL(st_capture_step(actual.plan, handle(stream)), ST_OK);  // and one by itself
        else
          CHECK_EQUAL(cudaGraphLaunch(executable, stream), cudaSuccess);
      }
      CHECK_EQUAL(cudaStreamSynchronize(stream), cudaSuccess);
      CHECK(same(expected.x, actual.x));
      CHECK(same(expected.wide, actual.wide));
      CHECK(same(expected.half, actual.half));
      if (comparesOrdinary) CHECK(same(expected.half, ordinary.half) && same(expected.wide, ordinary.wide));
      const std::vector<double> report = actual.report();
      CHECK(sameNumbers(expected.report(), report));
      made = static_cast<int>(report[1]) - 100;
      skipped = static_cast<int>(report[2]) - 7;
      CHECK_EQUAL(report[0], made + skipped);
      const bool bad = step == 5 || step == 6 || step == 13, missing = step >= 14 && step < 18;
      CHECK_EQUAL(report[3], bad ? 1 : missing ? 3 : 0);
    }
    if (steps == STEPS) {
      CHECK_EQUAL(made, 23);
      CHECK_EQUAL(skipped, 9);  // 4 that are not finite, 5 without a row
    }
    CHECK_EQUAL(st_capture_end(expected.plan, 0), ST_OK);
    CHECK_EQUAL(st_capture_end(actual.plan, handle(stream)), ST_OK);
    CHECK(sameNumbers(expected.state(), actual.state()));
    CHECK_EQUAL(cudaGraphExecDestroy(executable), cudaSuccess);
    CHECK_EQUAL(cudaGraphDestroy(graph), cudaSuccess);
  }
  cudaEmulationDefer(0);
  CHECK_EQUAL(cudaStreamDestroy(stream), cudaSuccess);
  CHECK_EQUAL(cudaGetLastError(), cudaSuccess);
}

void refused() {
  Run run(nullptr, "fixed_rate", false, 0);
  const int32_t none[] = {0, 0};
  const int32_t machine = st_scalars_find("fixed_rate");
  CHECK_EQUAL(st_capture_create(run.plan, machine, run.first, run.second, 1, none, 1, none, 0, 1),
              ST_BAD_ARGUMENT);  // there is one already
  CHECK_EQUAL(st_capture_send(run.plan, 1, CAPACITY, 0), ST_BAD_ARGUMENT);
  CHECK_EQUAL(st_capture_address(run.plan, 9), 0);
  CHECK_EQUAL(st_capture_width(run.plan, 9), -1);
  CHECK_EQUAL(st_capture_begin(run.plan, 1, 1, 1, 0, 0, 8, ST_FLOAT32, 0), ST_BAD_ARGUMENT);
  CHECK(strstr(st_last_error(), "loss"));
  st_capture_destroy(run.plan);
  CHECK_EQUAL(st_capture_step(run.plan, 0), ST_BAD_ARGUMENT);
  CHECK_EQUAL(st_capture_width(run.plan, ST_CAPTURE_RING), -1);
  CHECK_EQUAL(st_capture_create(run.plan, 99, run.first, run.second, 1, none, 1, none, 0, 1), ST_BAD_ARGUMENT);
  CHECK_EQUAL(st_capture_create(run.plan, machine, run.second, run.second, 1, none, 1, none, 0, 1), ST_BAD_ARGUMENT);  // it writes
  CHECK(strstr(st_last_error(), "writes"));
  const int32_t mechanic = st_scalars_find("mechanic");
  CHECK_EQUAL(st_capture_create(run.plan, mechanic, run.first, run.second, 1, none, 1, none, 2, 1), ST_BAD_ARGUMENT);
  CHECK(strstr(st_last_error(), "deltaGradient"));
  CHECK_EQUAL(st_scalars_find("no such tuner"), -1);
  CHECK(!st_scalars_describe(-1));
}

}  // namespace

// With an argument: less, for ThreadSanitizer.
int main(int argc, char**) {
  const bool small = argc > 1;
  for (const bool many : {false, true})
    for (const char* tuner : {"fixed_rate", "mechanic"})
      if (!small || strcmp(tuner, "mechanic") == 0) replay(tuner, many, small && many ? 9 : STEPS, false);
  for (const char* tuner : {"fixed_rate", "mechanic"})
    if (!small) replay(tuner, false, STEPS, true);
  refused();
  return report("capture");
}
