// SPDX-License-Identifier: Apache-2.0
//
// Streams and events: what has happened when. Most of it in deferred mode, where what need not have happened has not.
#include "check.h"

namespace {

constexpr int POISON = static_cast<int>(0xCBCBCBCBu);

__global__ void add(int* value, int amount) { *value += amount; }
// What is there, with or without leave to look.
__attribute__((noinline, no_sanitize("thread"))) int peek(const int* value) { return *value; }

__global__ void copy(const int* from, int* to) { *to = *from; }

// A word on the device and one on the host, with a stream.
struct Fixture {
  explicit Fixture(unsigned flags = cudaStreamNonBlocking) {
    CHECK_EQUAL(cudaStreamCreateWithFlags(&stream, flags), cudaSuccess);
    CHECK_EQUAL(cudaMalloc(&device, sizeof(int)), cudaSuccess);
    CHECK_EQUAL(cudaMallocHost(&host, sizeof(int)), cudaSuccess);
  }
  ~Fixture() {
    CHECK_EQUAL(cudaFree(device), cudaSuccess);
    CHECK_EQUAL(cudaFreeHost(host), cudaSuccess);
    CHECK_EQUAL(cudaStreamDestroy(stream), cudaSuccess);
  }

  void addAndRead(int amount) {
    CHECK_EQUAL(launch(add, {1, 1, 0, stream}, device, amount), cudaSuccess);
    CHECK_EQUAL(cudaMemcpyAsync(host, device, sizeof(int), cudaMemcpyDeviceToHost, stream), cudaSuccess);
  }
  void clear() { CHECK_EQUAL(cudaMemsetAsync(device, 0, sizeof(int), stream), cudaSuccess); }

  cudaStream_t stream;
  int* device;
  int* host;
};

void workWaitsForSynchronisation() {
  Fixture f;
  f.clear();
  f.addAndRead(5);
  CHECK_EQUAL(peek(f.host), POISON);
  CHECK_EQUAL(cudaStreamSynchronize(f.stream), cudaSuccess);
  CHECK_EQUAL(*f.host, 5);
  f.addAndRead(2);
  CHECK_EQUAL(peek(f.host), 5);
  CHECK_EQUAL(cudaDeviceSynchronize(), cudaSuccess);
  CHECK_EQUAL(*f.host, 7);
}

void argumentsAreTakenAtTheLaunch() {
  Fixture f;
  f.clear();
  int amount = 3;
  int* device = f.device;
  void* arguments[] = {&device, &amount};
  CHECK_EQUAL(cudaLaunchKernel(add, dim3(1), dim3(1), arguments, 0, f.stream), cudaSuccess);
  amount = 100;
  device = nullptr;
  f.addAndRead(1);
  CHECK_EQUAL(cudaStreamSynchronize(f.stream), cudaSuccess);
  CHECK_EQUAL(*f.host, 4);
}

void eventsMarkAPointInAStream() {
  Fixture f;
  cudaEvent_t event;
  CHECK_EQUAL(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), cudaSuccess);
  CHECK_EQUAL(cudaEventQuery(event), cudaSuccess);
  f.clear();
  f.addAndRead(1);
  CHECK_EQUAL(cudaEventRecord(event, f.stream), cudaSuccess);
  f.addAndRead(1);
  CHECK_EQUAL(cudaEventSynchronize(event), cudaSuccess);
  CHECK_EQUAL(peek(f.host), 1);  // the next copy may be under way
  CHECK_EQUAL(cudaStreamSynchronize(f.stream), cudaSuccess);
  CHECK_EQUAL(*f.host, 2);
  CHECK_EQUAL(cudaEventDestroy(event), cudaSuccess);
}

void queriesEnd() {
  Fixture f;
  f.clear();
  f.addAndRead(9);
  CHECK_EQUAL(cudaStreamQuery(f.stream), cudaErrorNotReady);
  int queries = 1;
  while (cudaStreamQuery(f.stream) == cudaErrorNotReady) ++queries;
  CHECK(queries <= 4);
  CHECK_EQUAL(*f.host, 9);
  CHECK_EQUAL(cudaGetLastError(), cudaErrorNotReady);
}

void streamsWaitForEvents() {
  Fixture a;
  Fixture b;
  cudaEvent_t event;
  CHECK_EQUAL(cudaEventCreate(&event), cudaSuccess);
  a.clear();
  CHECK_EQUAL(launch(add, {1, 1, 0, a.stream}, a.device, 4), cudaSuccess);
  CHECK_EQUAL(cudaEventRecord(event, a.stream), cudaSuccess);
  CHECK_EQUAL(cudaStreamWaitEvent(b.stream, event), cudaSuccess);
  CHECK_EQUAL(launch(copy, {1, 1, 0, b.stream}, a.device, b.device), cudaSuccess);
  b.addAndRead(10);
  CHECK_EQUAL(cudaStreamSynchronize(b.stream), cudaSuccess);
  CHECK_EQUAL(*b.host, 14);
  CHECK_EQUAL(cudaEventDestroy(event), cudaSuccess);
}

void independentStreamsStayApart() {
  Fixture a;
  Fixture b;
  a.clear();
  a.addAndRead(1);
  b.clear();
  b.addAndRead(2);
  CHECK_EQUAL(cudaStreamSynchronize(b.stream), cudaSuccess);
  CHECK_EQUAL(*b.host, 2);
  CHECK_EQUAL(peek(a.host), POISON);
}

