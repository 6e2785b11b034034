// SPDX-License-Identifier: Apache-2.0
//
// A device library for tests that keep their tensors in host memory: it stands before another backend, such as that of a GPU which cannot
// reach host memory, copies tensors to it before each sweep and what the sweep wrote back after it. Every sweep waits. A copy has the
// alignment of its tensor modulo 64 bytes, so that alignments that tests choose are those that the backend meets.
//
// What the core allocates on the device lies in pinned memory, so that tests can read state at its address. Every sweep waits, and so that
// memory may be copied at once.
//
// The backend behind is the library that the environment variable STEPTUNER_MIRRORED names.
#include "core/memory_map.h"
#include "core/backend.h"
#include <dlfcn.h>
#include <map>
#include <stdlib.h>
#include <string.h>

namespace steptuner {
namespace {

constexpr int64_t ALIGNMENT = 64;

const Backend* behind = nullptr;

struct Block {
  char* memory = nullptr;
  char* copy = nullptr;  // in it, aligned as the original
  char* original = nullptr;
  int64_t bytes = 0;
};

struct Mirrored {
  int64_t version = -1;
  // Of each tensor: parameters, gradients, update.
  std::vector<Block> blocks;
  const void* loss = nullptr;  // the test's
  char* lossCopy = nullptr;    // pinned
};

struct MirrorDevice {
  void* device = nullptr;
  Explain explain = nullptr;
  std::string name;
  std::map<const Plan*, Mirrored> plans;
};

MirrorDevice& mirror(void* device) { return *static_cast<MirrorDevice*>(device); }

st_status load(Explain explain) {
  if (behind) return ST_OK;
  const char* const path = getenv("STEPTUNER_MIRRORED");
  void* const library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : nullptr;
  if (!library) {
    explain("STEPTUNER_MIRRORED must name a device library: %s", path ? dlerror() : "it is not set");
    return ST_NO_DEVICE;
  }
  const auto entry = reinterpret_cast<const Backend* (*)()>(dlsym(library, "steptuner_backend"));
  const Backend* const found = entry ? entry() : nullptr;
  if (!found || found->version != BACKEND_VERSION) {
    explain("%s is not a device library of this version", path);
    return ST_NO_DEVICE;
  }
  behind = found;
  return ST_OK;
}

st_status open(int32_t index, int32_t threads, const char* isa, Explain explain, void** device) {
  st_status status = load(explain);
  if (status != ST_OK) return status;
  auto opened = std::make_unique<MirrorDevice>();
  opened->explain = explain;
  status = behind->open(index, threads, isa, explain, &opened->device);
  if (status != ST_OK) return status;
  opened->name = std::string("mirror of ") + behind->name(opened->device);
  *device = opened.release();
  return ST_OK;
}

void close(void* device) {
  behind->close(mirror(device).device);
  delete &mirror(device);
}

const char* name(void* device) { return mirror(device).name.c_str(); }

int32_t threads(void* device) { return behind->threads(mirror(device).device); }

st_status allocateHost(void* device, int64_t bytes, char** memory) { return behind->allocateHost(mirror(device).device, bytes, memory); }

void releaseHost(void* device, char* memory) { behind->releaseHost(mirror(device).device, memory); }

st_status copy(void*, void* to, const void* from, int64_t bytes, Copy, void*) {
  memcpy(to, from, static_cast<size_t>(bytes));
  return ST_OK;
}

const char* unusable(void*, const Range* ranges, size_t count, size_t* which) {
  *which = firstUnmapped(ranges, count);
  return *which == count ? nullptr : "not memory of this process";
}

st_status fill(void* device, Plan& plan, int32_t slot, double value, void* stream) {
  const st_status status = behind->fill(mirror(device).device, plan, slot, value, stream);
  return status == ST_OK ? behind->wait(mirror(device).device, plan, stream) : status;
}

// What a sweep reads is copied before it, and so the originals are what is to be zero.
st_status zeroGradients(void*, Plan& plan, void*) {
  for (const Piece& piece : plan.gradientPieces) memset(piece.memory, 0, static_cast<size_t>(piece.bytes));
  return ST_OK;
}

void free(MirrorDevice& on, Mirrored& mirrored) {
  for (Block& block : mirrored.blocks)
    if (block.memory) behind->release(on.device, block.memory);
  mirrored.blocks.clear();
}

char* Tensor::*const PLACES[] = {&Tensor::parameter, &Tensor::gradient, &Tensor::update};

int32_t typeAt(const Tensor& tensor, int place) {
  return place == 0 ? tensor.parameterType : place == 1 ? tensor.gradientType : tensor.stateType;
}

st_status prepare(MirrorDevice& on, const Plan& plan, Mirrored& mirrored) {
  if (mirrored.version == plan.version) return ST_OK;
  free(on, mirrored);
  mirrored.version = -1;
  for (const Tensor& tensor : plan.tensors)
    for (int place = 0; place < 3; ++place) {
      Block block;
      block.original = tensor.*PLACES[place];
      block.bytes = tensor.count * bytesOf(typeAt(tensor, place));
      if (block.original && block.bytes > 0) {
        const st_status status = behind->allocate(on.device, block.bytes + 2 * ALIGNMENT, &block.memory);
        if (status != ST_OK) return status;
        block.copy = block.memory + ((block.original - block.memory) % ALIGNMENT + ALIGNMENT) % ALIGNMENT;
      } else {
        block.copy = block.original;
      }
      mirrored.blocks.push_back(block);
    }
  mirrored.version = plan.version;
  return ST_OK;
}

// The tensors of a plan are their copies while this lives.
class Swapped {
 public:
  Swapped(Plan& plan, const Mirrored& mirrored) : plan_(plan), mirrored_(mirrored) { set(&Block::copy); }
  ~Swapped() { set(&Block::original); }
  Swapped(const Swapped&) = delete;
  Swapped& operator=(const Swapped&) = delete;

