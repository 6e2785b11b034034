// SPDX-License-Identifier: Apache-2.0
//
// Random sequences of calls of the C ABI, right ones and wrong ones. A wrong call must be refused with the documented status and a message,
// and change nothing; right ones are made to two plans on two devices, which must hold the same bits. To be built with sanitizers.
//
//   fuzz_abi [--inputs 10000] [--seed 1] [--only I] [--minutes M] [--library FILE]
//
// An input is one sequence; it follows from seed and number alone. --only makes one of them, and prints its calls. --minutes ends earlier,
// --library adds a device. The handles of devices and plans are pointers that the caller keeps: a wrong one is out of contract. So are
// arrays shorter than said, and memory that goes while a plan has it.
#include "world.h"
#include <signal.h>
#include <time.h>

namespace fuzz {
namespace {

void openDevice(World& w) {
  constexpr const char* LIBRARIES[] = {"/nonexistent/libnothing.so", "", "libm.so.6", "/proc/self/status"};
  constexpr const char* SETS[] = {"AVX2", "avx", "sse2 ", "avx1024", "\xff\xfe", "%s%n%s"};
  int64_t device = -7;
  const char* const library = w.chance(4) ? w.any(LIBRARIES) : nullptr;
  const int32_t threads = w.random.below(12) - 3;
  const bool known = !w.chance(3);
  const std::string set =
      !known ? w.any(SETS) : w.instructionSets[static_cast<size_t>(w.random.below(static_cast<int>(w.instructionSets.size())))];
  const char* const isa = set.empty() && w.chance(2) ? nullptr : set.c_str();
  say("st_device_open(%s, 0, %d, %s)\n", library ? library : "NULL", threads, isa ? isa : "NULL");
  const auto open = [&](int64_t) { return st_device_open(library, 0, threads, isa, &device); };
  if (library || !known) return isRefused(nullptr, ST_NO_DEVICE, open), require(device == -7, "a device from a refused call");
  if (threads < 0) return isRefused(nullptr, ST_BAD_ARGUMENT, open), require(device == -7, "a device from a refused call");
  require(open(0) == ST_OK, st_last_error());
  require(threads == 0 ? st_device_threads(device) > 0 : st_device_threads(device) == threads, "st_device_threads");
  require(strstr(st_device_name(device), "CPU") != nullptr, "st_device_name");
  st_device_close(device);
  ++made;
}

void hostMemory(World& w) {
  constexpr int64_t SIZES[] = {0, 1, 7, 4096, 100000, -1, INT64_MIN, INT64_MAX, int64_t(1) << 62};
  const int64_t bytes = w.any(SIZES);
  int64_t address = -7;
  say("st_host_allocate(%lld)\n", static_cast<long long>(bytes));
  const auto allocate = [&](int64_t) { return st_host_allocate(bytes, &address); };
  if (bytes < 0 || bytes > 100000) {
    isRefused(nullptr, bytes < 0 ? ST_BAD_ARGUMENT : ST_OUT_OF_MEMORY, allocate);
    return require(address == -7, "an address from a refused call");
  }
  require(allocate(0) == ST_OK && address != 0 && address % 16 == 0, "st_host_allocate");
  memset(reinterpret_cast<void*>(address), 1, static_cast<size_t>(bytes));
  st_host_free(address);
  st_host_free(0);
  ++made;
}

void names(World& w) {
  const int32_t kernel = w.random.below(st_kernel_count()), wrong = w.outOf(st_kernel_count());
  say("names of kernel %d and %d\n", kernel, wrong);
  const std::vector<std::string> parts = split(st_kernel_describe(kernel), '|');
  require(st_kernel_find(parts[0].c_str(), parts[1].c_str()) == kernel, "st_kernel_find");
  require(st_kernel_find(parts[0].c_str(), "no such rule") == -1 && st_kernel_find("", "") == -1, "st_kernel_find of nothing");
  require(st_kernel_describe(wrong) == nullptr && st_type_name(w.outOf(TYPES)) == nullptr, "a name of nothing");
  require(st_type_name(w.random.below(TYPES)) != nullptr && st_abi_version() == ST_ABI_VERSION, "st_type_name");
  ++made;
}

// The arrays of a call of st_plan_create.
struct Creation {
  int32_t tensors, slots, verify;
  std::vector<int64_t> address[ROLES], counts;
  std::vector<int32_t> types[2], segments, storage;
  bool stored;  // whether storages are given

