// SPDX-License-Identifier: Apache-2.0
//
// What the host does around sweeps, on the emulation of CUDA, where nothing runs before it must: the order of a plan's work on several
// streams, also those that the trainer destroys; how the host learns that sums are there; what a step must not call; launches that fail; and
// what a plan does while a stream is being captured into a graph.
#include "../native/check.h"
#include "steptuner.h"
#include <cuda_runtime.h>
#include <functional>
#include <string.h>
#include <thread>
#include <vector>

namespace {

int64_t handle(cudaStream_t stream) { return reinterpret_cast<int64_t>(stream); }

cudaStream_t newStream(unsigned flags = cudaStreamNonBlocking) {
  cudaStream_t stream = nullptr;
  CHECK_EQUAL(cudaStreamCreateWithFlags(&stream, flags), cudaSuccess);
  return stream;
}

// Tensors of one float32 or float64 element, each a segment of its own: x <- x - rate g, and the sum of g^2.
struct Fixture {
  int64_t device = 0, plan = 0;
  int32_t sgd = -1, norm = -1;
  const int tensors;
  int coefficients = 3;
  cudaStream_t stream = newStream(), other = newStream();
  std::vector<double> x, g;

  explicit Fixture(int count, bool both = false) : tensors(count), x(static_cast<size_t>(count)), g(x) {
    std::vector<int64_t> parameters, gradients;
    const std::vector<int64_t> counts(x.size(), 1);
    std::vector<int32_t> types, segments;
    for (int t = 0; t < count; ++t) {
      types.push_back(both && t >= count / 2 ? ST_FLOAT64 : ST_FLOAT32);
      segments.push_back(t);
      parameters.push_back(reinterpret_cast<int64_t>(&x[static_cast<size_t>(t)]));
      gradients.push_back(reinterpret_cast<int64_t>(&g[static_cast<size_t>(t)]));
    }
    CHECK_EQUAL(st_device_open("", 0, 0, "", &device), ST_OK);
    CHECK_EQUAL(st_plan_create(device, count, parameters.data(), types.data(), gradients.data(), types.data(), nullptr, counts.data(),
                               segments.data(), 0, nullptr, 1, &plan),
                ST_OK);
    const int32_t slots[] = {-1, -1};
    CHECK_EQUAL(st_plan_bind(plan, st_kernel_find("fixed_rate", "sgd"), slots, 2, &sgd), ST_OK);
    CHECK_EQUAL(st_plan_bind(plan, st_kernel_find("gradient_norm", ""), slots, 1, &norm), ST_OK);
    for (int t = 0; t < count; ++t) setGradient(t, t + 1);
    cudaEmulationDefer(1);
  }
  ~Fixture() {
    cudaEmulationRecover();
    st_plan_destroy(plan);
    st_device_close(device);
    CHECK_EQUAL(cudaStreamDestroy(stream), cudaSuccess);
    CHECK_EQUAL(cudaStreamDestroy(other), cudaSuccess);
    cudaEmulationDefer(0);
    CHECK_EQUAL(cudaGetLastError(), cudaSuccess);
  }
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;

  bool isDouble(int t) const { return st_plan_bytes(plan, -1, t) == 8; }
  void setGradient(int t, int value) {
    const float narrow = static_cast<float>(value);
    if (isDouble(t)) g[static_cast<size_t>(t)] = value;
    if (!isDouble(t)) memcpy(&g[static_cast<size_t>(t)], &narrow, sizeof narrow);
  }
  double parameter(int t) const {
    float narrow = 0;
    memcpy(&narrow, &x[static_cast<size_t>(t)], sizeof narrow);
    return isDouble(t) ? x[static_cast<size_t>(t)] : narrow;
  }
  // Whether nothing has run so far: looked at while it may.
  __attribute__((noinline, no_sanitize("thread"))) bool untouched() const {
    const double* const values = x.data();
    for (int t = 0; t < tensors; ++t)
      if (values[t] != 0) return false;
    return true;
  }
  bool each(double factor) const {
    for (int t = 0; t < tensors; ++t)
      if (parameter(t) != -factor * (t + 1)) return false;
    return true;
  }

