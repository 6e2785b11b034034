// SPDX-License-Identifier: Apache-2.0
#include "streams.h"

#include <algorithm>

#include "api.h"
#include "settings.h"

// A handle is only an address. The next stream gets that of the last one that was destroyed: in CUDA too, a handle says little of a stream.
struct CUstream_st {};
struct CUevent_st : cuda_emulation::Event {
  using Event::Event;
};

namespace cuda_emulation {

Streams& streams() {
  static Streams& streams = *new Streams;
  return streams;
}

Streams::Streams() : deferred_(settings().deferred) {}

Stream* Streams::find(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return legacy_.get();
  const auto found = handles_.find(handle);
  return found == handles_.end() ? nullptr : found->second.get();
}

Event* Streams::find(cudaEvent_t handle) { return events_.count(handle) ? handle : nullptr; }

cudaStream_t Streams::create(bool blocking) {
  reap();
  if (freeHandles_.empty()) freeHandles_.push_back(new CUstream_st);
  const cudaStream_t handle = freeHandles_.back();
  freeHandles_.pop_back();
  handles_[handle] = *streams_.insert(std::make_shared<Stream>(blocking)).first;
  return handle;
}

// What was given to it goes on.
void Streams::destroy(cudaStream_t handle) {
  const std::shared_ptr<Stream> stream = handles_.at(handle);
  if (stream->captured.capture) stream->captured.capture->valid = false;
  stream->captured = {};
  handles_.erase(handle);
  freeHandles_.push_back(handle);
  reap();
}

// Forgets destroyed streams whose work is done.
void Streams::reap() {
  std::set<std::shared_ptr<Stream>> kept;
  for (const auto& [handle, stream] : handles_) kept.insert(stream);
  for (const auto& stream : streams_)
    if (stream->done < stream->issued) kept.insert(stream);
  streams_.swap(kept);
}

Event* Streams::createEvent(bool timed) { return *events_.insert(new CUevent_st(timed)).first; }

void Streams::destroy(Event* event) {
  if (event->recorded) synchronizeAll();
  events_.erase(event);
  delete static_cast<CUevent_st*>(event);
}

cudaError_t Streams::give(Stream& stream, std::unique_ptr<Task> task, std::vector<Dependency> dependencies) {
  const cudaError_t error = admit(stream);
  if (error != cudaSuccess) return error;
  if (stream.captured.capture) {
    Nodes& nodes = *stream.captured.capture->nodes;
    nodes.push_back({std::move(task), std::move(stream.captured.after)});
    stream.captured.after = {nodes.size() - 1};
    return cudaSuccess;
  }
  const auto dependOn = [&](Stream& other) {
    if (race::active() || other.done < other.issued) dependencies.push_back({other.shared_from_this(), other.issued, &other.finished});
  };
  if (&stream == legacy_.get()) {
    for (const auto& other : streams_) {
      if (other->blocking) dependOn(*other);
    }
  } else if (stream.blocking) {
    dependOn(*legacy_);
  }
  stream.queue.push_back({std::move(task), std::move(dependencies), race::Tokens()});
  stream.queue.back().given.release();
  ++stream.issued;
  if (!deferred_) completeUntil(stream, stream.issued);
  return cudaSuccess;
}

void Streams::runNext(Stream& stream) {
  Entry entry = std::move(stream.queue.front());
  stream.queue.pop_front();
  for (const Dependency& dependency : entry.dependencies) {
    if (dependency.stream) completeUntil(*dependency.stream, dependency.position);
  }
  {
    race::As inStream(stream.context);
    entry.given.acquire();
    for (const Dependency& dependency : entry.dependencies) dependency.done->acquire();
    entry.task->run();
    entry.task.reset();
    stream.finished.release();
  }
  ++stream.done;
}

void Streams::completeUntil(Stream& stream, uint64_t position) {
  while (stream.done < position) runNext(stream);
}

cudaError_t Streams::record(Event& event, Stream& stream) {
  const cudaError_t error = admit(stream);
  if (error != cudaSuccess) return error;
  event.captured = stream.captured;
  if (event.captured.capture) return cudaSuccess;
  event.recorded = true;
  event.stream = stream.shared_from_this();
  event.position = stream.issued + 1;
  return give(stream, taskOf([&event] {
                if (event.timed) {
                  const race::Unseen unseen;  // it writes to the stack of whoever waits
                  event.time = std::chrono::steady_clock::now();
                }
                event.reached.release();
              }));
}

// A captured event takes the stream that waits for it into its capture. Nothing else may lead into a capture or out of it.
cudaError_t Streams::waitFor(Event& event, Stream& stream) {
  const cudaError_t error = admit(stream);
  if (error != cudaSuccess) return error;
  const std::shared_ptr<Capture>&of = event.captured.capture, &in = stream.captured.capture;
  if (of && of->ended) return refuseCaptured(stream.captured, cudaErrorInvalidValue), cudaErrorInvalidValue;
  if (of && !of->valid) return cudaErrorStreamCaptureInvalidated;
  if (in && !of) return refuseCaptured(stream.captured, cudaErrorStreamCaptureIsolation);
  if (in && in != of) {
    refuseCaptured(event.captured, cudaErrorStreamCaptureMerge);
    return refuseCaptured(stream.captured, cudaErrorStreamCaptureMerge);
  }
  if (of) {
    if (&stream == legacy_.get()) return refuseCaptured(event.captured, cudaErrorStreamCaptureImplicit);
    stream.captured.capture = of;
    for (size_t node : event.captured.after)
      if (std::find(stream.captured.after.begin(), stream.captured.after.end(), node) == stream.captured.after.end())
        stream.captured.after.push_back(node);
    return cudaSuccess;
  }
  if (!event.recorded) return cudaSuccess;
  return give(stream, taskOf([] {}), {{event.stream, event.position, &event.reached}});
}

void Streams::synchronize(Stream& stream) {
  completeUntil(stream, stream.issued);
  stream.finished.acquire();
}

void Streams::synchronize(Event& event) {
  if (event.pending()) completeUntil(*event.stream, event.position);
  event.reached.acquire();
}

void Streams::synchronizeAll() {
  synchronize(*legacy_);
  for (const auto& stream : streams_) synchronize(*stream);
}

bool Streams::query(Stream& stream) {
  if (stream.done < stream.issued) {
    runNext(stream);
    return false;
  }
  stream.finished.acquire();
  return true;
}

bool Streams::query(Event& event) {
  if (event.pending()) {
    runNext(*event.stream);
    return false;
  }
  event.reached.acquire();
  return true;
}

void Streams::defer(bool deferred) {
  if (!deferred) {
    completeUntil(*legacy_, legacy_->issued);
    for (const auto& stream : streams_) completeUntil(*stream, stream->issued);
  }
  deferred_ = deferred;
}

namespace {

// f(what the handle names), or the error if it names nothing.
template <class Handle, class F>
cudaError_t with(Handle handle, F f) {
  auto* found = streams().find(handle);
  return found ? f(*found) : cudaErrorInvalidResourceHandle;
}

cudaError_t ready(bool done) { return done ? cudaSuccess : cudaErrorNotReady; }

// Whether the host may wait for a stream or an event, or ask whether it is done.
cudaError_t mayWait(const Stream& stream) {
  if (stream.captured.capture) return Streams::refuseCaptured(stream.captured, cudaErrorStreamCaptureUnsupported);
  const cudaError_t error = streams().unsafe();
  if (error != cudaSuccess) return error;
  return streams().legacyIsBarred(stream) ? cudaErrorStreamCaptureImplicit : cudaSuccess;
}

cudaError_t mayWait(const Event& event) {
  if (event.captured.capture && event.captured.capture->ended) return cudaErrorInvalidValue;
  return event.captured.capture ? Streams::refuseCaptured(event.captured, cudaErrorCapturedEvent) : streams().unsafe();
}

}  // namespace
}  // namespace cuda_emulation

