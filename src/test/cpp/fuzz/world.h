// SPDX-License-Identifier: Apache-2.0
//
// What a sequence of calls of the C ABI plays in: devices, and plans that exist twice. The twin of a plan has the same tensors in memory of
// its own, on another device (another instruction set, other threads); whatever is done to a plan is done to its twin, and both must hold
// the same bits. A call that is refused is made to one of them alone, and must change nothing.
#pragma once
#include "../kernels/kernel_run.h"
#include "steptuner.h"
#include <memory>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>

namespace fuzz {

using kernel_run::NO_NUMBERS;
using kernel_run::Random;
using kernel_run::split;
using steptuner::bytesOf;
using steptuner::computeType;
using steptuner::TYPES;

constexpr int GUARD = 64;
constexpr unsigned char GUARD_BYTE = 0xA5;

// The calls of the sequence so far, for the report of a failure. Plain memory: a sanitizer that ends the process prints it.
inline char said[1 << 16];
inline size_t saidLength = 0;

__attribute__((format(printf, 1, 2))) inline void say(const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const int length = vsnprintf(said + saidLength, sizeof said - saidLength, format, arguments);
  va_end(arguments);
  saidLength = std::min(sizeof said - 1, saidLength + static_cast<size_t>(std::max(length, 0)));
}

struct Wrong {
  std::string what;
};

// Ends the sequence if something is not so.
inline void require(bool condition, const std::string& what) {
  if (!condition) throw Wrong{what};
}

// What a kernel says of itself.
struct Kernel {
  struct Operand {
    std::string place;
    bool written;
  };
  std::string description;
  std::vector<Operand> operands;
  int coefficients = 0, sums = 0;
};

inline const std::vector<Kernel>& kernels() {
  static const std::vector<Kernel> all = [] {
    std::vector<Kernel> made;
    for (int32_t k = 0; k < st_kernel_count(); ++k) {
      Kernel kernel;
      kernel.description = st_kernel_describe(k);
      const std::vector<std::string> parts = split(kernel.description, '|');
      for (const std::string& operand : split(parts[2], ',')) {
        const std::vector<std::string> fields = split(operand, ':');
        kernel.operands.push_back({fields[1], fields.size() > 2 && fields[2].find('w') != std::string::npos});
      }
      kernel.coefficients = static_cast<int>(split(parts[3], ',').size());
      kernel.sums = parts.size() > 4 ? static_cast<int>(split(parts[4], ',').size()) : 0;
      made.push_back(kernel);
    }
    return made;
  }();
  return all;
}

// Elements of a type between guards, some elements from an aligned address.
class Array {
 public:
  Array(int32_t type, int64_t count, int offset) : type_(type), count_(count) {
    memory_.assign(static_cast<size_t>(bytes() + 3 * GUARD + offset * bytesOf(type)), static_cast<char>(GUARD_BYTE));
    begin_ = static_cast<size_t>(GUARD + (-reinterpret_cast<uintptr_t>(memory_.data()) & 63)) + static_cast<size_t>(offset * bytesOf(type));
    memset(data(), 0, static_cast<size_t>(bytes()));
  }
  char* data() { return memory_.data() + begin_; }
  int64_t address() { return reinterpret_cast<int64_t>(data()); }
  int64_t bytes() const { return count_ * bytesOf(type_); }
  void fill(Random random) {
    for (int64_t i = 0; i < count_; ++i) kernel_run::put(data(), type_, i, random, kernel_run::SPECIAL, random.next());
  }
  bool guardsStand() const {
    for (size_t i = 0; i < memory_.size(); ++i)
      if ((i < begin_ || i >= begin_ + static_cast<size_t>(bytes())) && static_cast<unsigned char>(memory_[i]) != GUARD_BYTE) return false;
    return true;
  }

 private:
  int32_t type_;
  int64_t count_;
  size_t begin_ = 0;
  std::vector<char> memory_;
};

enum Role { PARAMETERS, GRADIENTS, UPDATES, ROLES };

struct Binding {
  int32_t kernel;
  std::vector<int32_t> slots;
  bool released = false;
  bool inParts = false;
};

// One of the two plans. A tensor has two places where it can be.
struct Side {
  int64_t plan = 0;
  std::vector<std::unique_ptr<Array>> arrays[ROLES][2];
};

// A plan with its twin, and what is known of both.
struct Pair {
  std::vector<int64_t> counts;
  std::vector<int32_t> types[2];  // of parameters and gradients
  std::vector<int32_t> segments;
  std::vector<int> place[ROLES];  // of each tensor's arrays
  std::vector<bool> has[ROLES];   // whether a tensor has such an array
  bool overlapping = false;       // two tensors share parameters: what a sweep makes of them depends on chance
  int32_t slots = 0;
  std::vector<bool> released;    // slots
  std::vector<int32_t> storage;  // of slots
  int32_t rounding = ST_NEAREST, rest = -1;
  std::vector<Binding> bindings;
  Side side[2];