  st_status step(double rate, cudaStream_t on) {
    double* const rows = reinterpret_cast<double*>(st_binding_coefficients(plan, sgd));  // gradientScale, rate, weightDecay
    for (int t = 0; t < tensors; ++t) {
      rows[3 * t] = 1;
      rows[3 * t + 1] = rate;
      rows[3 * t + 2] = 0;
    }
    return st_sweep(plan, sgd, handle(on));
  }
  st_status sum(cudaStream_t on) { return st_sweep(plan, norm, handle(on)); }
  const double* sums() const { return reinterpret_cast<const double*>(st_binding_sums(plan, norm)); }
  bool summed() const {
    for (int t = 0; t < tensors; ++t)
      if (sums()[t] != (t + 1.0) * (t + 1)) return false;
    return true;
  }

  cudaGraphExec_t capture(const std::function<void()>& body, size_t nodes) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    CHECK_EQUAL(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
    body();
    CHECK_EQUAL(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    size_t count = 0;
    CHECK_EQUAL(cudaGraphGetNodes(graph, nullptr, &count), cudaSuccess);
    CHECK_EQUAL(count, nodes);
    CHECK_EQUAL(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
    CHECK_EQUAL(cudaGraphDestroy(graph), cudaSuccess);
    return executable;
  }
  void launch(cudaGraphExec_t graph) {
    CHECK_EQUAL(cudaGraphLaunch(graph, stream), cudaSuccess);
    CHECK_EQUAL(cudaStreamSynchronize(stream), cudaSuccess);
  }
};

void forbid(std::initializer_list<const char*> functions) {
  for (const char* function : functions) cudaEmulationFail(function, 0, cudaErrorInvalidValue);
}

void forbidAllocations() {
  forbid({"cudaMalloc",
          "cudaMallocHost",
          "cudaHostAlloc",
          "cudaMallocAsync",
          "cudaFree",
          "cudaFreeHost",
          "cudaFreeAsync",
          "cudaMemcpy",
          "cudaMemcpyAsync",
          "cudaMemset",
          "cudaMemsetAsync",
          "cudaDeviceSynchronize",
          "cudaStreamSynchronize",
          "cudaStreamQuery",
          "cudaEventCreateWithFlags",
          "cudaStreamCreateWithFlags",
          "cudaOccupancyMaxActiveBlocksPerMultiprocessor",
          "cudaFuncGetAttributes",
          "cudaDeviceGetAttribute",
          "cudaGetDeviceProperties"});
}

// More coefficients than a sweep takes with it, filled in for the next step while the sweeps before have yet to run.
void coefficientsMayChangeAtOnce(int tensors) {
  Fixture f(tensors);
  CHECK_EQUAL(f.step(1, f.stream), ST_OK);
  CHECK_EQUAL(f.step(4, f.stream), ST_OK);
  CHECK_EQUAL(f.step(16, f.other), ST_OK);
  CHECK_EQUAL(f.step(64, f.stream), ST_OK);
  CHECK(f.untouched());
  CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK);
  CHECK(f.each(85));
}

// A step after the first one, with a read-back and without.
void nothingElseIsCalled() {
  for (const int tensors : {3, 90}) {
    Fixture f(tensors);
    CHECK_EQUAL(f.step(1, f.stream), ST_OK);
    CHECK_EQUAL(f.sum(f.stream), ST_OK);
    CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK);
    memset(const_cast<double*>(f.sums()), 0, static_cast<size_t>(tensors) * sizeof(double));
    cudaEmulationDefer(0);  // as where the device is done while the host polls
    forbidAllocations();
    forbid({"cudaEventSynchronize", "cudaEventQuery"});
    cudaEmulationFail("cudaEventRecord", 2, cudaErrorInvalidValue);  // one: behind what has no sums
    CHECK_EQUAL(f.sum(f.stream), ST_OK);
    CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK);
    CHECK(f.summed());
    CHECK_EQUAL(f.step(2, f.stream), ST_OK);
    CHECK_EQUAL(f.sum(f.stream), ST_OK);
    CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK);
    CHECK_EQUAL(f.sum(f.other), ST_OK);
    CHECK_EQUAL(st_wait(f.plan, handle(f.other)), ST_OK);
    CHECK(f.each(3) && f.summed());
  }
}

