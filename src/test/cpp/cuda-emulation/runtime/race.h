// SPDX-License-Identifier: Apache-2.0
//
// What ThreadSanitizer is told, if the program is linked with it; otherwise all of this does nothing. TSan keeps one context
// for each thread that it knows, and finds a race where two contexts touch memory and no release and acquire orders them. Each
// CUDA thread and each stream gets a context of its own, and the only orders between them are the ones that CUDA promises.
//
// The runtime itself is compiled without any sanitizer, so what it does for its own sake leaves no trace.
#pragma once
#include <stddef.h>

#include <mutex>
#include <optional>
#include <vector>

namespace cuda_emulation::race {

bool active();

using Context = void*;
Context newContext();  // starts out knowing what the current context knows
void destroyContext(Context context);
Context currentContext();
void switchTo(Context context);  // orders nothing

// For a scope: what the runtime allocates and frees is not the business of the context that it happens in. (TSan counts both as
// writes.)
class Unseen {
 public:
  Unseen();
  ~Unseen();
  Unseen(const Unseen&) = delete;
  Unseen& operator=(const Unseen&) = delete;
};

// In another context for a scope.
class As {
 public:
  explicit As(Context context) : before_(currentContext()) { switchTo(context); }
  ~As() { switchTo(before_); }
  As(const As&) = delete;
  As& operator=(const As&) = delete;

 private:
  Context before_;
};

// Points through which knowledge passes: what a context knew when it released there, later acquirers know. Always memory of its own
// on the heap, since TSan remembers a point by its address until that memory is freed.
class Tokens {
 public:
  explicit Tokens(size_t count = 1);
  ~Tokens();
  Tokens(Tokens&& other) noexcept : points_(other.points_) { other.points_ = nullptr; }
  Tokens(const Tokens&) = delete;
  Tokens& operator=(const Tokens&) = delete;
  void release(size_t index = 0) const;
  void acquire(size_t index = 0) const;

 private:
  char* points_;
};

// A CUDA thread's context, and its fences. In CUDA's memory model an atomic alone orders nothing. Writes before a fence before
// an atomic are seen by whoever reads that atomic and then executes a fence. Between its own fence and another's, knowledge
// therefore travels apart from the thread: in `outgoing`, a context that knows what the thread knew at its last fence, and in
// `incoming`, which knows what the atomics read so far have brought and passes it on at the next fence. A fence of one block
// reaches no further than that block.
class Actor {
 public:
  Actor();
  ~Actor();
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;
  Context context() const { return context_; }

  // The rest runs in this actor's context.
  void fence(bool wholeDevice);
  void beforeAtomic(const void* address, const Tokens& blockPoints);
  void afterAtomic(const void* address, const Tokens& blockPoints);

 private:
  enum Scope { BLOCK, DEVICE, SCOPES };
  Context context_;
  Context outgoing_[SCOPES] = {};
  Context incoming_[SCOPES] = {};
  Tokens handOver_{2 * SCOPES};
};

// How many points stand for the atomics of a block in its own scope: an address is hashed to one.
constexpr size_t BLOCK_POINTS = 256;

// The actors of a block's threads. A context of TSan costs 0.4 ms to make and 0.8 MB, so a later block takes over an earlier
// one's: first the one whose last use lies furthest back. What such a block did is then taken to be ordered before, so there
// are always enough contexts that two blocks in succession share none. A stream's work begins with new ones.
class Cast {
 public:
  Cast(size_t threads, const void* stream);
  ~Cast();
  Cast(const Cast&) = delete;
  Cast& operator=(const Cast&) = delete;
  Actor* actor(size_t thread) const { return active() ? actors_[thread] : nullptr; }

 private:
  std::vector<Actor*> actors_;
};

// A mutex of the runtime, which must not seem to order the program's own threads. While it is held, what its holder does is unseen.
class Mutex {
 public:
  void lock();
  void unlock();

 private:
  std::mutex mutex_;
  std::optional<Unseen> unseen_;
};

}  // namespace cuda_emulation::race