  st_status on(int64_t device, int64_t* plan, bool updates) const {
    return st_plan_create(device, tensors, address[PARAMETERS].data(), types[0].data(), address[GRADIENTS].data(), types[1].data(),
                          updates ? address[UPDATES].data() : nullptr, counts.data(), segments.data(), slots,
                          stored ? storage.data() : nullptr, verify, plan);
  }
};

void spoil(World& w, Creation& c) {
  const size_t t = static_cast<size_t>(w.random.below(c.tensors));
  const int32_t size = bytesOf(c.types[0][t]);
  constexpr int64_t COUNTS[] = {-1, INT64_MIN, INT64_MAX, (int64_t(1) << 40) + 1, int64_t(1) << 40};
  const int which = w.random.below(13);
  say("  spoilt: %d at tensor %zu\n", which, t);
  if (c.counts[t] == 0) c.counts[t] = 1;
  switch (which) {
    case 0: c.tensors = w.any({0, -1, INT32_MIN}); break;
    case 1: c.slots = w.any({-1, INT32_MIN}); break;
    case 12:
      c.slots = std::max(c.slots, 1);
      c.storage.resize(static_cast<size_t>(c.slots), ST_COMPUTED);
      c.storage[static_cast<size_t>(w.random.below(c.slots))] = w.outOf(4);
      c.stored = true;
      break;
    case 2: c.types[w.random.below(2)][t] = w.outOf(TYPES); break;
    case 3: c.counts[t] = w.any(COUNTS), c.verify = 1; break;
    case 4: c.segments[t] += w.any({2, -2, 1000, -1000}); break;
    case 5: c.segments.assign(c.segments.size(), -1); break;
    case 6: c.address[PARAMETERS][t] = 0; break;
    case 7: c.address[PARAMETERS][t] |= 1; break;
    case 8: c.address[GRADIENTS][t] = w.bad.absent() + 1; break;
    case 9: c.address[w.random.below(2)][t] = w.bad.absent(), c.verify = 1; break;
    case 10: c.address[PARAMETERS][t] = w.bad.readOnly(), c.verify = 1; break;
    default: c.address[PARAMETERS][t] = w.bad.beforeTheEnd(size), c.counts[t] = 2, c.verify = 1;
  }
}

// Mostly one of numbers.
int32_t anyStorage(World& w) { return w.chance(6) ? int32_t(ST_REST) : w.random.below(3); }

void createPlan(World& w) {
  constexpr int64_t COUNTS[] = {0, 1, 2, 5, 127, 128, 129, 511, 513, 1000, 4095, 4096, 4097, 9001};
  auto pair = std::make_unique<Pair>();
  Creation c;
  c.tensors = 1 + w.random.below(5);
  c.slots = w.random.below(9);
  c.verify = w.random.below(2);
  c.stored = !w.chance(3);
  for (int32_t slot = 0; slot < c.slots; ++slot) c.storage.push_back(c.stored ? anyStorage(w) : int32_t(ST_COMPUTED));
  const bool updates = w.chance(2);
  const uint64_t seed = 10 * ++w.fills + 1000;
  for (int t = 0; t < c.tensors; ++t) {
    pair->counts.push_back(w.any(COUNTS));
    for (auto& types : pair->types) types.push_back(w.random.below(TYPES));
    const int32_t last = t == 0 ? 0 : pair->segments.back();
    pair->segments.push_back(t > 0 && w.chance(2) ? last + 1 : last);
    for (auto& places : pair->place) places.push_back(w.random.below(2));
    pair->has[PARAMETERS].push_back(true);
    pair->has[GRADIENTS].push_back(!w.chance(8));
    pair->has[UPDATES].push_back(updates && !w.chance(6));
  }
  if (c.tensors > 1 && w.chance(12)) {
    pair->overlapping = true;
    pair->counts[1] = pair->counts[0];
    pair->types[0][1] = pair->types[0][0];
  }
  for (int role = 0; role < ROLES; ++role)
    for (int place = 0; place < 2; ++place)
      for (int t = 0; t < c.tensors; ++t) {
        const int offset = w.chance(3) ? 0 : w.random.below(40);
        for (Side& side : pair->side) {
          side.arrays[role][place].push_back(std::make_unique<Array>(pair->typeOf(role, t), pair->counts[static_cast<size_t>(t)], offset));
          side.arrays[role][place].back()->fill(Random(seed + static_cast<uint64_t>(1000 * role + t)));
        }
      }
  c.counts = pair->counts;
  c.segments = pair->segments;
  for (int k = 0; k < 2; ++k) c.types[k] = pair->types[k];
  const bool spoilt = w.chance(3), twoPlans = w.pairs.size() < 2;
  say("st_plan_create: %d tensors, %d slots, verify %d, updates %d%s\n", c.tensors, c.slots, c.verify, updates,
      pair->overlapping ? ", overlapping" : "");
  for (int t = 0; t < c.tensors; ++t)
    say("  tensor %d: count %lld, types %d %d, segment %d, gradient %d, update %d\n", t,
        static_cast<long long>(c.counts[static_cast<size_t>(t)]), c.types[0][static_cast<size_t>(t)], c.types[1][static_cast<size_t>(t)],
        c.segments[static_cast<size_t>(t)], static_cast<int>(pair->has[GRADIENTS][static_cast<size_t>(t)]),
        static_cast<int>(pair->has[UPDATES][static_cast<size_t>(t)]));
  const auto addresses = [&](int s) {
    for (int role = 0; role < ROLES; ++role) {
      c.address[role].clear();
      for (int t = 0; t < c.tensors; ++t) c.address[role].push_back(pair->address(s, role, t));
    }
  };
  addresses(0);
  if (spoilt) {
    spoil(w, c);
    int64_t plan = -7;
    isRefused(nullptr, ST_BAD_ARGUMENT, [&](int64_t) { return c.on(w.devices[0], &plan, updates); });
    return require(plan == -7, "a plan from a refused call");
  }
  if (!twoPlans) return;
  for (int s = 0; s < 2; ++s) {
    addresses(s);
    const size_t device = s == 1 ? 0 : static_cast<size_t>(w.random.below(static_cast<int>(w.devices.size())));
    say("  on %s\n", st_device_name(w.devices[device]));
    const st_status status = c.on(w.devices[device], &pair->side[s].plan, updates);
    if (status != ST_OK && s == 1) st_plan_destroy(pair->side[0].plan);
    require(status == ST_OK, st_last_error());
  }
  pair->slots = c.slots;
  pair->storage = c.storage;
  pair->released.resize(static_cast<size_t>(c.slots));
  pair->check();
  w.pairs.push_back(std::move(pair));
  ++made;
}

void destroyPlan(World& w) {
  if (w.pairs.empty()) return;
  const size_t which = static_cast<size_t>(w.random.below(static_cast<int>(w.pairs.size())));
  say("st_plan_destroy(%zu)\n", which);
  for (Side& side : w.pairs[which]->side) st_plan_destroy(side.plan);
  w.pairs.erase(w.pairs.begin() + static_cast<int64_t>(which));
  ++made;
}

// The arrays of a call of st_plan_rebind. An array that is not given stays where it is.
struct Move {
  int32_t count, verify;
  bool all;
  std::vector<int32_t> tensors;
  std::vector<int64_t> to[ROLES];
  bool given[ROLES];