// What the number tells is that of the last sweep, whatever the host has missed.
void sumsAreWaitedFor() {
  for (const int tensors : {3, 90}) {
    Fixture f(tensors, true);
    for (int times = 0; times < 3; ++times) {
      CHECK_EQUAL(f.sum(f.stream), ST_OK);
      CHECK_EQUAL(f.step(1, f.stream), ST_OK);
      CHECK_EQUAL(st_plan_zero_gradients(f.plan, handle(f.stream), 1), ST_OK);
      CHECK_EQUAL(f.sum(f.stream), ST_OK);
      CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK);
      for (int t = 0; t < tensors; ++t) CHECK_EQUAL(f.sums()[t], 0.0);
      for (int t = 0; t < tensors; ++t) f.setGradient(t, t + 1);
    }
  }
}

// Nobody waits for the sums, and their stream is gone when the next sweep comes on another one, which may have its handle.
void streamsMayBeDestroyed() {
  for (const bool sums : {false, true}) {
    Fixture f(3);
    CHECK_EQUAL(f.step(1, f.stream), ST_OK);
    if (sums) CHECK_EQUAL(f.sum(f.stream), ST_OK);
    CHECK_EQUAL(cudaStreamDestroy(f.stream), cudaSuccess);
    f.stream = newStream();
    CHECK_EQUAL(f.step(2, f.stream), ST_OK);
    CHECK_EQUAL(cudaStreamSynchronize(f.stream), cudaSuccess);
    CHECK(f.each(3));
    CHECK_EQUAL(f.step(4, f.stream), ST_OK);
    if (sums) CHECK_EQUAL(f.sum(f.stream), ST_OK);
    CHECK_EQUAL(cudaStreamDestroy(f.stream), cudaSuccess);
    f.stream = newStream();
    CHECK_EQUAL(st_wait(f.plan, 0), ST_OK);
    CHECK(f.each(7) && (!sums || f.summed()));
    if (sums) CHECK_EQUAL(f.sum(f.stream), ST_OK);
    CHECK_EQUAL(cudaStreamDestroy(f.stream), cudaSuccess);
    f.stream = newStream();
  }
}

// The second launch of two fails. The first one is the plan's work all the same: nothing overtakes it, and nothing it uses is freed.
void oneLaunchOfTwoFails() {
  for (const bool sums : {false, true}) {
    Fixture f(4, true);
    CHECK_EQUAL(f.step(1, f.stream), ST_OK);
    CHECK_EQUAL(f.sum(f.stream), ST_OK);
    CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK);
    CHECK(f.each(1));
    cudaEmulationFail("cudaLaunchKernel", 2, cudaErrorLaunchFailure);
    CHECK_EQUAL(sums ? f.sum(f.stream) : f.step(2, f.stream), ST_DEVICE_ERROR);
    cudaEmulationRecover();
    CHECK_EQUAL(f.step(4, f.other), ST_OK);
    CHECK_EQUAL(cudaStreamSynchronize(f.other), cudaSuccess);
    for (int t = 0; t < 4; ++t) CHECK_EQUAL(f.parameter(t), -(t < 2 && !sums ? 7.0 : 5.0) * (t + 1));
    CHECK_EQUAL(f.sum(f.stream), ST_OK);
    CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK);
    CHECK(f.summed());
    cudaEmulationFail("cudaLaunchKernel", 2, cudaErrorLaunchFailure);
    CHECK_EQUAL(f.sum(f.stream), ST_DEVICE_ERROR);
    CHECK_EQUAL(st_binding_release(f.plan, f.norm), ST_OK);
  }
}