void theDefaultStreamIsOrderedWithBlockingOnes() {
  Fixture blocking(cudaStreamDefault);
  blocking.clear();
  CHECK_EQUAL(launch(add, {1, 1, 0, blocking.stream}, blocking.device, 1), cudaSuccess);
  CHECK_EQUAL(launch(add, {1, 1}, blocking.device, 1), cudaSuccess);
  blocking.addAndRead(1);
  CHECK_EQUAL(peek(blocking.host), POISON);
  CHECK_EQUAL(cudaStreamSynchronize(blocking.stream), cudaSuccess);
  CHECK_EQUAL(*blocking.host, 3);

  int value = 0;
  CHECK_EQUAL(launch(add, {1, 1, 0, blocking.stream}, blocking.device, 1), cudaSuccess);
  CHECK_EQUAL(cudaMemcpy(&value, blocking.device, sizeof(int), cudaMemcpyDeviceToHost), cudaSuccess);
  CHECK_EQUAL(value, 4);
}

void stale() {
  Fixture f;
  cudaStream_t stream;
  CHECK_EQUAL(cudaStreamCreate(&stream), cudaSuccess);
  CHECK_EQUAL(cudaStreamDestroy(stream), cudaSuccess);
  CHECK_EQUAL(cudaStreamSynchronize(stream), cudaErrorInvalidResourceHandle);
  CHECK_EQUAL(launch(add, {1, 1, 0, stream}, f.device, 1), cudaErrorInvalidResourceHandle);
}

// What a stream was given goes on without it, and a stream that gets its handle is another one.
void destroyedStreamsGoOn() {
  Fixture f;
  f.clear();
  CHECK_EQUAL(cudaStreamSynchronize(f.stream), cudaSuccess);
  cudaEvent_t event;
  CHECK_EQUAL(cudaEventCreate(&event), cudaSuccess);
  unsigned long long before = 0, after = 0;
  CHECK_EQUAL(cudaStreamGetId(f.stream, &before), cudaSuccess);
  f.addAndRead(5);
  CHECK_EQUAL(cudaEventRecord(event, f.stream), cudaSuccess);
  f.addAndRead(1);
  CHECK_EQUAL(cudaStreamDestroy(f.stream), cudaSuccess);
  CHECK_EQUAL(cudaStreamCreateWithFlags(&f.stream, cudaStreamNonBlocking), cudaSuccess);
  CHECK_EQUAL(cudaStreamGetId(f.stream, &after), cudaSuccess);
  CHECK(before != after);
  CHECK_EQUAL(cudaStreamSynchronize(f.stream), cudaSuccess);
  CHECK_EQUAL(peek(f.host), POISON);
  CHECK_EQUAL(cudaEventSynchronize(event), cudaSuccess);
  CHECK_EQUAL(peek(f.host), 5);
  CHECK_EQUAL(cudaDeviceSynchronize(), cudaSuccess);
  CHECK_EQUAL(*f.host, 6);
  CHECK_EQUAL(cudaEventDestroy(event), cudaSuccess);
}

void memoryInStreamOrder() {
  Fixture f;
  int* memory;
  CHECK_EQUAL(cudaMallocAsync(&memory, sizeof(int), f.stream), cudaSuccess);
  CHECK_EQUAL(cudaMemsetAsync(memory, 0, sizeof(int), f.stream), cudaSuccess);
  CHECK_EQUAL(launch(add, {1, 1, 0, f.stream}, memory, 6), cudaSuccess);
  CHECK_EQUAL(launch(copy, {1, 1, 0, f.stream}, memory, f.device), cudaSuccess);
  CHECK_EQUAL(cudaFreeAsync(memory, f.stream), cudaSuccess);
  f.addAndRead(0);
  CHECK_EQUAL(cudaStreamSynchronize(f.stream), cudaSuccess);
  CHECK_EQUAL(*f.host, 6);
}

void timeIsMeasured() {
  Fixture f;
  cudaEvent_t start;
  cudaEvent_t end;
  CHECK_EQUAL(cudaEventCreate(&start), cudaSuccess);
  CHECK_EQUAL(cudaEventCreate(&end), cudaSuccess);
  float milliseconds = -1;
  CHECK_EQUAL(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorInvalidResourceHandle);
  CHECK_EQUAL(cudaEventRecord(start, f.stream), cudaSuccess);
  f.clear();
  CHECK_EQUAL(cudaEventRecord(end, f.stream), cudaSuccess);
  CHECK_EQUAL(cudaEventSynchronize(end), cudaSuccess);
  CHECK_EQUAL(cudaEventElapsedTime(&milliseconds, start, end), cudaSuccess);
  CHECK(milliseconds >= 0 && milliseconds < 1000);
  CHECK_EQUAL(cudaEventDestroy(start), cudaSuccess);
  CHECK_EQUAL(cudaEventDestroy(end), cudaSuccess);
}

void eagerModeDoesItAtOnce() {
  Fixture f;
  f.clear();
  f.addAndRead(8);
  CHECK_EQUAL(peek(f.host), POISON);
  cudaEmulationDefer(0);
  CHECK_EQUAL(peek(f.host), 8);
  f.addAndRead(1);
  CHECK_EQUAL(peek(f.host), 9);
}

}  // namespace

int main() {
  cudaEmulationDefer(1);
  workWaitsForSynchronisation();
  argumentsAreTakenAtTheLaunch();
  eventsMarkAPointInAStream();
  queriesEnd();
  streamsWaitForEvents();
  independentStreamsStayApart();
  theDefaultStreamIsOrderedWithBlockingOnes();
  stale();
  destroyedStreamsGoOn();
  memoryInStreamOrder();
  timeIsMeasured();
  eagerModeDoesItAtOnce();
  return failures != 0;
}