  st_status on(int64_t plan) const {
    const auto array = [this](int role) { return given[role] ? to[role].data() : nullptr; };
    return st_plan_rebind(plan, count, all ? nullptr : tensors.data(), array(PARAMETERS), array(GRADIENTS), array(UPDATES), verify);
  }
};

// Makes one address or number of a move wrong. False: nothing of it can be.
bool spoil(World& w, const Pair& pair, Move& move) {
  const int which = w.random.below(7), role = w.random.below(2);
  bool needed = false;
  for (const Binding& binding : pair.bindings) needed |= pair.uses(binding, "gradient");
  say("  spoilt: %d\n", which);
  if (which == 0) {
    move.count = w.any({-1, INT32_MIN});
    return true;
  }
  if (which == 1 && move.all) {
    move.count += w.any({1, 1000});
    return true;
  }
  size_t i = 0;
  while (i < move.tensors.size() && pair.counts[static_cast<size_t>(move.tensors[i])] == 0) ++i;
  if (i == move.tensors.size()) return false;
  if (which == 1) move.tensors[i] = w.outOf(pair.tensors());
  if (which == 2) move.to[PARAMETERS][i] = 0;
  if (which == 3) move.to[role][i] = w.bad.absent() | 1;
  if (which == 4) move.to[role][i] = w.bad.absent();
  if (which == 5) move.to[PARAMETERS][i] = w.bad.readOnly();
  if (which == 6) move.to[GRADIENTS][i] = 0;
  move.given[PARAMETERS] |= which == 2 || which == 5;
  move.given[GRADIENTS] |= which == 6;
  if (which == 3 || which == 4) move.given[role] = true;
  if (which == 4 || which == 5) move.verify = 1;
  return which != 6 || needed;
}

void rebind(World& w) {
  Pair* const pair = w.anyPair();
  if (!pair || pair->overlapping) return;
  Move move;
  move.tensors.reserve(8);  // an empty list is no NULL, which would mean all of them
  move.all = w.chance(3);
  move.verify = w.random.below(2);
  for (bool& given : move.given) given = !w.chance(3);
  for (int32_t t = 0; t < pair->tensors(); ++t)
    if (move.all || w.chance(2)) move.tensors.push_back(t);
  for (size_t i = move.tensors.size(); i > 1; --i)
    if (!move.all) std::swap(move.tensors[i - 1], move.tensors[static_cast<size_t>(w.random.below(static_cast<int>(i)))]);
  move.count = static_cast<int32_t>(move.tensors.size());
  const auto addresses = [&](int s) {
    for (int role = 0; role < ROLES; ++role) {
      move.to[role].clear();
      for (int32_t t : move.tensors) move.to[role].push_back(pair->address(s, role, t));
    }
  };
  say("st_plan_rebind: %d tensors%s, verify %d, parameters %d, gradients %d, updates %d:", move.count, move.all ? ", all" : "", move.verify,
      static_cast<int>(move.given[0]), static_cast<int>(move.given[1]), static_cast<int>(move.given[2]));
  for (int32_t t : move.tensors) say(" %d", t);
  say("\n");
  if (w.chance(2)) {
    addresses(0);
    if (spoil(w, *pair, move)) isRefused(pair, ST_BAD_ARGUMENT, [&](int64_t plan) { return move.on(plan); });
    return;
  }
  for (int role = 0; role < ROLES; ++role)
    for (int32_t t : move.tensors) {
      const size_t tensor = static_cast<size_t>(t);
      if (!move.given[role] || w.chance(3)) continue;  // this one stays
      const int before = pair->place[role][tensor];
      pair->place[role][tensor] = 1 - before;
      for (int s = 0; s < 2; ++s) {
        Array& from = *pair->side[s].arrays[role][before][tensor];
        memcpy(pair->array(s, role, t).data(), from.data(), static_cast<size_t>(from.bytes()));
        memset(from.data(), 0xff, static_cast<size_t>(from.bytes()));
      }
    }
  onBoth(*pair, [&](int s, int64_t plan) {
    addresses(s);
    return move.on(plan);
  });
  pair->check();
}

// What differs between two contents is where it may.
void requireSame(const std::vector<std::vector<char>>& before, const std::vector<std::vector<char>>& after, const std::vector<bool>& may) {
  require(before.size() == after.size() && before.size() == may.size(), "arrays have come or gone");
  for (size_t at = 0; at < may.size(); ++at) require(may[at] || before[at] == after[at], "array " + std::to_string(at) + " has changed");
}

void zeroGradients(World& w) {
  Pair* const pair = w.anyPair();
  if (!pair || pair->overlapping) return;
  const int32_t verify = w.random.below(2);
  say("st_plan_zero_gradients, verify %d\n", verify);
  // A gradient that can be read, and so is right for a sweep, but not written.
  for (int32_t t = 0; t < pair->tensors() && w.chance(2); ++t) {
    if (pair->counts[static_cast<size_t>(t)] == 0 || pair->array(0, GRADIENTS, t).bytes() > 2000) continue;
    const int64_t there = w.bad.readOnly(), back = pair->address(0, GRADIENTS, t);
    say("  with tensor %d in memory that cannot be written\n", t);
    require(st_plan_rebind(pair->side[0].plan, 1, &t, nullptr, &there, nullptr, 1) == ST_OK, st_last_error());
    isRefused(pair, ST_BAD_ARGUMENT, [](int64_t plan) { return st_plan_zero_gradients(plan, 0, 1); });
    require(st_plan_rebind(pair->side[0].plan, 1, &t, nullptr, &back, nullptr, 1) == ST_OK || back == 0, st_last_error());
    break;
  }
  const auto before = pair->content(0);
  onBoth(*pair, [&](int, int64_t plan) { return st_plan_zero_gradients(plan, 0, verify); });
  const auto after = pair->content(0);
  std::vector<bool> may(before.size());
  for (int t = 0; t < pair->tensors(); ++t) {
    if (!pair->has[GRADIENTS][static_cast<size_t>(t)]) continue;
    may[pair->arrayAt(GRADIENTS, t)] = true;
    for (char byte : after[pair->arrayAt(GRADIENTS, t)]) require(byte == 0, "a gradient is not zero");
  }
  requireSame(before, after, may);
  pair->check();
}

void addSlot(World& w) {
  Pair* const pair = w.anyPair();
  if (!pair || pair->slots > 12) return;
  const bool wrong = w.chance(6);
  const int32_t storage = wrong ? w.outOf(4) : anyStorage(w);
  say("st_plan_add_slot(%d)\n", storage);
  if (wrong) {
    int32_t slot = -7;
    isRefused(pair, ST_BAD_ARGUMENT, [&](int64_t plan) { return st_plan_add_slot(plan, storage, &slot); });
    return require(slot == -7, "a slot from a refused call");
  }
  onBoth(*pair, [&](int, int64_t plan) {
    int32_t slot = -7;
    const st_status status = st_plan_add_slot(plan, storage, &slot);
    require(slot == pair->slots, "the number of a slot");
    return status;
  });
  ++pair->slots;
  pair->released.push_back(false);
  pair->storage.push_back(storage);
  const auto content = pair->content(0);
  for (int t = 0; t < pair->tensors(); ++t)
    for (char byte : content[pair->slotAt(pair->slots - 1, t)]) require(byte == 0, "a new slot is not zero");
}

void fill(World& w) {
  Pair* const pair = w.anyPair();
  if (!pair) return;
  const double value = w.number();
  const std::vector<int32_t> live = pair->liveSlots();
  if (live.empty() || w.chance(4)) {
    const int32_t slot = w.wrongSlot(*pair);
    say("st_plan_fill(%d, %g)\n", slot, value);
    return isRefused(pair, ST_BAD_ARGUMENT, [&](int64_t plan) { return st_plan_fill(plan, slot, value, 0); });
  }
  const int32_t slot = live[static_cast<size_t>(w.random.below(static_cast<int>(live.size())))];
  say("st_plan_fill(%d, %g)\n", slot, value);
  const bool isRest = pair->storage[static_cast<size_t>(slot)] == ST_REST;
  if (isRest && value != 0) return isRefused(pair, ST_BAD_ARGUMENT, [&](int64_t plan) { return st_plan_fill(plan, slot, value, 0); });
  const auto before = pair->content(0);
  onBoth(*pair, [&](int, int64_t plan) { return st_plan_fill(plan, slot, value, 0); });
  const auto after = pair->content(0);
  std::vector<bool> may(before.size());
  for (int t = 0; t < pair->tensors(); ++t) {
    const size_t at = pair->slotAt(slot, t);
    may[at] = true;
    if (isRest)
      for (char byte : after[at]) require(byte == 0, "a rest is not zero");
    const int32_t type = pair->typeAt(at);
    const double narrow = static_cast<double>(static_cast<float>(value));
    const double stored = type == ST_FLOAT64 ? value
                          : type == ST_BFLOAT16
                              ? static_cast<double>(steptuner::fromBfloat16(steptuner::toBfloat16(static_cast<float>(value))))
                              : narrow;
    for (int64_t i = 0; i < pair->counts[static_cast<size_t>(t)] && !isRest; ++i) {
      const double element = steptuner::load<double>(after[at].data(), type, i);
      require(element == stored || (isnan(element) && isnan(stored)), "a filled slot has another value");
    }
  }
  requireSame(before, after, may);
  pair->check();
}

void transfer(World& w) {
  Pair* const pair = w.anyPair();
  if (!pair) return;
  const bool writes = w.chance(2);
  std::vector<int32_t> places = pair->liveSlots();
  places.push_back(-1);
  int32_t slot = places[static_cast<size_t>(w.random.below(static_cast<int>(places.size())))], tensor = w.random.below(pair->tensors());
  const int64_t size = st_plan_bytes(pair->side[0].plan, slot, tensor);
  int64_t offset = w.random.below(static_cast<int>(size) + 1);
  int64_t bytes = w.random.below(static_cast<int>(size - offset) + 1);
  Array host(ST_FLOAT32, (bytes + 3) / 4 + 1, 0);
  Random content(w.fills++);
  for (int64_t i = 0; i < bytes; ++i) host.data()[i] = static_cast<char>(content.below(256));
  const auto copy = [&](int64_t plan) {
    return writes ? st_plan_write(plan, slot, tensor, offset, host.data(), bytes, 0)
                  : st_plan_read(plan, slot, tensor, offset, host.data(), bytes, 0);
  };
  const char* const name = writes ? "st_plan_write" : "st_plan_read";
  if (w.chance(3)) {
    const int64_t far[] = {-1, size + 1, INT64_MAX, INT64_MIN, INT64_MAX - 1};
    switch (w.random.below(4)) {
      case 0:
        do slot = w.wrongSlot(*pair);
        while (slot == -1);
        break;
      case 1: tensor = w.outOf(pair->tensors()); break;
      case 2: offset = w.any(far); break;
      default: bytes = w.any({int64_t(-1), size - offset + 1, INT64_MAX, INT64_MIN});
    }
    say("%s(slot %d, tensor %d, offset %lld, bytes %lld)\n", name, slot, tensor, static_cast<long long>(offset),
        static_cast<long long>(bytes));
    return isRefused(pair, ST_BAD_ARGUMENT, copy);
  }
  const auto before = pair->content(0);
  const size_t at = slot < 0 ? pair->arrayAt(PARAMETERS, tensor) : pair->slotAt(slot, tensor);
  // A part of a NaN, whose bits may differ from the twin's, would make it a number that differs too.
  if (writes && before[at] != pair->content(1)[at]) {
    const int64_t width = bytesOf(pair->typeAt(at));
    offset -= offset % width;
    bytes -= bytes % width;
  }
  say("%s(slot %d, tensor %d, offset %lld, bytes %lld)\n", name, slot, tensor, static_cast<long long>(offset),
      static_cast<long long>(bytes));
  // Each with its own memory: where both have a NaN, its bits may differ.
  onBoth(*pair, [&](int side, int64_t plan) {
    const st_status status = copy(plan);
    const auto now = pair->content(side);
    for (int64_t i = 0; i < bytes; ++i) require(now[at][static_cast<size_t>(offset + i)] == host.data()[i], "a copy has other bytes");
    return status;
  });
  const auto after = pair->content(0);
  require(host.guardsStand(), "memory beside the host's array was written");
  std::vector<bool> may(before.size());
  may[at] = writes;
  if (pair->overlapping && slot < 0 && tensor < 2) may[pair->arrayAt(PARAMETERS, 1 - tensor)] = writes;
  requireSame(before, after, may);
  pair->check();
}

void bind(World& w) {
  Pair* const pair = w.anyPair();
  if (!pair || pair->bindings.size() > 8) return;
  Binding binding;
  binding.kernel = w.random.below(st_kernel_count());
  const Kernel& kernel = kernels()[static_cast<size_t>(binding.kernel)];
  int32_t number = binding.kernel, operands = static_cast<int32_t>(kernel.operands.size());
  const bool spoilt = w.chance(4);
  bool refuse = false;
  // An operand has a slot of its own; what is no state may have any number.
  std::vector<int32_t> free = pair->liveSlots();
  for (const Kernel::Operand& operand : kernel.operands) {
    int32_t slot = w.random.below(100) - 50;
    if (operand.place == "state") {
      refuse |= free.empty();
      const size_t which = free.empty() ? 0 : static_cast<size_t>(w.random.below(static_cast<int>(free.size())));
      slot = free.empty() ? w.wrongSlot(*pair) : free[which];
      refuse |= !free.empty() && pair->storage[static_cast<size_t>(slot)] == ST_REST;
      if (!free.empty()) free.erase(free.begin() + static_cast<int64_t>(which));
    }
    for (int role : {GRADIENTS, UPDATES})
      for (int t = 0; t < pair->tensors(); ++t)
        refuse |= operand.place == (role == GRADIENTS ? "gradient" : "update") && pair->counts[static_cast<size_t>(t)] > 0 &&
                  !pair->has[role][static_cast<size_t>(t)];
    binding.slots.push_back(slot);
  }
  for (const Kernel::Operand& operand : kernel.operands) binding.inParts |= operand.place == "parameter" && pair->rounding == ST_IN_PARTS;
  refuse |= binding.inParts && !pair->isLive(pair->rest);
  if (spoilt) {
    refuse = true;
    size_t state = 0;
    while (state < kernel.operands.size() && kernel.operands[state].place != "state") ++state;
    const int which = state == kernel.operands.size() ? w.random.below(2) : w.random.below(3);
    if (which == 0) number = w.outOf(st_kernel_count());
    if (which == 1) operands += w.any({-1, 1, 1000, -1000});
    if (which == 2) binding.slots[state] = w.wrongSlot(*pair);
  }
  say("st_plan_bind(kernel %d = %s, slots", number, kernel.description.c_str());
  for (int32_t slot : binding.slots) say(" %d", slot);
  say(")%s\n", refuse ? ", to be refused" : "");
  binding.slots.resize(2000);
  int32_t result = -7;
  const auto call = [&](int64_t plan) { return st_plan_bind(plan, number, binding.slots.data(), operands, &result); };
  if (refuse) {
    isRefused(pair, ST_BAD_ARGUMENT, call);
    return require(result == -7, "a binding from a refused call");
  }
  onBoth(*pair, [&](int, int64_t plan) {
    const st_status status = call(plan);
    // A new number, or that of a binding that was released.
    const int32_t next = static_cast<int32_t>(pair->bindings.size());
    require(result == next || (result >= 0 && result < next && pair->bindings[static_cast<size_t>(result)].released),
            "the number of a binding");
    return status;
  });
  binding.slots.resize(kernel.operands.size());
  pair->bindings.resize(std::max(pair->bindings.size(), static_cast<size_t>(result) + 1));
  pair->bindings[static_cast<size_t>(result)] = binding;
}

void coefficients(World& w) {
  Pair* const pair = w.anyPair();
  if (!pair || pair->bindings.empty()) return;
  const int32_t binding = w.random.below(static_cast<int>(pair->bindings.size()));
  if (pair->bindings[static_cast<size_t>(binding)].released) return;
  const int count = pair->rows() * kernels()[static_cast<size_t>(pair->bindings[static_cast<size_t>(binding)].kernel)].coefficients;
  say("coefficients of binding %d:", binding);
  std::vector<double> numbers;
  for (int i = 0; i < count; ++i) {
    numbers.push_back(w.number());
    say(" %.17g", numbers.back());
  }
  say("\n");
  for (const Side& side : pair->side)
    if (count > 0)
      memcpy(reinterpret_cast<void*>(st_binding_coefficients(side.plan, binding)), numbers.data(), numbers.size() * sizeof(double));
  pair->check();
  ++made;
}

void sweep(World& w) {
  Pair* const pair = w.anyPair();
  if (!pair) return;
  const int32_t count = static_cast<int32_t>(pair->bindings.size());
  const bool wrong = w.chance(8);
  if (count == 0 && !wrong) return;
  const int32_t number = wrong ? w.outOf(count) : w.random.below(count);
  say("st_sweep(%d)\n", number);
  if (number < 0 || number >= count || !pair->runs(pair->bindings[static_cast<size_t>(number)]))
    return isRefused(pair, ST_BAD_ARGUMENT, [&](int64_t plan) { return st_sweep(plan, number, 0); });
  const Binding& binding = pair->bindings[static_cast<size_t>(number)];
  const Kernel& kernel = kernels()[static_cast<size_t>(binding.kernel)];
  const auto before = pair->content(0);
  onBoth(*pair, [&](int, int64_t plan) { return st_sweep(plan, number, 0); });
  std::vector<bool> may(before.size());
  may[pair->rowsAt(number) + 1] = true;
  for (size_t o = 0; o < kernel.operands.size(); ++o)
    for (int t = 0; t < pair->tensors() && kernel.operands[o].written; ++t)
      may[kernel.operands[o].place == "parameter" ? pair->arrayAt(PARAMETERS, t) : pair->slotAt(binding.slots[o], t)] = true;
  for (int t = 0; t < pair->tensors() && binding.inParts; ++t)
    if (may[pair->arrayAt(PARAMETERS, t)]) may[pair->slotAt(pair->rest, t)] = true;
  requireSame(before, pair->content(0), may);
  pair->check();
}

// A sweep with a follower leaves what two sweeps leave: the twin makes two.
void sweepFollowed(World& w) {
  Pair* const pair = w.anyPair();
  if (!pair || pair->bindings.empty()) return;
  const int32_t count = static_cast<int32_t>(pair->bindings.size());
  const bool wrong = w.chance(4);
  const int32_t first = wrong && w.chance(2) ? w.outOf(count) : w.random.below(count);
  const int32_t follower = wrong ? w.outOf(count) : w.random.below(count);
  say("st_sweep_followed(%d, %d)\n", first, follower);
  const auto runs = [&](int32_t number) {
    return number >= 0 && number < count && pair->runs(pair->bindings[static_cast<size_t>(number)]);
  };
  if (!runs(first) || !runs(follower) || kernels()[static_cast<size_t>(pair->bindings[static_cast<size_t>(follower)].kernel)].sums > 0)
    return isRefused(pair, ST_BAD_ARGUMENT, [&](int64_t plan) { return st_sweep_followed(plan, first, follower, 0); });
  onBoth(*pair, [&](int s, int64_t plan) {
    if (s == 0) return st_sweep_followed(plan, first, follower, 0);
    const st_status status = st_sweep(plan, first, 0);
    return status == ST_OK ? st_sweep(plan, follower, 0) : status;
  });
  pair->check();
}

void sizes(World& w) {
  Pair* const pair = w.anyPair();
  if (!pair) return;
  const int64_t plan = pair->side[0].plan;
  say("sizes\n");
  for (int t = 0; t < pair->tensors(); ++t) {
    require(st_plan_bytes(plan, -1, t) == pair->array(0, PARAMETERS, t).bytes(), "st_plan_bytes of parameters");
    require(st_plan_type(plan, -1, t) == pair->typeOf(PARAMETERS, t), "st_plan_type of parameters");
    for (int32_t slot : pair->liveSlots()) {
      require(st_plan_bytes(plan, slot, t) == pair->storedBytes(slot, t), "st_plan_bytes");
      const int32_t type = pair->storedType(slot, t);
      require(st_plan_type(plan, slot, t) == (type == NO_NUMBERS ? int32_t(ST_BFLOAT16) : type), "st_plan_type");
      require(st_plan_address(plan, slot, t) % 64 == 0, "a slot begins in the middle of a cache line");
    }
  }
  const int32_t count = static_cast<int32_t>(pair->bindings.size());
  const int32_t slot = w.wrongSlot(*pair), tensor = w.outOf(pair->tensors());
  int32_t wrong = w.outOf(count);
  for (int32_t b = 0; b < count; ++b) {
    if (pair->bindings[static_cast<size_t>(b)].released)
      wrong = b;
    else
      require(st_binding_bytes(plan, b) >= 0, "st_binding_bytes");
  }
  say("sizes of slot %d, tensor %d, binding %d\n", slot, tensor, wrong);
  require(slot == -1 || st_plan_bytes(plan, slot, 0) == -1, "bytes of a slot that is not there");
  require(st_plan_bytes(plan, -1, tensor) == -1, "bytes of a tensor that is not there");
  require((slot == -1 || st_plan_type(plan, slot, 0) == -1) && st_plan_type(plan, -1, tensor) == -1, "the type of what is not there");
  require(st_plan_address(plan, slot, 0) == 0 && st_plan_address(plan, -1, 0) == 0, "the address of a slot that is not there");
  require(st_binding_coefficients(plan, wrong) == 0 && st_binding_sums(plan, wrong) == 0 && st_binding_bytes(plan, wrong) == -1,
          "rows of a binding that is not there");
  onBoth(*pair, [](int, int64_t one) { return st_wait(one, 0); });
}

// Any rounding, of bindings that come later, and the random bits that all of them take from then on.
void setRounding(World& w) {
  Pair* const pair = w.anyPair();
  if (!pair) return;
  int32_t rounding = w.random.below(3), rest = -1;
  const std::vector<int32_t> live = pair->liveSlots();
  for (const int32_t slot : live)
    if (pair->storage[static_cast<size_t>(slot)] == ST_REST && (rest < 0 || w.chance(2))) rest = slot;
  if (rounding == ST_IN_PARTS && rest < 0 && !w.chance(4)) rounding = ST_STOCHASTIC;
  const int64_t seed = static_cast<int64_t>(w.fills++ * 0x9e3779b97f4a7c15u);
  std::vector<int64_t> keys, begins;
  for (int t = 0; t < pair->tensors(); ++t) {
    keys.push_back(w.random.below(3) - 1);
    begins.push_back(w.chance(2) ? 0 : int64_t(w.random.below(1000)) * 4096);
  }
  bool refuse = rounding == ST_IN_PARTS && rest < 0;
  const bool withKeys = !w.chance(3), withBegins = !w.chance(3);
  switch (w.random.below(9)) {
    case 0: rounding = w.outOf(3), refuse = true; break;
    case 1:
      rounding = ST_IN_PARTS, rest = w.wrongSlot(*pair), refuse = true;
      for (const int32_t slot : live)
        if (pair->storage[static_cast<size_t>(slot)] != ST_REST && w.chance(2)) rest = slot;
      break;
    case 2:
      begins[static_cast<size_t>(w.random.below(pair->tensors()))] =
          w.any({int64_t(-1), int64_t(1), int64_t(4095), int64_t(-4096), INT64_MAX, INT64_MIN, (int64_t(1) << 40) + 4096});
      refuse |= withBegins;
      break;
    default: break;
  }
  say("st_plan_set_rounding(%d, %d, %lld, %s, %s)\n", rounding, rest, static_cast<long long>(seed), withKeys ? "keys" : "NULL",
      withBegins ? "begins" : "NULL");
  const auto set = [&](int, int64_t plan) {
    return st_plan_set_rounding(plan, rounding, rest, seed, withKeys ? keys.data() : nullptr, withBegins ? begins.data() : nullptr);
  };
  if (refuse) return isRefused(pair, ST_BAD_ARGUMENT, [&](int64_t plan) { return set(0, plan); });
  onBoth(*pair, set);
  pair->rounding = rounding;
  pair->rest = rounding == ST_IN_PARTS ? rest : -1;
  const int64_t step = w.any({int64_t(0), int64_t(1), int64_t(77), int64_t(-5), INT64_MAX, INT64_MIN});
  say("st_plan_set_step(%lld)\n", static_cast<long long>(step));
  for (const Side& side : pair->side) st_plan_set_step(side.plan, step);
  pair->check();
}

void releaseSlot(World& w) {
  Pair* const pair = w.anyPair();
  if (!pair) return;
  const std::vector<int32_t> live = pair->liveSlots();
  const bool wrong = live.empty() || w.chance(3);
  const int32_t slot = wrong ? w.wrongSlot(*pair) : live[static_cast<size_t>(w.random.below(static_cast<int>(live.size())))];
  say("st_plan_release_slot(%d)\n", slot);
  const auto release = [&](int, int64_t plan) { return st_plan_release_slot(plan, slot); };
  if (wrong) return isRefused(pair, ST_BAD_ARGUMENT, [&](int64_t plan) { return release(0, plan); });
  onBoth(*pair, release);
  pair->released[static_cast<size_t>(slot)] = true;
  pair->check();
}

void releaseBinding(World& w) {
  Pair* const pair = w.anyPair();
  if (!pair) return;
  const int32_t count = static_cast<int32_t>(pair->bindings.size());
  const int32_t number = count == 0 || w.chance(3) ? w.outOf(count) : w.random.below(count);
  say("st_binding_release(%d)\n", number);
  const auto release = [&](int, int64_t plan) { return st_binding_release(plan, number); };
  if (number < 0 || number >= count || pair->bindings[static_cast<size_t>(number)].released)
    return isRefused(pair, ST_BAD_ARGUMENT, [&](int64_t plan) { return release(0, plan); });
  onBoth(*pair, release);
  pair->bindings[static_cast<size_t>(number)].released = true;
  pair->check();
}

// Steps with scalars on the device: there are none before there is room for them, nor afterwards, and making room changes nothing else.
void capture(World& w) {
  Pair* const pair = w.anyPair();
  if (!pair) return;
  const auto segments = static_cast<size_t>(pair->rows());
  const int32_t scopes = 1 + w.random.below(3), capacity = w.random.below(4), second = w.random.below(8) - 1;
  const std::vector<int32_t> zeros(segments, 0);
  say("st_capture_create(-1, %d), scopes %d, capacity %d\n", second, scopes, capacity);
  const int32_t machine = st_scalars_find("fixed_rate");
  require(machine >= 0 && st_scalars_describe(machine) != nullptr && st_scalars_find("fixed") == -1, "st_scalars_find");
  const auto create = [&](int64_t plan) {
    return st_capture_create(plan, machine, -1, second, scopes, zeros.data(), 1, zeros.data(), 0, capacity);
  };
  isRefused(pair, ST_BAD_ARGUMENT, [](int64_t plan) { return st_capture_step(plan, 0); });
  isRefused(pair, ST_BAD_ARGUMENT, [](int64_t plan) { return st_capture_send(plan, 0, 0, 0); });
  isRefused(pair, ST_BAD_ARGUMENT, [](int64_t plan) { return st_capture_begin(plan, 1, 1, 1, 0, 0, 0, ST_FLOAT32, 0); });
  isRefused(pair, ST_BAD_ARGUMENT, [](int64_t plan) { return st_capture_end(plan, 0); });
  const bool bound =
      second >= 0 && second < static_cast<int32_t>(pair->bindings.size()) && !pair->bindings[static_cast<size_t>(second)].released;
  if (!bound || capacity == 0) return isRefused(pair, ST_BAD_ARGUMENT, create);
  onBoth(*pair, [&](int, int64_t plan) {
    const st_status status = create(plan);
    if (status != ST_OK) return status;
    require(create(plan) == ST_BAD_ARGUMENT, "two at a time");
    require(st_capture_begin(plan, 1, 1, 1, 0, 0, 0, 9, 0) == ST_BAD_ARGUMENT, "a type that there is not");
    require(st_capture_width(plan, ST_CAPTURE_RING) >= 3 && st_capture_width(plan, 7) == -1, "st_capture_width");
    require(st_capture_send(plan, capacity, 1, 0) == ST_BAD_ARGUMENT, "a row that there is not");
    if (st_capture_begin(plan, 1, 1, 1, 3, 0, 0, ST_FLOAT32, 0) != ST_OK || st_capture_send(plan, 0, capacity, 0) != ST_OK)
      return ST_DEVICE_ERROR;
    // No row has a step: none is made.
    std::vector<double> report(static_cast<size_t>(st_capture_width(plan, ST_CAPTURE_REPORT)));
    require(st_capture_report(plan, report.data()) == 0, "a report of nothing");
    if (st_capture_step(plan, 0) != ST_OK || st_capture_end(plan, 0) != ST_OK) return ST_DEVICE_ERROR;
    require(st_capture_report(plan, report.data()) == 1 && report[0] == 1 && report[1] == 3 && report[3] == 3, "st_capture_report");
    st_capture_destroy(plan);
    st_capture_destroy(plan);
    return ST_OK;
  });
  pair->check();
}

// Each function of the ABI, as it is called here. A row makes right and wrong calls of it, adds what it changes to the pair, and ends with
// a look at both plans.
struct Row {
  const char* what;
  int weight;
  bool refusals;  // whether some of its calls must be refused
  void (*call)(World&);
  int64_t made, refused;
};

Row rows[] = {
    {"st_device_open", 1, true, openDevice, 0, 0},
    {"st_host_allocate", 1, true, hostMemory, 0, 0},
    {"names", 1, false, names, 0, 0},
    {"st_plan_create", 4, true, createPlan, 0, 0},
    {"st_plan_destroy", 1, false, destroyPlan, 0, 0},
    {"st_plan_rebind", 5, true, rebind, 0, 0},
    {"st_plan_zero_gradients", 2, true, zeroGradients, 0, 0},
    {"st_plan_add_slot", 4, true, addSlot, 0, 0},
    {"st_plan_set_rounding", 3, true, setRounding, 0, 0},
    {"st_plan_fill", 3, true, fill, 0, 0},
    {"st_plan_read, _write", 5, true, transfer, 0, 0},
    {"st_plan_bind", 10, true, bind, 0, 0},
    {"coefficients", 5, false, coefficients, 0, 0},
    {"st_sweep", 14, true, sweep, 0, 0},
    {"st_sweep_followed", 6, true, sweepFollowed, 0, 0},
    {"st_plan_release_slot", 1, true, releaseSlot, 0, 0},
    {"st_binding_release", 1, true, releaseBinding, 0, 0},
    {"sizes, st_wait", 2, false, sizes, 0, 0},
    {"st_capture_...", 2, true, capture, 0, 0},
};

void input(World& w) {
  int all = 0;
  for (const Row& row : rows) all += row.weight;
  createPlan(w);
  for (int first = 0; first < 3; ++first) {
    addSlot(w);
    bind(w);
  }
  for (int calls = 10 + w.random.below(40); calls > 0; --calls) {
    int pick = w.random.below(all);
    Row* row = rows;
    while ((pick -= row->weight) >= 0) ++row;
    made = refused = 0;
    row->call(w);
    row->made += made;
    row->refused += refused;
  }
}

struct Options {
  int64_t inputs = 10000, seed = 1, only = -1, minutes = 0;
  const char* library = nullptr;
};

int64_t present;

int usage(const char* wrong) {
  fprintf(stderr, "fuzz_abi: '%s' is not understood; options are --inputs N, --seed N, --only N, --minutes N, --library FILE\n", wrong);
  return 2;
}

bool parse(int count, char** arguments, Options& options) {
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = arguments[i];
    if (name == "--library") {
      options.library = arguments[i + 1];
      continue;
    }
    int64_t* const to = name == "--inputs"    ? &options.inputs
                        : name == "--seed"    ? &options.seed
                        : name == "--only"    ? &options.only
                        : name == "--minutes" ? &options.minutes
                                              : nullptr;
    char* end;
    const long long value = strtoll(arguments[i + 1], &end, 10);
    if (!to || *end || value < 0) return usage(arguments[i]), false;
    *to = value;
  }
  return count % 2 == 1 || (usage(arguments[count - 1]), false);
}

int64_t seedOf(const Options& options, int64_t number) { return options.seed * 1000003 + number; }

bool run(const Options& options, int64_t number, std::vector<int64_t>& devices, const std::vector<std::string>& sets,
         const BadMemory& bad) {
  present = number;
  saidLength = 0;
  *said = 0;
  try {
    World world(static_cast<uint64_t>(seedOf(options, number)), devices, sets, bad);
    input(world);
    return true;
  } catch (const Wrong& wrong) {
    fprintf(stderr, "%s\nfuzz_abi: input %lld of seed %lld: %s\n", said, static_cast<long long>(number),
            static_cast<long long>(options.seed), wrong.what.c_str());
    return false;
  }
}

}  // namespace
}  // namespace fuzz

