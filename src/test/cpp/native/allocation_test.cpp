// SPDX-License-Identifier: Apache-2.0
//
// Memory that runs out at any place: the n-th allocation of a whole life of a plan fails, for n = 1, 2, 3, ..., and so does the n-th
// thread. The call in which it happens says ST_OUT_OF_MEMORY and why, or does without; made again it succeeds; the results have the bits
// that they always have; nothing is leaked. With the path of the emulated CUDA library, the calls of CUDA that allocate or copy fail
// likewise.
//
// The program has the allocator of the C library behind its own malloc and so on, which the library calls too.
#include "check.h"
#include "steptuner.h"
#include <atomic>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void __libc_free(void*);
}

namespace {

// A number of calls until the one that fails; 0: none does.
std::atomic<int64_t> memoryFailsIn{0}, threadFailsIn{0};
std::atomic<bool> inCall{false};  // the program's own allocations never fail
std::atomic<int64_t> blocks{0};

bool fails(std::atomic<int64_t>& in) { return inCall && in.load() > 0 && in.fetch_sub(1) == 1; }

template <class Allocate>
void* allocated(Allocate allocate) {
  if (fails(memoryFailsIn)) {
    errno = ENOMEM;
    return nullptr;
  }
  void* const memory = allocate();
  if (memory) ++blocks;
  return memory;
}

}  // namespace

extern "C" {
void* malloc(size_t bytes) {
  return allocated([=] { return __libc_malloc(bytes); });
}
void* calloc(size_t count, size_t bytes) {
  return allocated([=] { return __libc_calloc(count, bytes); });
}
void* memalign(size_t alignment, size_t bytes) {
  return allocated([=] { return __libc_memalign(alignment, bytes); });
}
void* aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }
int posix_memalign(void** memory, size_t alignment, size_t bytes) {
  *memory = memalign(alignment, bytes);
  return *memory ? 0 : ENOMEM;
}
void* realloc(void* memory, size_t bytes) {
  if (!memory) return malloc(bytes);
  if (fails(memoryFailsIn)) return nullptr;
  void* const moved = __libc_realloc(memory, bytes);
  if (!moved && bytes == 0) --blocks;
  return moved;
}
void free(void* memory) {
  if (memory) --blocks;
  __libc_free(memory);
}
int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*), void* argument) {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto create = reinterpret_cast<Create>(dlsym(RTLD_NEXT, "pthread_create"));
  return fails(threadFailsIn) ? EAGAIN : create(thread, attributes, body, argument);
}
}

namespace {

constexpr int TENSORS = 4;
constexpr int64_t COUNTS[TENSORS] = {9001, 0, 70000, 513};
constexpr int32_t TYPES[TENSORS] = {ST_FLOAT32, ST_FLOAT64, ST_BFLOAT16, ST_FLOAT64};
constexpr int32_t BYTES[TENSORS] = {4, 8, 2, 8};

int refusals = 0;

// Makes a call that must succeed: at once, or when it is made again after it had no memory.
template <class Call>
void succeed(const char* what, Call call) {
  int64_t none;
  st_host_allocate(-77, &none);
  const std::string before = st_last_error();
  inCall = true;
  const st_status status = call();
  inCall = false;
  if (status == ST_OK) return;
  ++refusals;
  if (status != ST_OUT_OF_MEMORY || st_last_error() == before) {
    ++failures;
    fprintf(stderr, "%s: status %d, %s\n", what, status, st_last_error());
  }
  const st_status again = call();
  if (again == ST_OK) return;
  fprintf(stderr, "%s, again: status %d, %s\n", what, again, st_last_error());
  exit(1);
}

// The same for a call that gives a number, and -1 where it cannot.
template <class Call>
int32_t number(const char* what, Call call) {
  int32_t result = -1;
  succeed(what, [&] { return (result = call()) >= 0 ? ST_OK : ST_OUT_OF_MEMORY; });
  return result;
}

// Tensors of a trainer in two places, made before anything fails.
struct Memory {
  std::vector<std::vector<double>> of[2];

