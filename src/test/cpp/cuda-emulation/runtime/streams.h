// SPDX-License-Identifier: Apache-2.0
//
// Streams and events. Work given to a stream waits in its queue. Someone who needs it done, by waiting or because work of
// another stream depends on it, does it then and there, on his own OS thread. Nothing runs by itself, so "not synchronised"
// reliably means "not yet done". Unless the device defers, the giver needs it done at once.
#pragma once
#include <stdint.h>

#include <chrono>
#include <deque>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "cuda_runtime.h"
#include "graphs.h"
#include "race.h"

namespace cuda_emulation {

class Task {
 public:
  virtual ~Task() = default;
  virtual void run() = 0;
};

template <class F>
std::unique_ptr<Task> taskOf(F f) {
  class Lambda final : public Task {
   public:
    explicit Lambda(F f) : f_(std::move(f)) {}
    void run() override { f_(); }

   private:
    F f_;
  };
  return std::make_unique<Lambda>(std::move(f));
}

struct Stream;

struct Dependency {
  Stream* stream;  // null: already done
  uint64_t position;
  const race::Tokens* done;
};

struct Entry {
  std::unique_ptr<Task> task;
  std::vector<Dependency> dependencies;
  race::Tokens given;
};

struct Stream {
  explicit Stream(bool blocking) : blocking(blocking), context(race::newContext()) {}
  ~Stream() { race::destroyContext(context); }

  const bool blocking;  // ordered with the legacy stream
  uint64_t issued = 0;  // how many entries it has been given, and how many of them are done
  uint64_t done = 0;
  std::deque<Entry> queue;
  const race::Context context;
  race::Tokens finished;
  Captured captured;  // while the stream is being captured
};

struct Event {
  explicit Event(bool timed) : timed(timed) {}

  const bool timed;
  bool recorded = false;
  Stream* stream = nullptr;  // null again when that stream is destroyed
  uint64_t position = 0;
  std::chrono::steady_clock::time_point time;
  race::Tokens reached;
  Captured captured;  // if it was last recorded within a capture

  bool pending() const { return stream && stream->done < position; }
};

// All of it is used with the device's mutex held.
class Streams {
 public:
  Streams();

  // Null if there is no such stream or event (any more).
  Stream* find(cudaStream_t handle);
  Event* find(cudaEvent_t handle);

  Stream* create(bool blocking);
  void destroy(Stream* stream);
  Event* createEvent(bool timed);
  void destroy(Event* event);

  cudaError_t give(Stream& stream, std::unique_ptr<Task> task) { return give(stream, std::move(task), {}); }
  cudaError_t record(Event& event, Stream& stream);
  cudaError_t waitFor(Event& event, Stream& stream);

  // Captures, in graphs.cpp. What must not happen because of one gives its error and spoils the capture:
  // calls that a capture could miss, such as allocations, for the calling thread;
  cudaError_t unsafe();
  // whatever waits for the whole device;
  cudaError_t noCapture();
  // waiting for what has been captured and never runs, or asking about it.
  static cudaError_t refuseCaptured(const Captured& captured, cudaError_t error);
  bool legacyIsBarred(const Stream& stream) const;
  cudaError_t beginCapture(Stream& stream, cudaStreamCaptureMode mode);
  cudaError_t endCapture(Stream& stream, std::shared_ptr<Nodes>* nodes);

  // What the host does. A query of unfinished work does one entry, so that a loop of queries ends, and says "not ready" all the
  // same.
  void synchronize(Stream& stream);
  void synchronize(Event& event);
  void synchronizeAll();
  bool query(Stream& stream);
  bool query(Event& event);

  void defer(bool deferred);

 private:
  cudaError_t give(Stream& stream, std::unique_ptr<Task> task, std::vector<Dependency> dependencies);
  cudaError_t admit(const Stream& stream);  // whether it takes work
  void runNext(Stream& stream);
  void completeUntil(Stream& stream, uint64_t position);

  bool deferred_;
  Stream legacy_{true};
  std::set<Stream*> streams_;  // the created ones
  std::set<Event*> events_;
};

Streams& streams();

}  // namespace cuda_emulation