// What sanitizers begin with; their libraries find it only if it is visible. Some inputs ask for more memory than there is, and must be told
// so.
#pragma GCC visibility push(default)
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1:abort_on_error=1"; }
extern "C" const char* __ubsan_default_options() { return "halt_on_error=1:abort_on_error=1:print_stacktrace=1"; }
#pragma GCC visibility pop

int main(int count, char** arguments) {
  using namespace fuzz;
  static Options options;
  if (!parse(count, arguments, options)) return 2;
  // So a sanitizer ends the process.
  signal(SIGABRT, [](int) {
    fprintf(stderr, "%s\nfuzz_abi: input %lld of seed %lld ended the process\n", said, static_cast<long long>(present),
            static_cast<long long>(options.seed));
  });
  std::vector<int64_t> devices;
  std::vector<std::string> sets = {""};
  for (const char* isa : {"sse2", "avx2", "avx512"})
    for (int32_t threads : {1, 2, 3, 8}) {
      int64_t device = 0;
      if (threads == 3) setenv("STEPTUNER_CACHE_BYTES", "0", 1);
      if (st_device_open(nullptr, 0, threads, isa, &device) == ST_OK) devices.push_back(device);
      unsetenv("STEPTUNER_CACHE_BYTES");
      if (threads == 1 && device != 0) sets.push_back(isa);
    }
  if (options.library) {
    int64_t device = 0;
    kernel_run::require(st_device_open(options.library, 0, 0, "", &device), options.library);
    devices.push_back(device);
  }
  const BadMemory bad;
  const int64_t first = options.only >= 0 ? options.only : 0, end = options.only >= 0 ? first + 1 : options.inputs;
  const time_t until = time(nullptr) + 60 * options.minutes;
  int64_t done = first, wrong = 0;
  for (; done < end && wrong < 10 && (options.minutes == 0 || time(nullptr) < until); ++done)
    wrong += !run(options, done, devices, sets, bad);
  if (options.only >= 0) printf("%s", said);
  printf("%-22s %10s %10s\n", "", "made", "refused");
  for (const Row& row : rows) {
    printf("%-22s %10lld %10lld\n", row.what, static_cast<long long>(row.made), static_cast<long long>(row.refused));
    // A row that never calls proves nothing.
    if (done - first >= 200 && (row.made == 0 || (row.refusals && row.refused == 0))) ++wrong;
  }
  printf("fuzz_abi: %lld inputs of seed %lld on %zu devices: %s\n", static_cast<long long>(done - first),
         static_cast<long long>(options.seed), devices.size(), wrong ? "FAILED" : "passed");
  for (int64_t device : devices) st_device_close(device);
  return wrong != 0;
}