// Without an event the end of the work is not known, and is waited for in another way.
void anEventThatIsNotRecorded() {
  Fixture f(3);
  cudaEmulationFail("cudaEventRecord", 1, cudaErrorLaunchFailure);
  CHECK_EQUAL(f.step(1, f.stream), ST_DEVICE_ERROR);
  CHECK_EQUAL(f.step(2, f.other), ST_OK);
  CHECK_EQUAL(cudaStreamSynchronize(f.other), cudaSuccess);
  CHECK(f.each(3));
}

// What the device says while it is waited for is told.
void errorsAreMet() {
  for (const char* function : {"cudaEventQuery", "cudaEventSynchronize"}) {
    Fixture f(3);
    CHECK_EQUAL(f.sum(f.stream), ST_OK);
    CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK);
    const bool query = strcmp(function, "cudaEventQuery") == 0;
    CHECK_EQUAL(query ? f.sum(f.stream) : f.step(1, f.stream), ST_OK);
    cudaEmulationFail(function, 1, cudaErrorIllegalAddress);
    CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_DEVICE_ERROR);
    CHECK(strstr(st_last_error(), "cudaErrorIllegalAddress") != nullptr);
    cudaEmulationRecover();
    CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK);
  }
}

// Several threads use the device for the first time at once, each with a plan of its own.
void threadsAtOnce() {
  Fixture first(3);
  cudaEmulationDefer(0);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&first] {
      const int64_t parameter = reinterpret_cast<int64_t>(new float[1000]()), gradient = reinterpret_cast<int64_t>(new float[1000]());
      const int64_t count = 1000;
      const int32_t type = ST_FLOAT32, segment = 0, slots[] = {-1};
      int64_t plan = 0;
      int32_t norm = -1;
      CHECK_EQUAL(st_plan_create(first.device, 1, &parameter, &type, &gradient, &type, nullptr, &count, &segment, 0, nullptr, 1, &plan),
                  ST_OK);
      CHECK_EQUAL(st_plan_bind(plan, st_kernel_find("gradient_norm", ""), slots, 1, &norm), ST_OK);
      const cudaStream_t stream = newStream();
      for (int times = 0; times < 5; ++times) {
        reinterpret_cast<float*>(gradient)[7] = static_cast<float>(times);
        CHECK_EQUAL(st_sweep(plan, norm, handle(stream)), ST_OK);
        CHECK_EQUAL(st_wait(plan, handle(stream)), ST_OK);
        CHECK_EQUAL(*reinterpret_cast<const double*>(st_binding_sums(plan, norm)), static_cast<double>(times * times));
      }
      st_plan_destroy(plan);
      CHECK_EQUAL(cudaStreamDestroy(stream), cudaSuccess);
      delete[] reinterpret_cast<float*>(parameter);
      delete[] reinterpret_cast<float*>(gradient);
    });
  for (std::thread& thread : threads) thread.join();
}

// Sweeps without sums can be captured; what the plan does before and afterwards is as ever.
void sweepsAreCaptured(int tensors, size_t nodes) {
  Fixture f(tensors);
  CHECK_EQUAL(f.step(1, f.other), ST_OK);
  const cudaGraphExec_t graph = f.capture(
      [&] {
        CHECK_EQUAL(f.step(2, f.stream), ST_OK);
        CHECK_EQUAL(f.step(4, f.stream), ST_OK);
      },
      nodes);
  CHECK(f.untouched());
  CHECK_EQUAL(st_wait(f.plan, 0), ST_OK);
  CHECK(f.each(1));
  f.launch(graph);
  CHECK(f.each(7));
  CHECK_EQUAL(f.step(8, f.other), ST_OK);
  CHECK_EQUAL(f.step(16, f.stream), ST_OK);
  CHECK_EQUAL(f.sum(f.stream), ST_OK);
  CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK);
  CHECK(f.each(31) && f.summed());
  f.launch(graph);
  CHECK(f.each(37));
  CHECK_EQUAL(f.sum(f.other), ST_OK);
  CHECK_EQUAL(st_wait(f.plan, handle(f.other)), ST_OK);
  CHECK_EQUAL(cudaGraphExecDestroy(graph), cudaSuccess);
}