  int tensors() const { return static_cast<int>(counts.size()); }
  int rows() const { return segments.back() + 1; }
  int32_t typeOf(int role, int t) const {
    const size_t tensor = static_cast<size_t>(t);
    return role == PARAMETERS ? types[0][tensor] : role == GRADIENTS ? types[1][tensor] : computeType(types[0][tensor]);
  }
  // Of the elements of a slot.
  int32_t storedType(int32_t slot, int t) const {
    const int32_t as = storage[static_cast<size_t>(slot)], parameter = typeOf(PARAMETERS, t), computed = typeOf(UPDATES, t);
    if (as == ST_REST) return NO_NUMBERS;
    const bool half = as == ST_HALF || (as == ST_AS_PARAMETER && parameter == ST_BFLOAT16);
    return half && computed == ST_FLOAT32 ? int32_t(ST_BFLOAT16) : computed;
  }
  int64_t storedBytes(int32_t slot, int t) const {
    const int32_t type = storedType(slot, t);
    return type == NO_NUMBERS && typeOf(PARAMETERS, t) != ST_BFLOAT16 ? 0 : counts[static_cast<size_t>(t)] * bytesOf(type);
  }
  bool isLive(int32_t slot) const { return slot >= 0 && slot < slots && !released[static_cast<size_t>(slot)]; }
  Array& array(int s, int role, int t) {
    const int owner = role == PARAMETERS && overlapping && t == 1 ? 0 : t;
    return *side[s].arrays[role][place[role][static_cast<size_t>(owner)]][static_cast<size_t>(owner)];
  }
  int64_t address(int s, int role, int t) { return has[role][static_cast<size_t>(t)] ? array(s, role, t).address() : 0; }
  std::vector<int32_t> liveSlots() const {
    std::vector<int32_t> live;
    for (int32_t slot = 0; slot < slots; ++slot)
      if (!released[static_cast<size_t>(slot)]) live.push_back(slot);
    return live;
  }
  // Whether a sweep can run: neither it nor a slot of it has been released, the one with the rest of the parameters included.
  bool runs(const Binding& binding) const {
    const Kernel& kernel = kernels()[static_cast<size_t>(binding.kernel)];
    for (size_t o = 0; o < kernel.operands.size(); ++o)
      if (kernel.operands[o].place == "state" && released[static_cast<size_t>(binding.slots[o])]) return false;
    return !binding.released && (!binding.inParts || isLive(rest));
  }
  bool uses(const Binding& binding, const char* what) const {
    if (binding.released) return false;
    for (const Kernel::Operand& operand : kernels()[static_cast<size_t>(binding.kernel)].operands)
      if (operand.place == what) return true;
    return false;
  }

  // All memory of a side: arrays by role and tensor, slots by number and tensor, coefficients and sums of each binding. What has been
  // released is empty.
  std::vector<std::vector<char>> content(int s) {
    std::vector<std::vector<char>> all;
    const auto keep = [&all](int64_t address, int64_t bytes) {
      const char* const from = reinterpret_cast<const char*>(address);
      all.emplace_back(from, from + bytes);
    };
    const int64_t plan = side[s].plan;
    require(st_wait(plan, 0) == ST_OK, "st_wait");
    for (int role = 0; role < ROLES; ++role)
      for (int t = 0; t < tensors(); ++t) keep(array(s, role, t).address(), array(s, role, t).bytes());
    for (int32_t slot = 0; slot < slots; ++slot)
      for (int t = 0; t < tensors(); ++t) {
        const bool there = !released[static_cast<size_t>(slot)];
        keep(there ? st_plan_address(plan, slot, t) : 0, there ? st_plan_bytes(plan, slot, t) : 0);
      }
    for (int32_t b = 0; b < static_cast<int32_t>(bindings.size()); ++b) {
      const Kernel& kernel = kernels()[static_cast<size_t>(bindings[static_cast<size_t>(b)].kernel)];
      const int64_t bytes = bindings[static_cast<size_t>(b)].released ? 0 : int64_t(rows()) * 8;
      keep(bytes ? st_binding_coefficients(plan, b) : 0, bytes * kernel.coefficients);
      keep(bytes ? st_binding_sums(plan, b) : 0, bytes * kernel.sums);
    }
    return all;
  }
  // Where something is in content().
  size_t arrayAt(int role, int t) const { return static_cast<size_t>(role * tensors() + t); }
  size_t slotAt(int32_t slot, int t) const { return static_cast<size_t>((ROLES + slot) * tensors() + t); }
  size_t rowsAt(int32_t binding) const { return static_cast<size_t>((ROLES + slots) * tensors() + 2 * binding); }

  int32_t typeAt(size_t at) const {
    const size_t roles = at / static_cast<size_t>(tensors());
    if (roles >= static_cast<size_t>(ROLES + slots)) return ST_FLOAT64;
    const int tensor = static_cast<int>(at) % tensors();
    return roles < ROLES ? typeOf(static_cast<int>(roles), tensor) : storedType(static_cast<int32_t>(roles) - ROLES, tensor);
  }