  Memory() {
    for (auto& place : of)
      for (int t = 0; t < TENSORS; ++t)
        for (int array = 0; array < 2; ++array) place.emplace_back(static_cast<size_t>(COUNTS[t]) + 1);
  }
  void fill() {
    for (auto& place : of)
      for (int t = 0; t < TENSORS; ++t)
        for (int array = 0; array < 2; ++array)
          for (int64_t i = 0; i < COUNTS[t]; ++i) put(place[static_cast<size_t>(2 * t + array)].data(), t, i, 1 + (i * 7 + array) % 5);
  }
  static void put(void* memory, int t, int64_t i, int value) {
    if (BYTES[t] == 8) static_cast<double*>(memory)[i] = value;
    const float narrow = static_cast<float>(value);
    if (BYTES[t] == 4) static_cast<float*>(memory)[i] = narrow;
    if (BYTES[t] == 2) memcpy(static_cast<char*>(memory) + 2 * i, reinterpret_cast<const char*>(&narrow) + 2, 2);
  }
  int64_t address(int place, int t, int array) { return reinterpret_cast<int64_t>(of[place][static_cast<size_t>(2 * t + array)].data()); }
};

Memory memory;
std::vector<char> result;  // what the last scenario left
char host[1 << 20];

std::vector<int32_t> allSlots(int32_t kernel) {
  int operands = 1;
  int bars = 0;
  for (const char* c = st_kernel_describe(kernel); *c; ++c) {
    bars += *c == '|';
    operands += bars == 2 && *c == ',';
  }
  std::vector<int32_t> slots(static_cast<size_t>(operands));
  for (int o = 0; o < operands; ++o) slots[static_cast<size_t>(o)] = o;
  return slots;
}

std::vector<int32_t> slots, noSlots;
int32_t adam, norm;

void findKernels() {
  adam = number("st_kernel_find", [] { return st_kernel_find("fixed_rate", "adam"); });
  norm = number("st_kernel_find", [] { return st_kernel_find("gradient_norm", ""); });
  slots = allSlots(adam);
  noSlots = allSlots(norm);
}

void keep(const void* from, size_t bytes) {
  result.insert(result.end(), static_cast<const char*>(from), static_cast<const char*>(from) + bytes);
}

// Everything that the ABI does, from opening a device to closing it.
void life(const char* library) {
  memory.fill();
  int64_t device = 0, plan = 0, block = 0;
  succeed("st_device_open", [&] { return st_device_open(library, 0, 3, "", &device); });
  int64_t parameters[TENSORS], gradients[TENSORS];
  const int32_t segments[TENSORS] = {0, 0, 1, 2};
  for (int t = 0; t < TENSORS; ++t) {
    parameters[t] = memory.address(0, t, 0);
    gradients[t] = memory.address(0, t, 1);
  }
  const int32_t planned = static_cast<int32_t>(slots.size()) - 1;
  succeed("st_plan_create", [&] {
    return st_plan_create(device, TENSORS, parameters, TYPES, gradients, TYPES, nullptr, COUNTS, segments, planned, nullptr, 1, &plan);
  });
  int32_t slot = 0, step = 0, sum = 0;
  succeed("st_plan_add_slot", [&] { return st_plan_add_slot(plan, ST_COMPUTED, &slot); });
  CHECK_EQUAL(slot, planned);
  succeed("st_plan_bind", [&] { return st_plan_bind(plan, adam, slots.data(), static_cast<int32_t>(slots.size()), &step); });
  succeed("st_plan_bind", [&] { return st_plan_bind(plan, norm, noSlots.data(), static_cast<int32_t>(noSlots.size()), &sum); });
  CHECK_EQUAL(sum, step + 1);
  double* const row = reinterpret_cast<double*>(st_binding_coefficients(plan, step));
  for (int i = 0; i < 27; ++i) row[i] = 0.5 + i % 9 * 0.01;
  succeed("st_plan_fill", [&] { return st_plan_fill(plan, slot, 0.25, 0); });
  succeed("st_plan_write", [&] { return st_plan_write(plan, 0, 0, 4, host, 400, 0); });
  for (int times = 0; times < 3; ++times) {
    succeed("st_sweep", [&] { return st_sweep(plan, sum, 0); });
    succeed("st_sweep", [&] { return st_sweep(plan, step, 0); });
    succeed("st_wait", [&] { return st_wait(plan, 0); });
    memcpy(memory.of[1][4].data(), memory.of[0][4].data(), static_cast<size_t>(2 * COUNTS[2]));
    const int place = 1 - times % 2;
    if (place == 0) memcpy(memory.of[0][4].data(), memory.of[1][4].data(), static_cast<size_t>(2 * COUNTS[2]));
    const int32_t moving = 2;
    const int64_t parameter = memory.address(place, moving, 0), gradient = memory.address(place, moving, 1);
    succeed("st_plan_rebind", [&] { return st_plan_rebind(plan, 1, &moving, &parameter, &gradient, nullptr, 1); });
  }
  succeed("st_plan_zero_gradients", [&] { return st_plan_zero_gradients(plan, 0, 1); });
  succeed("st_wait", [&] { return st_wait(plan, 0); });
  for (int t = 0; t < TENSORS; ++t) keep(memory.of[0][static_cast<size_t>(2 * t + 1)].data(), static_cast<size_t>(COUNTS[t] * BYTES[t]));
  keep(reinterpret_cast<const void*>(st_binding_sums(plan, sum)), 3 * sizeof(double));
  for (int t = 0; t < TENSORS; ++t)
    for (int32_t s = -1; s <= slot; ++s) {
      const int64_t bytes = st_plan_bytes(plan, s, t);
      succeed("st_plan_read", [&] { return st_plan_read(plan, s, t, 0, host, bytes, 0); });
      keep(host, static_cast<size_t>(bytes));
    }
  memset(host, 0, sizeof host);
  succeed("st_host_allocate", [&] { return st_host_allocate(1000, &block); });
  st_host_free(block);
  st_plan_destroy(plan);
  st_device_close(device);
}

// A life in which something fails; the results are those of one in which nothing does.
bool isSame(const char* library, const std::vector<char>& expected) {
  result.clear();
  refusals = 0;
  life(library);
  return result == expected;
}

struct Kind {
  const char* what;
  std::atomic<int64_t>& in;
};
const Kind KINDS[] = {{"memory", memoryFailsIn}, {"threads", threadFailsIn}};

// Runs a body in a process of its own, in which nothing has been used yet. Its value: 0, or 1 if something was wrong, or 2.
template <class Body>
int inChild(Body body) {
  fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

// First uses: the table of kernels, of which every 97th allocation fails, for there are thousands.
void firstTable() {
  int children = 0;
  for (int64_t n = 1;; n += children < 20 ? 1 : 97, ++children) {
    const int value = inChild([n] {
      memoryFailsIn = n;
      findKernels();
      const bool reached = memoryFailsIn.exchange(0) == 0;
      CHECK(adam >= 0 && adam < st_kernel_count() && st_kernel_describe(adam) != nullptr);
      return failures ? 1 : reached ? 0 : 2;
    });
    CHECK(value == 0 || value == 2);
    if (value == 2 || value == 128) break;
  }
  printf("%d first uses of the table of kernels\n", children);
  CHECK(children > 40);
}

// First uses of everything else: instruction sets, threads, messages.
void firstUses(const std::vector<char>& expected) {
  for (const Kind& kind : KINDS) {
    int64_t n = 1;
    for (;; ++n) {
      const int value = inChild([&] {
        kind.in = n;
        const bool same = isSame(nullptr, expected);
        const bool reached = kind.in.exchange(0) == 0;
        CHECK(same);
        return failures ? 1 : reached ? 0 : 2;
      });
      if (value != 0 && value != 2)
        fprintf(stderr, "%s, the %lldth fails, in a first use: %d\n", kind.what, static_cast<long long>(n), value);
      CHECK(value == 0 || value == 2);
      if (value == 2 || failures > 5) break;
    }
    printf("%s: %lld first uses\n", kind.what, static_cast<long long>(n - 1));
    CHECK(n > 2);
  }
}

void laterUses(const std::vector<char>& expected) {
  int refused = 0;
  int64_t n = 1;
  for (; failures < 5; ++n) {
    const int64_t before = blocks;
    memoryFailsIn = n;
    const bool same = isSame(nullptr, expected);
    const bool reached = memoryFailsIn.exchange(0) == 0;
    result = std::vector<char>();
    refused += refusals;
    CHECK(same);
    CHECK_EQUAL(blocks.load(), before);
    if (!reached) break;
  }
  printf("%lld later uses, %d of them refused a call\n", static_cast<long long>(n - 1), refused);
  CHECK(n > 30 && refused > 20);
}

// The emulated CUDA device: `function` fails at its n-th call with cudaErrorMemoryAllocation.
void onCuda(const char* library, const std::vector<char>& expected) {
  isSame(library, expected);
  void* const opened = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
  const auto fail = reinterpret_cast<void (*)(const char*, int, int)>(dlsym(opened, "cudaEmulationFail"));
  const auto recover = reinterpret_cast<void (*)()>(dlsym(opened, "cudaEmulationRecover"));
  for (const char* function :
       {"cudaMalloc", "cudaMallocHost", "cudaMemsetAsync", "cudaMemcpyAsync", "cudaEventCreateWithFlags", "cudaStreamCreateWithFlags"}) {
    int refused = 0;
    for (int n = 1; n <= 30; ++n) {
      result = std::vector<char>();
      const int64_t before = blocks;
      fail(function, n, 2);
      const bool same = isSame(library, expected);
      recover();
      result = std::vector<char>();
      if (!same || blocks != before)
        fprintf(stderr, "%s, call %d: %s, %lld blocks are left\n", function, n, same ? "same" : "other bits",
                static_cast<long long>(blocks - before));
      CHECK(same && blocks == before);
      refused += refusals;
    }
    printf("%s: refused %d times\n", function, refused);
    CHECK(refused > 0);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count == 1) firstTable();
  findKernels();
  // Found in a child: here, first uses are still to come.
  int channel[2];
  CHECK_EQUAL(pipe(channel), 0);
  std::vector<char> expected(8 << 20);
  size_t received = 0;
  fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    life(nullptr);
    for (size_t done = 0; done < result.size();) {
      const ssize_t bytes = write(channel[1], result.data() + done, result.size() - done);
      if (bytes < 0) _exit(1);
      done += static_cast<size_t>(bytes);
    }
    _exit(failures || refusals ? 1 : 0);
  }
  close(channel[1]);
  for (ssize_t bytes; (bytes = read(channel[0], expected.data() + received, expected.size() - received)) > 0;)
    received += static_cast<size_t>(bytes);
  int status = 0;
  waitpid(child, &status, 0);
  CHECK_EQUAL(status, 0);
  expected.resize(received);
  CHECK(received > 100000);
  if (count > 1) {
    onCuda(arguments[1], expected);
    return report("allocation_test on CUDA");
  }
  firstUses(expected);
  CHECK(isSame(nullptr, expected));
  result = std::vector<char>();
  laterUses(expected);
  return report("allocation_test");
}