// On two streams of one capture, in order.
void oneCaptureOfTwoStreams() {
  Fixture f(3);
  CHECK_EQUAL(st_plan_zero_gradients(f.plan, handle(f.stream), 1), ST_OK);
  CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK);
  for (int t = 0; t < 3; ++t) f.setGradient(t, t + 1);
  cudaEvent_t begin, end;
  CHECK_EQUAL(cudaEventCreateWithFlags(&begin, cudaEventDisableTiming), cudaSuccess);
  CHECK_EQUAL(cudaEventCreateWithFlags(&end, cudaEventDisableTiming), cudaSuccess);
  const cudaGraphExec_t graph = f.capture(
      [&] {
        CHECK_EQUAL(cudaEventRecord(begin, f.stream), cudaSuccess);
        CHECK_EQUAL(cudaStreamWaitEvent(f.other, begin), cudaSuccess);
        CHECK_EQUAL(f.step(1, f.stream), ST_OK);
        CHECK_EQUAL(st_plan_zero_gradients(f.plan, handle(f.other), 1), ST_OK);
        CHECK_EQUAL(cudaEventRecord(end, f.other), cudaSuccess);
        CHECK_EQUAL(cudaStreamWaitEvent(f.stream, end), cudaSuccess);
      },
      2);
  f.launch(graph);
  CHECK(f.each(1));
  CHECK_EQUAL(cudaGraphExecDestroy(graph), cudaSuccess);
  CHECK_EQUAL(cudaEventDestroy(begin), cudaSuccess);
  CHECK_EQUAL(cudaEventDestroy(end), cudaSuccess);
}

void refused(st_status status) {
  CHECK_EQUAL(status, ST_BAD_STATE);
  CHECK(strstr(st_last_error(), "captured into a CUDA graph") != nullptr);
}

// What cannot be captured is refused before anything is launched, and does not spoil the trainer's capture.
void theRestIsRefused() {
  Fixture f(3);
  cudaGraphExec_t graph = f.capture([&] { refused(f.step(1, f.stream)); }, 0);
  CHECK_EQUAL(cudaGraphExecDestroy(graph), cudaSuccess);
  CHECK_EQUAL(f.step(1, f.stream), ST_OK);
  CHECK_EQUAL(f.sum(f.stream), ST_OK);
  CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK);
  float value = 0;
  graph = f.capture(
      [&] {
        refused(f.sum(f.stream));
        CHECK(strstr(st_last_error(), "sums") != nullptr);
        refused(st_plan_read(f.plan, -1, 0, 0, &value, sizeof value, handle(f.stream)));
        refused(st_plan_write(f.plan, -1, 0, 0, &value, sizeof value, handle(f.stream)));
        const int64_t moved = reinterpret_cast<int64_t>(&f.g[1]);
        const int32_t tensor = 0;
        CHECK_EQUAL(st_plan_rebind(f.plan, 1, &tensor, nullptr, &moved, nullptr, 1), ST_OK);
        refused(f.step(1, f.stream));
      },
      0);
  CHECK_EQUAL(cudaGraphExecDestroy(graph), cudaSuccess);
  CHECK_EQUAL(f.step(1, f.stream), ST_OK);
  CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK);
  CHECK_EQUAL(f.parameter(0), -3.0);
}

// Sums whose stream is captured before they have been waited for: where they are there, nothing is asked of CUDA.
void sumsBeforeACapture() {
  Fixture f(3);
  CHECK_EQUAL(f.sum(f.stream), ST_OK);
  CHECK_EQUAL(cudaStreamSynchronize(f.stream), cudaSuccess);
  cudaGraphExec_t graph = f.capture([&] { CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK); }, 0);
  CHECK(f.summed());
  CHECK_EQUAL(cudaGraphExecDestroy(graph), cudaSuccess);
  CHECK_EQUAL(f.sum(f.stream), ST_OK);
  graph = f.capture(
      [&] {
        CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_DEVICE_ERROR);
        CHECK(strstr(st_last_error(), "captur") != nullptr);
      },
      0);
  CHECK_EQUAL(cudaGraphExecDestroy(graph), cudaSuccess);
  CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK);
}