  // Both sides hold the same, payloads of NaNs aside, and nothing beside the arrays was written.
  void check() {
    for (int s = 0; s < 2; ++s)
      for (int role = 0; role < ROLES; ++role)
        for (auto& arrays : side[s].arrays[role])
          for (auto& one : arrays) require(one->guardsStand(), "memory beside an array was written");
    if (overlapping) return;
    const auto one = content(0), other = content(1);
    for (size_t at = 0; at < one.size(); ++at)
      if (one[at] != other[at]) compare(one[at], other[at], at);
  }

 private:
  void compare(const std::vector<char>& one, const std::vector<char>& other, size_t at) const {
    const int32_t type = typeAt(at);
    const int64_t count = static_cast<int64_t>(one.size()) / bytesOf(type);
    require(one.size() == other.size(), "twins of different sizes");
    require(type != NO_NUMBERS, "the twin has other bits in what is no numbers: array " + std::to_string(at));
    for (int64_t i = 0; i < count; ++i) {
      const size_t begin = static_cast<size_t>(i * bytesOf(type));
      if (memcmp(&one[begin], &other[begin], static_cast<size_t>(bytesOf(type))) == 0) continue;
      const double a = steptuner::load<double>(one.data(), type, i), b = steptuner::load<double>(other.data(), type, i);
      require(isnan(a) && isnan(b), "the twin has other bits: array " + std::to_string(at) + ", element " + std::to_string(i) + " of " +
                                        std::to_string(count) + ": " + std::to_string(a) + " and " + std::to_string(b));
    }
  }
};

// Addresses that no plan may take: pages that are not there, and pages that cannot be written.
struct BadMemory {
  static constexpr size_t PAGE = 4096;
  char* pages;

  BadMemory() {
    pages = static_cast<char*>(mmap(nullptr, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(pages + PAGE, PAGE, PROT_READ);
    mprotect(pages + 2 * PAGE, 2 * PAGE, PROT_NONE);
  }
  int64_t absent() const { return reinterpret_cast<int64_t>(pages + 2 * PAGE + 64); }
  int64_t readOnly() const { return reinterpret_cast<int64_t>(pages + PAGE + 64); }
  // So many bytes before the pages that end: a range that begins well.
  int64_t beforeTheEnd(int64_t bytes) const { return reinterpret_cast<int64_t>(pages + 2 * PAGE - bytes); }
};

struct World {
  Random random;
  std::vector<int64_t>& devices;
  const std::vector<std::string>& instructionSets;
  const BadMemory& bad;
  std::vector<std::unique_ptr<Pair>> pairs;
  uint64_t fills = 0;

  World(uint64_t seed, std::vector<int64_t>& all, const std::vector<std::string>& sets, const BadMemory& badMemory)
      : random(seed), devices(all), instructionSets(sets), bad(badMemory) {}
  ~World() {
    for (auto& pair : pairs)
      for (Side& side : pair->side) st_plan_destroy(side.plan);
  }
  World(const World&) = delete;

  bool chance(int oneIn) { return random.below(oneIn) == 0; }
  template <class T, size_t N>
  T any(const T (&of)[N]) {
    return of[random.below(static_cast<int>(N))];
  }
  Pair* anyPair() { return pairs.empty() ? nullptr : pairs[static_cast<size_t>(random.below(static_cast<int>(pairs.size())))].get(); }
  // A number from 0 to most - 1, or one that is out of bounds.
  int32_t outOf(int32_t most) {
    const int32_t numbers[] = {-1, -2, most, most + 1, INT32_MAX, INT32_MIN};
    return any(numbers);
  }
  // A slot that is not there, or not any more.
  int32_t wrongSlot(const Pair& pair) {
    for (int32_t slot = 0; slot < pair.slots && chance(2); ++slot)
      if (pair.released[static_cast<size_t>(slot)]) return slot;
    return outOf(pair.slots);
  }
  double number() {
    constexpr double special[] = {0, -0.0, 1, -1, 0.5, 1e-8, 0.999, 1e4, 3e38, 1e39, 1e300, 1e-310, INFINITY, -INFINITY, NAN, 7};
    return chance(3) ? any(special) : random.next();
  }
};

inline int made = 0, refused = 0;  // calls of the present row

// A call that must be made, on both plans of a pair.
template <class Call>
void onBoth(Pair& pair, Call call) {
  for (int s = 0; s < 2; ++s) {
    const st_status status = call(s, pair.side[s].plan);
    require(status == ST_OK, "status " + std::to_string(status) + ": " + st_last_error());
  }
  ++made;
}

// A call that must be refused, with a message of its own, and change nothing: neither memory nor what it would have given.
template <class Call>
void isRefused(Pair* pair, st_status wanted, Call call) {
  static int64_t mark = 0;
  std::vector<std::vector<char>> before;
  if (pair) before = pair->content(0);
  int64_t none = 0;
  st_host_allocate(-1000 - ++mark, &none);
  const std::string marked = st_last_error();
  const st_status status = call(pair ? pair->side[0].plan : 0);
  require(status == wanted, "status " + std::to_string(status) + " and not " + std::to_string(wanted));
  require(*st_last_error() != 0 && st_last_error() != marked, "no message");
  if (pair) require(pair->content(0) == before, "a refused call has changed memory");
  ++refused;
}

}  // namespace fuzz