using namespace cuda_emulation;

extern "C" __attribute__((visibility("default"))) void cudaEmulationDefer(int deferred) {
  std::lock_guard<race::Mutex> lock(deviceMutex());
  streams().defer(deferred != 0);
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return api("cudaStreamCreate", [&] {
    *stream = streams().create(true);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return api("cudaStreamCreateWithFlags", [&] {
    if (flags != cudaStreamDefault && flags != cudaStreamNonBlocking) return cudaErrorInvalidValue;
    *stream = streams().create(flags == cudaStreamDefault);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return api("cudaStreamDestroy", [&] {
    if (stream == nullptr || stream == cudaStreamLegacy) return cudaErrorInvalidResourceHandle;
    return with(stream, [&](Stream&) {
      streams().destroy(stream);
      return cudaSuccess;
    });
  });
}

cudaError_t cudaStreamGetId(cudaStream_t stream, unsigned long long* id) {
  return api("cudaStreamGetId", [&] {
    return with(stream, [&](Stream& s) {
      if (s.captured.capture) return Streams::refuseCaptured(s.captured, cudaErrorStreamCaptureUnsupported);
      *id = s.id;
      return cudaSuccess;
    });
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return api("cudaStreamSynchronize", [&] {
    return with(stream, [](Stream& s) {
      const cudaError_t error = mayWait(s);
      if (error == cudaSuccess) streams().synchronize(s);
      return error;
    });
  });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return api("cudaStreamQuery", [&] {
    return with(stream, [](Stream& s) {
      const cudaError_t error = mayWait(s);
      return error == cudaSuccess ? ready(streams().query(s)) : error;
    });
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  return api("cudaStreamWaitEvent",
             [&] { return with(stream, [&](Stream& s) { return with(event, [&](Event& e) { return streams().waitFor(e, s); }); }); });
}

cudaError_t cudaDeviceSynchronize() {
  return api("cudaDeviceSynchronize", [] {
    const cudaError_t error = streams().noCapture();
    if (error == cudaSuccess) streams().synchronizeAll();
    return error;
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return api("cudaEventCreate", [&] {
    *event = static_cast<cudaEvent_t>(streams().createEvent(true));
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return api("cudaEventCreateWithFlags", [&] {
    *event = static_cast<cudaEvent_t>(streams().createEvent(!(flags & cudaEventDisableTiming)));
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return api("cudaEventDestroy", [&] {
    return with(event, [](Event& e) {
      streams().destroy(&e);
      return cudaSuccess;
    });
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return api("cudaEventRecord",
             [&] { return with(stream, [&](Stream& s) { return with(event, [&](Event& e) { return streams().record(e, s); }); }); });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return api("cudaEventSynchronize", [&] {
    return with(event, [](Event& e) {
      const cudaError_t error = mayWait(e);
      if (error == cudaSuccess) streams().synchronize(e);
      return error;
    });
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return api("cudaEventQuery", [&] {
    return with(event, [](Event& e) {
      const cudaError_t error = mayWait(e);
      return error == cudaSuccess ? ready(streams().query(e)) : error;
    });
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return api("cudaEventElapsedTime", [&] {
    return with(start, [&](Event& a) {
      return with(end, [&](Event& b) {
        if (a.captured.capture || b.captured.capture) return cudaErrorCapturedEvent;
        if (!a.recorded || !b.recorded || !a.timed || !b.timed) return cudaErrorInvalidResourceHandle;
        if (a.pending() || b.pending()) return cudaErrorNotReady;
        *milliseconds = std::chrono::duration<float, std::milli>(b.time - a.time).count();
        return cudaSuccess;
      });
    });
  });
}