// A whole life of a plan, while a stream that has nothing to do with it is captured, by this thread or by another one.
void besideACapture() {
  for (const auto mode : {cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal})
    for (const unsigned flags : {cudaStreamDefault, cudaStreamNonBlocking})
      for (const bool sameThread : {true, false}) {
        const cudaStream_t captured = newStream(flags);
        CHECK_EQUAL(cudaStreamBeginCapture(captured, mode), cudaSuccess);
        const auto life = [] {
          Fixture f(90, true);
          CHECK_EQUAL(f.step(1, f.stream), ST_OK);
          CHECK_EQUAL(f.sum(f.stream), ST_OK);
          CHECK_EQUAL(st_wait(f.plan, handle(f.stream)), ST_OK);
          CHECK(f.each(1) && f.summed());
          float value = 0;
          CHECK_EQUAL(st_plan_read(f.plan, -1, 2, 0, &value, sizeof value, handle(f.stream)), ST_OK);
          CHECK_EQUAL(value, -3.0f);
          int32_t slot = -1;
          CHECK_EQUAL(st_plan_add_slot(f.plan, ST_COMPUTED, &slot), ST_OK);
          CHECK_EQUAL(st_plan_fill(f.plan, slot, 2, handle(f.stream)), ST_OK);
          CHECK_EQUAL(st_plan_read(f.plan, slot, 2, 0, &value, sizeof value, handle(f.other)), ST_OK);
          CHECK_EQUAL(value, 2.0f);
        };
        if (sameThread)
          life();
        else
          std::thread(life).join();
        cudaGraph_t graph = nullptr;
        CHECK_EQUAL(cudaStreamEndCapture(captured, &graph), cudaSuccess);
        CHECK_EQUAL(cudaGraphDestroy(graph), cudaSuccess);
        CHECK_EQUAL(cudaStreamDestroy(captured), cudaSuccess);
      }
}

// The memory of a tensor ends before the tensor does.
void memoryEnds() {
  Fixture f(1);
  char *device = nullptr, *pinned = nullptr;
  CHECK_EQUAL(cudaMalloc(&device, 4000), cudaSuccess);
  CHECK_EQUAL(cudaMallocHost(&pinned, 4000), cudaSuccess);
  const int32_t type = ST_FLOAT32, segment = 0;
  for (char* memory : {device, pinned})
    for (const int64_t count : {500, 501}) {
      const int64_t parameter = reinterpret_cast<int64_t>(memory), gradient = reinterpret_cast<int64_t>(memory + 2000);
      int64_t plan = 0;
      const bool fits = count == 500 || memory == pinned;
      CHECK_EQUAL(st_plan_create(f.device, 1, &parameter, &type, &gradient, &type, nullptr, &count, &segment, 0, nullptr, 1, &plan),
                  fits ? ST_OK : ST_BAD_ARGUMENT);
      if (fits) st_plan_destroy(plan);
      if (!fits) CHECK(strstr(st_last_error(), "gradient of tensor #0") && strstr(st_last_error(), "to its end"));
    }
  CHECK_EQUAL(cudaFree(device), cudaSuccess);
  CHECK_EQUAL(cudaFreeHost(pinned), cudaSuccess);
}

}  // namespace

// With an argument, without the largest plans: under ThreadSanitizer a block costs milliseconds.
int main(int count, char**) {
  const bool all = count == 1;
  for (const int tensors : {3, 86}) coefficientsMayChangeAtOnce(tensors);
  if (all) coefficientsMayChangeAtOnce(1500);
  nothingElseIsCalled();
  sumsAreWaitedFor();
  streamsMayBeDestroyed();
  oneLaunchOfTwoFails();
  anEventThatIsNotRecorded();
  errorsAreMet();
  threadsAtOnce();
  sweepsAreCaptured(3, 2);
  sweepsAreCaptured(90, 4);
  if (all) sweepsAreCaptured(1500, 6);
  oneCaptureOfTwoStreams();
  theRestIsRefused();
  sumsBeforeACapture();
  besideACapture();
  memoryEnds();
  return report("order_test");
}