 private:
  void set(char* Block::*which) {
    for (size_t t = 0; t < plan_.tensors.size(); ++t)
      for (size_t place = 0; place < 3; ++place) plan_.tensors[t].*PLACES[place] = mirrored_.blocks[3 * t + place].*which;
  }

  Plan& plan_;
  const Mirrored& mirrored_;
};

st_status copyAll(MirrorDevice& on, const Mirrored& mirrored, const bool (&wanted)[3], Copy direction, void* stream) {
  for (size_t b = 0; b < mirrored.blocks.size(); ++b) {
    const Block& block = mirrored.blocks[b];
    if (!block.memory || !wanted[b % 3]) continue;
    char* const to = direction == Copy::HOST_TO_DEVICE ? block.copy : block.original;
    const char* const from = direction == Copy::HOST_TO_DEVICE ? block.original : block.copy;
    const st_status status = behind->copy(on.device, to, from, block.bytes, direction, stream);
    if (status != ST_OK) return status;
  }
  return ST_OK;
}

// Which parameters, gradients and updates a bound kernel uses, and which of them it writes.
void note(const Binding& binding, bool (&used)[3], bool (&written)[3]) {
  for (int o = 0; o < binding.operands; ++o)
    for (const Place place : {PARAMETER, GRADIENT, UPDATE})
      if (binding.operand[o].place == place) {
        const size_t at = place == PARAMETER ? 0 : place == GRADIENT ? 1 : 2;
        used[at] = true;
        written[at] |= (binding.operand[o].access & WRITE) != 0;
      }
}

st_status sweep(void* device, Plan& plan, Binding& binding, const Binding* follower, void* stream) {
  MirrorDevice& on = mirror(device);
  Mirrored& mirrored = on.plans[&plan];
  bool used[3] = {}, written[3] = {};
  note(binding, used, written);
  if (follower) note(*follower, used, written);
  st_status status = prepare(on, plan, mirrored);
  if (status == ST_OK) status = copyAll(on, mirrored, used, Copy::HOST_TO_DEVICE, stream);
  if (status != ST_OK) return status;
  {
    const Swapped swapped(plan, mirrored);
    status = behind->sweep(on.device, plan, binding, follower, stream);
    if (status == ST_OK) status = behind->wait(on.device, plan, stream);
  }
  return status == ST_OK ? copyAll(on, mirrored, written, Copy::DEVICE_TO_HOST, stream) : status;
}

st_status wait(void* device, Plan& plan, void* stream) { return behind->wait(mirror(device).device, plan, stream); }

// The device keeps the tables of tensors that it was made ready with.
st_status makeReady(void* device, Plan& plan, Capture& capture, void* stream) {
  MirrorDevice& on = mirror(device);
  Mirrored& mirrored = on.plans[&plan];
  st_status status = prepare(on, plan, mirrored);
  mirrored.loss = capture.tables.loss;
  if (status == ST_OK && mirrored.loss && !mirrored.lossCopy) status = behind->allocateHost(on.device, sizeof(double), &mirrored.lossCopy);
  if (status != ST_OK) return status;
  if (mirrored.loss) capture.tables.loss = mirrored.lossCopy;
  const Swapped swapped(plan, mirrored);
  return behind->makeReady(on.device, plan, capture, stream);
}

st_status send(void*, Plan&, void* to, const void* from, int64_t bytes, void*) {
  memcpy(to, from, static_cast<size_t>(bytes));
  return ST_OK;
}

st_status captureStep(void* device, Plan& plan, Capture& capture, void* stream) {
  MirrorDevice& on = mirror(device);
  if (behind->capturing(on.device, stream)) {
    on.explain("a mirror copies tensors around each sweep, which cannot be captured");
    return ST_BAD_STATE;
  }
  Mirrored& mirrored = on.plans[&plan];
  const bool all[3] = {true, true, true}, parameters[3] = {true, false, false};
  if (mirrored.loss) memcpy(mirrored.lossCopy, mirrored.loss, static_cast<size_t>(bytesOf(capture.tables.lossType)));
  st_status status = copyAll(on, mirrored, all, Copy::HOST_TO_DEVICE, stream);
  if (status != ST_OK) return status;
  {
    const Swapped swapped(plan, mirrored);
    status = behind->captureStep(on.device, plan, capture, stream);
    if (status == ST_OK) status = behind->wait(on.device, plan, stream);
  }
  return status == ST_OK ? copyAll(on, mirrored, parameters, Copy::DEVICE_TO_HOST, stream) : status;
}

st_status settle(void* device, Plan& plan, Capture& capture, void* stream) {
  return behind->settle(mirror(device).device, plan, capture, stream);
}

bool capturing(void* device, void* stream) { return behind->capturing(mirror(device).device, stream); }

void forget(void* device, Plan& plan) {
  MirrorDevice& on = mirror(device);
  behind->forget(on.device, plan);
  free(on, on.plans[&plan]);
  behind->releaseHost(on.device, on.plans[&plan].lossCopy);
  on.plans.erase(&plan);
}

}  // namespace
}  // namespace steptuner

extern "C" __attribute__((visibility("default"))) const steptuner::Backend* steptuner_backend() {
  using namespace steptuner;
  static const Backend backend = {
      BACKEND_VERSION, open,  close, name,      threads, allocateHost, releaseHost, allocateHost, releaseHost, copy, unusable, fill,
      zeroGradients,   sweep, wait,  makeReady, send,    captureStep,  settle,      capturing,    forget};
  return &backend;
}
