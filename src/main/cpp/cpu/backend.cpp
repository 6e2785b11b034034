// SPDX-License-Identifier: Apache-2.0
//
// The CPU as a device.
#include "../core/backend.h"
#include "../core/memory_map.h"
#include "../core/summation.h"
#include "capture.h"
#include "instruction_sets.h"
#include "pool.h"
#include <algorithm>
#include <atomic>
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace steptuner {
namespace {

struct CpuDevice {
  const ChunkFunctions* functions;  // by the number of the kernel
  int threads;
  int64_t lastLevelCache;
  Explain explain;
  std::string name;
};

struct CpuPlan {
  std::vector<double> chunkSums;
};

CpuDevice& cpu(void* device) { return *static_cast<CpuDevice*>(device); }

// How much of a last-level cache counts. A system may report hundreds of megabytes, in which dozens of cores have parts of 2 to 4 MB each, and
// a virtual machine does not see how many others there are. Up to this size the report is taken as it is, since most such caches are a
// group of eight cores' own. A wrong choice costs a fifth or so, either way (bench/results/tried.md).
constexpr int64_t LARGEST_CACHE = int64_t(32) << 20;

// The size of the last-level cache; a container, or a test, may know better than the system.
bool findCache(Explain explain, int64_t* bytes) {
  const char* const given = getenv("STEPTUNER_CACHE_BYTES");
  if (!given || !*given) {
    const long found = sysconf(_SC_LEVEL3_CACHE_SIZE);
    *bytes = found > 0 ? std::min<int64_t>(found, LARGEST_CACHE) : LARGEST_CACHE;
    return true;
  }
  char* end;
  *bytes = strtoll(given, &end, 10);
  if (*end == 0 && *bytes >= 0) return true;
  explain("STEPTUNER_CACHE_BYTES must be a number of bytes, 0 or more, not '%s'", given);
  return false;
}

st_status open(int32_t, int32_t threads, const char* wanted, Explain explain, void** device) {
  const InstructionSet* const set = findInstructionSet(wanted);
  if (!set) {
    explain("instruction set '%s' cannot be used; there are: %s", wanted, describeInstructionSets().c_str());
    return ST_NO_DEVICE;
  }
  if (threads < 0) {
    explain("threads must be 0 (one per processor) or more, not %d", threads);
    return ST_BAD_ARGUMENT;
  }
  auto opened = std::make_unique<CpuDevice>();
  opened->functions = set->functions.data();
  opened->threads = threads > 0 ? threads : processors();
  if (!findCache(explain, &opened->lastLevelCache)) return ST_BAD_ARGUMENT;
  opened->explain = explain;
  const char* const unit = opened->threads == 1 ? " thread" : " threads";
  opened->name = "CPU, " + std::string(set->name) + ", " + std::to_string(opened->threads) + unit;
  *device = opened.release();
  return ST_OK;
}

void close(void* device) { delete &cpu(device); }

const char* name(void* device) { return cpu(device).name.c_str(); }

int32_t threads(void* device) { return cpu(device).threads; }

// Fresh pages of the system are zero and cost nothing until they are touched: large blocks are left to calloc, which maps them.
constexpr size_t ALIGNMENT = 128;

// Large blocks all begin at the same place of a page, and a sweep over several would find them all in the same lines of the L1 cache.
// Blocks are therefore shifted, one after the other, by some lines.
constexpr size_t SHIFTS = 8;
constexpr size_t SHIFT = size_t(9) * 64;

// Blocks from this size on ask the system for large pages: a sweep over half a dozen arrays otherwise crosses a page every few hundred
// nanoseconds. Where the system has none, nothing changes.
constexpr size_t LARGE = size_t(8) << 20;

void askForLargePages(char* block, size_t bytes) {
  const uintptr_t page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(block) + page - 1) / page * page;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(block) + bytes) / page * page;
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

st_status allocate(void*, int64_t bytes, char** memory) {
  static std::atomic<size_t> blocks{0};
  const size_t size = static_cast<size_t>(bytes) + 2 * ALIGNMENT + SHIFTS * SHIFT;
  char* const block = static_cast<char*>(calloc(1, size));
  if (!block) return ST_OUT_OF_MEMORY;
  if (size >= LARGE) askForLargePages(block, size);
  char* const aligned = block + ALIGNMENT + (-reinterpret_cast<uintptr_t>(block) & (ALIGNMENT - 1)) + blocks++ % SHIFTS * SHIFT;
  memcpy(aligned - sizeof block, &block, sizeof block);
  *memory = aligned;
  return ST_OK;
}

void release(void*, char* memory) {
  if (!memory) return;
  char* block;
  memcpy(&block, memory - sizeof block, sizeof block);
  free(block);
}

st_status copy(void*, void* to, const void* from, int64_t bytes, Copy, void*) {
  memcpy(to, from, static_cast<size_t>(bytes));
  return ST_OK;
}

const char* unusable(void*, const Range* ranges, size_t count, size_t* which) {
  *which = firstUnmapped(ranges, count);
  if (*which == count) return nullptr;
  return ranges[*which].written ? "not memory that this process can read and write" : "not memory that this process can read";
}

template <class T>
void fillArray(char* memory, int64_t bytes, double value, int32_t type) {
  T element;
  store(&element, type, 0, value);
  std::fill_n(reinterpret_cast<T*>(memory), bytes / int64_t(sizeof(T)), element);
}

st_status fill(void*, Plan& plan, int32_t number, double value, void*) {
  const Slot& slot = plan.slots[static_cast<size_t>(number)];
  for (const Tensor& t : plan.tensors) {
    char* const memory = inSlot(slot, t);
    const int64_t bytes = storedBytes(t, slot.storage);
    const int32_t type = storedType(t, slot.storage);
    switch (bytesOf(type)) {
      case 8: fillArray<double>(memory, bytes, value, type); break;
      case 4: fillArray<float>(memory, bytes, value, type); break;
      default: fillArray<uint16_t>(memory, bytes, value, type);
    }
  }
  return ST_OK;
}

void zeroPieces(void* context, int64_t begin, int64_t end) {
  const Piece* const pieces = static_cast<const Piece*>(context);
  for (int64_t p = begin; p < end; ++p) memset(pieces[p].memory, 0, static_cast<size_t>(pieces[p].bytes));
}

st_status zeroGradients(void* device, Plan& plan, void*) {
  std::vector<Piece>& pieces = plan.gradientPieces;
  parallelFor(cpu(device).threads, static_cast<int64_t>(pieces.size()), Order::FORWARDS, zeroPieces, pieces.data());
  return ST_OK;
}

// A bound kernel and its functions.
struct Pass {
  const Binding& binding;
  const ChunkFunctions& functions;
};

struct Sweep {
  const Plan& plan;
  Pass first;
  const Pass* follower;  // takes each chunk after the first; mostly null
  double* chunkSums;     // of the first
  bool beyondCaches;
  uint64_t firstKey, followersKey;  // of this step among random bits
};

// What a pass has to do for a chunk.
struct Task {
  ChunkFunction function;
  ChunkWork work;

  Task(const Sweep& sweep, const Pass& pass, int64_t c, uint64_t key, double* sums) {
    const Binding& binding = pass.binding;
    const Chunk& chunk = sweep.plan.chunks[static_cast<size_t>(c)];
    const Tensor& tensor = sweep.plan.tensors[static_cast<size_t>(chunk.tensor)];
    for (int o = 0; o < binding.operands; ++o) {
      work.type[o] = operandType(tensor, binding.operand[o].place, binding.storage[o]);
      char* const base = operandBase(sweep.plan, binding, tensor, o);
      work.memory[o] = base ? base + chunk.begin * bytesOf(work.type[o]) : nullptr;
    }
    char* const rest = restBase(sweep.plan, binding, tensor);
    work.rest = rest ? rest + chunk.begin * int64_t(sizeof(uint16_t)) : nullptr;
    work.count = chunk.count;
    work.begin = chunk.begin;
    work.stochastic = binding.stochastic;
    work.key = binding.stochastic ? chunkKey(key, tensor.key, chunk.begin / CHUNK) : 0;
    // Where another pass follows, x must stay in the cache, and fetching for the first one would run into the next chunk too early.
    work.beyondCaches = sweep.beyondCaches && !sweep.follower;
    work.coefficients = binding.coefficientRows + int64_t(tensor.segment) * binding.coefficients;
    work.sums = sums;
    work.next = nullptr;
    work.nextBytes = 0;
    function = tensor.stateType == FLOAT64 ? pass.functions.float64 : pass.functions.float32;
  }

  void run() const { function(work); }
};

// The state that the follower reads comes into the cache while the first pass works; without that it would wait for memory at the
// beginning of every page. What both read is there already.
void takeChunkTwice(const Sweep& sweep, int64_t c, double* sums) {
  Task first(sweep, sweep.first, c, sweep.firstKey, sums);
  const Task second(sweep, *sweep.follower, c, sweep.followersKey, nullptr);
  const Binding& binding = sweep.follower->binding;
  for (int o = 0; o < binding.operands && sweep.beyondCaches; ++o) {
    if (binding.operand[o].place != STATE || !reads(binding.operand[o])) continue;
    first.work.next = second.work.memory[o];
    first.work.nextBytes = bytesOf(second.work.type[o]);
  }
  first.run();
  second.run();
}

bool isAbsent(const Plan& plan, int64_t chunk) {
  return plan.tensors[static_cast<size_t>(plan.chunks[static_cast<size_t>(chunk)].tensor)].absent != 0;
}

void sweepChunks(void* context, int64_t begin, int64_t end) {
  const Sweep& sweep = *static_cast<const Sweep*>(context);
  double none[1];
  for (int64_t c = begin; c < end; ++c) {
    const int64_t terms = sweep.first.binding.sums;
    double* const sums = terms > 0 ? sweep.chunkSums + c * terms : none;
    if (isAbsent(sweep.plan, c)) {
      std::fill_n(sums, terms, 0.0);
      continue;
    }
    if (sweep.follower)
      takeChunkTwice(sweep, c, sums);
    else
      Task(sweep, sweep.first, c, sweep.firstKey, sums).run();
  }
  if (sweep.beyondCaches) _mm_sfence();  // once for all chunks: each would wait for its stores
}

// The sums of the chunks of a segment, in the order of summation.h. A segment of one chunk is its sum: the other columns are 0.
void addChunks(const double* chunkSums, const Segment& segment, int sums, double* result) {
  const int64_t chunks = segment.end - segment.begin;
  for (int s = 0; s < sums; ++s) {
    if (chunks <= 1) {
      result[s] = chunks == 1 ? chunkSums[segment.begin * sums + s] : 0.0;
      continue;
    }
    double column[COLUMNS] = {};
    for (int64_t c = 0; c < chunks; ++c) {
      double& sum = column[c % COLUMNS];
      sum = sum + chunkSums[(segment.begin + c) * sums + s];
    }
    result[s] = addHalves<COLUMNS>(column);
  }
}

st_status sweep(void* device, Plan& plan, Binding& binding, const Binding* follower, void*) {
  CpuDevice& on = cpu(device);
  const int64_t chunks = static_cast<int64_t>(plan.chunks.size());
  if (!plan.device) plan.device = new CpuPlan;
  auto& chunkSums = static_cast<CpuPlan*>(plan.device)->chunkSums;
  const size_t sums = static_cast<size_t>(chunks * binding.sums);
  if (chunkSums.size() < sums) chunkSums.resize(sums);
  // Half of it: others have their share, the trainer first of all.
  const bool beyondCaches = footprint(plan) > on.lastLevelCache / 2;
  const Binding& second = follower ? *follower : binding;
  const Pass after = {second, on.functions[second.kernel]};
  Sweep work = {plan,         {binding, on.functions[binding.kernel]}, follower ? &after : nullptr,   chunkSums.data(),
                beyondCaches, stepKey(binding.key, plan.step),         stepKey(second.key, plan.step)};
  // A backward sweep takes pieces from the end to the start, and goes forward within a piece: the processor's prefetchers lose their
  // place at every jump.
  parallelFor(on.threads, chunks, backwards(plan) ? Order::BACKWARDS : Order::FORWARDS, sweepChunks, &work);
  for (size_t g = 0; g < plan.segments.size() && binding.sums > 0; ++g)
    addChunks(chunkSums.data(), plan.segments[g], binding.sums, binding.sumRows + int64_t(g) * binding.sums);
  return ST_OK;
}

st_status wait(void*, Plan&, void*) { return ST_OK; }

void forget(void*, Plan& plan) {
  delete static_cast<CpuPlan*>(plan.device);
  plan.device = nullptr;
}

}  // namespace

const Backend* cpuBackend() {
  static const Backend backend = {BACKEND_VERSION,
                                  open,
                                  close,
                                  name,
                                  threads,
                                  allocate,
                                  release,
                                  allocate,
                                  release,
                                  copy,
                                  unusable,
                                  fill,
                                  zeroGradients,
                                  sweep,
                                  wait,
                                  cpu_capture::makeReady,
                                  cpu_capture::send,
                                  cpu_capture::step,
                                  cpu_capture::settle,
                                  cpu_capture::capturing,
                                  forget};
  return &backend;
}

}  // namespace steptuner
