// SPDX-License-Identifier: Apache-2.0
#include "race.h"

#include <stdint.h>
#include <stdlib.h>

#include <list>

#include "settings.h"

// TSan's interface: null unless its library is in the process.
extern "C" {
__attribute__((weak)) void* __tsan_get_current_fiber();
__attribute__((weak)) void* __tsan_create_fiber(unsigned flags);
__attribute__((weak)) void __tsan_destroy_fiber(void* fiber);
__attribute__((weak)) void __tsan_switch_to_fiber(void* fiber, unsigned flags);
__attribute__((weak)) void __tsan_acquire(void* address);
__attribute__((weak)) void __tsan_release(void* address);
__attribute__((weak)) void AnnotateIgnoreReadsBegin(const char* file, int line);
__attribute__((weak)) void AnnotateIgnoreReadsEnd(const char* file, int line);
__attribute__((weak)) void AnnotateIgnoreWritesBegin(const char* file, int line);
__attribute__((weak)) void AnnotateIgnoreWritesEnd(const char* file, int line);
__attribute__((weak)) void AnnotateIgnoreSyncBegin(const char* file, int line);
__attribute__((weak)) void AnnotateIgnoreSyncEnd(const char* file, int line);
}

namespace cuda_emulation::race {
namespace {

constexpr unsigned NO_SYNC = 1;  // __tsan_switch_to_fiber_no_sync

void releaseAt(const void* point) { __tsan_release(const_cast<void*>(point)); }
void acquireAt(const void* point) { __tsan_acquire(const_cast<void*>(point)); }

}  // namespace

bool active() { return __tsan_create_fiber != nullptr; }

Context newContext() { return active() ? __tsan_create_fiber(0) : nullptr; }

void destroyContext(Context context) {
  if (context) __tsan_destroy_fiber(context);
}

Context currentContext() { return active() ? __tsan_get_current_fiber() : nullptr; }

void switchTo(Context context) {
  if (context) __tsan_switch_to_fiber(context, NO_SYNC);
}

Unseen::Unseen() {
  if (!active()) return;
  AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
  AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}

Unseen::~Unseen() {
  if (!active()) return;
  AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
  AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
}

Tokens::Tokens(size_t count) : points_(active() ? static_cast<char*>(malloc(count)) : nullptr) {}
Tokens::~Tokens() { free(points_); }

void Tokens::release(size_t index) const {
  if (active()) releaseAt(points_ + index);
}

void Tokens::acquire(size_t index) const {
  if (active()) acquireAt(points_ + index);
}

Actor::Actor() : context_(newContext()) {}

Actor::~Actor() {
  destroyContext(context_);
  for (int scope = 0; scope < SCOPES; ++scope) {
    destroyContext(outgoing_[scope]);
    destroyContext(incoming_[scope]);
  }
}

void Actor::fence(bool wholeDevice) {
  for (int scope = BLOCK; scope <= (wholeDevice ? DEVICE : BLOCK); ++scope) {
    const int in = 2 * scope;
    const int out = in + 1;
    if (incoming_[scope]) {
      {
        As messenger(incoming_[scope]);
        handOver_.release(in);
      }
      handOver_.acquire(in);
    }
    handOver_.release(out);
    if (!outgoing_[scope]) outgoing_[scope] = newContext();
    As messenger(outgoing_[scope]);
    handOver_.acquire(out);
  }
}

namespace {

size_t pointOf(const void* address) { return (reinterpret_cast<uintptr_t>(address) >> 2) % BLOCK_POINTS; }

}  // namespace

void Actor::beforeAtomic(const void* address, const Tokens& blockPoints) {
  if (outgoing_[BLOCK]) {
    As messenger(outgoing_[BLOCK]);
    blockPoints.release(pointOf(address));
  }
  if (outgoing_[DEVICE]) {
    As messenger(outgoing_[DEVICE]);
    releaseAt(address);
  }
}

void Actor::afterAtomic(const void* address, const Tokens& blockPoints) {
  if (settings().atomicsAcquire) {
    acquireAt(address);
    blockPoints.acquire(pointOf(address));
    return;
  }
  for (Context& messenger : incoming_) {
    if (!messenger) messenger = newContext();
  }
  {
    As messenger(incoming_[BLOCK]);
    blockPoints.acquire(pointOf(address));
  }
  As messenger(incoming_[DEVICE]);
  acquireAt(address);
}

namespace {

// Only ever used while the device's mutex is held.
struct Reserve {
  const void* stream = nullptr;
  size_t made = 0;
  std::list<Actor*> idle;
};

Reserve& reserve() {
  static Reserve& reserve = *new Reserve;
  return reserve;
}

constexpr size_t CONTEXTS = 512;

}  // namespace

Cast::Cast(size_t threads, const void* stream) {
  if (!active()) return;
  const Unseen unseen;
  Reserve& r = reserve();
  if (r.stream != stream) {
    for (Actor* actor : r.idle) delete actor;
    r.idle.clear();
    r.made = 0;
    r.stream = stream;
  }
  const size_t wanted = threads * 2 > CONTEXTS ? threads * 2 : CONTEXTS;
  for (size_t i = 0; i < threads; ++i) {
    if (r.made < wanted) {
      actors_.push_back(new Actor);
      ++r.made;
    } else {
      actors_.push_back(r.idle.front());
      r.idle.pop_front();
    }
  }
}

Cast::~Cast() {
  for (Actor* actor : actors_) reserve().idle.push_back(actor);
}

void Mutex::lock() {
  if (active()) AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
  mutex_.lock();
  if (active()) AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
  unseen_.emplace();
}

void Mutex::unlock() {
  unseen_.reset();
  if (active()) AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
  mutex_.unlock();
  if (active()) AnnotateIgnoreSyncEnd(__FILE__, __LINE__);
}

}  // namespace cuda_emulation::race
