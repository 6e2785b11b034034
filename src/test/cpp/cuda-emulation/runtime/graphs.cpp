// SPDX-License-Identifier: Apache-2.0
#include "graphs.h"

#include <algorithm>
#include <set>

#include "api.h"
#include "streams.h"

struct CUgraph_st {
  std::shared_ptr<const cuda_emulation::Nodes> nodes;
};

// Its launches come one after the other, whatever stream they are on.
struct CUgraphExec_st {
  std::shared_ptr<const cuda_emulation::Nodes> nodes;
  cuda_emulation::Event* launched;
};

namespace cuda_emulation {
namespace {

std::set<cudaGraph_t>& graphs() {
  static auto& graphs = *new std::set<cudaGraph_t>;
  return graphs;
}

std::set<cudaGraphExec_t>& executables() {
  static auto& executables = *new std::set<cudaGraphExec_t>;
  return executables;
}

__thread cudaStreamCaptureMode threadMode;

bool validMode(cudaStreamCaptureMode mode) { return mode >= cudaStreamCaptureModeGlobal && mode <= cudaStreamCaptureModeRelaxed; }

cudaError_t statusOf(cudaStream_t handle, cudaStreamCaptureStatus* status, unsigned long long* id) {
  Stream* stream = streams().find(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (!status) return cudaErrorInvalidValue;
  *status = cudaStreamCaptureStatusNone;
  if (streams().legacyIsBarred(*stream)) return cudaErrorStreamCaptureImplicit;
  if (!stream->captured.capture) return cudaSuccess;
  *status = stream->captured.capture->valid ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusInvalidated;
  if (id) *id = stream->captured.capture->id;
  return cudaSuccess;
}

}  // namespace

void runNodes(const Nodes& nodes) {
  const race::Unseen unseen;  // the books kept here; nodes have contexts of their own
  std::vector<race::Tokens> done(nodes.size());
  std::vector<size_t> left(nodes.size());
  std::vector<std::vector<size_t>> before(nodes.size());
  std::set<size_t> ready;
  for (size_t n = 0; n < nodes.size(); ++n) {
    left[n] = nodes[n].after.size();
    for (size_t earlier : nodes[n].after) before[earlier].push_back(n);
    if (left[n] == 0) ready.insert(n);
  }
  while (!ready.empty()) {
    const size_t n = *ready.rbegin();
    ready.erase(n);
    const race::Context context = race::newContext();
    {
      race::As inNode(context);
      for (size_t earlier : nodes[n].after) done[earlier].acquire();
      nodes[n].task->run();
      done[n].release();
    }
    race::destroyContext(context);
    for (size_t later : before[n])
      if (--left[later] == 0) ready.insert(later);
  }
  for (const race::Tokens& node : done) node.acquire();
}

bool allReached(const Nodes& nodes, const std::vector<size_t>& ends) {
  std::vector<bool> reached(nodes.size());
  for (size_t end : ends) reached[end] = true;
  for (size_t n = nodes.size(); n-- > 0;) {  // a node comes after nodes of lower numbers
    if (!reached[n]) return false;
    for (size_t earlier : nodes[n].after) reached[earlier] = true;
  }
  return true;
}

bool Streams::legacyIsBarred(const Stream& stream) const {
  return &stream == legacy_.get() &&
         std::any_of(streams_.begin(), streams_.end(), [](const auto& s) { return s->blocking && s->captured.capture; });
}

cudaError_t Streams::admit(const Stream& stream) {
  if (stream.captured.capture) return stream.captured.capture->valid ? cudaSuccess : cudaErrorStreamCaptureInvalidated;
  if (!legacyIsBarred(stream)) return cudaSuccess;
  for (const auto& other : streams_)
    if (other->blocking && other->captured.capture) other->captured.capture->valid = false;
  return cudaErrorStreamCaptureImplicit;
}

cudaError_t Streams::unsafe() {
  bool forbidden = false;
  for (const auto& stream : streams_) {
    Capture* capture = stream->captured.capture.get();
    if (!capture || !capture->forbidsUnsafeCalls(threadMode)) continue;
    forbidden = true;
    capture->valid = false;
  }
  return forbidden ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

cudaError_t Streams::noCapture() {
  bool capturing = false;
  for (const auto& stream : streams_) {
    if (!stream->captured.capture) continue;
    capturing = true;
    stream->captured.capture->valid = false;
  }
  return capturing ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

cudaError_t Streams::refuseCaptured(const Captured& captured, cudaError_t error) {
  if (!captured.capture) return cudaSuccess;
  if (!captured.capture->ended) captured.capture->valid = false;
  return error;
}

cudaError_t Streams::beginCapture(Stream& stream, cudaStreamCaptureMode mode) {
  if (&stream == legacy_.get()) return cudaErrorStreamCaptureUnsupported;
  if (stream.captured.capture) return cudaErrorIllegalState;
  static unsigned long long id = 0;
  stream.captured = {std::make_shared<Capture>(Capture{&stream, mode, std::this_thread::get_id(), ++id}), {}};
  return cudaSuccess;
}

cudaError_t Streams::endCapture(Stream& stream, std::shared_ptr<Nodes>* nodes) {
  const std::shared_ptr<Capture> capture = stream.captured.capture;
  if (!capture) return cudaErrorIllegalState;
  if (capture->origin != &stream) return refuseCaptured(stream.captured, cudaErrorStreamCaptureUnmatched);
  const bool wrongThread = capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id();
  const bool joined = allReached(*capture->nodes, stream.captured.after);
  for (const auto& other : streams_)
    if (other->captured.capture == capture) other->captured = {};
  capture->ended = true;
  if (wrongThread) return cudaErrorStreamCaptureWrongThread;
  if (!capture->valid) return cudaErrorStreamCaptureInvalidated;
  if (!joined) return cudaErrorStreamCaptureUnjoined;
  *nodes = capture->nodes;
  return cudaSuccess;
}

}  // namespace cuda_emulation

using namespace cuda_emulation;

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return api("cudaStreamBeginCapture", [&] {
    Stream* stream = streams().find(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    return validMode(mode) ? streams().beginCapture(*stream, mode) : cudaErrorInvalidValue;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return api("cudaStreamEndCapture", [&] {
    *graph = nullptr;
    Stream* stream = streams().find(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    std::shared_ptr<Nodes> nodes;
    const cudaError_t error = streams().endCapture(*stream, &nodes);
    if (error == cudaSuccess) *graph = *graphs().insert(new CUgraph_st{nodes}).first;
    return error;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  return api("cudaStreamIsCapturing", [&] { return statusOf(stream, status, nullptr); });
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, cudaStreamCaptureStatus* status, unsigned long long* id) {
  return api("cudaStreamGetCaptureInfo", [&] { return statusOf(stream, status, id); });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return api("cudaThreadExchangeStreamCaptureMode", [&] {
    if (!mode || !validMode(*mode)) return cudaErrorInvalidValue;
    std::swap(*mode, threadMode);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  return api("cudaGraphGetNodes", [&] {
    if (!graphs().count(graph) || nodes || !count) return cudaErrorInvalidValue;
    *count = graph->nodes->size();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long flags) {
  return api("cudaGraphInstantiate", [&] {
    if (!graphs().count(graph) || flags != 0) return cudaErrorInvalidValue;
    *executable = *executables().insert(new CUgraphExec_st{graph->nodes, streams().createEvent(false)}).first;
    return cudaSuccess;
  });
}

// A graph launched into a capture would become a node; nobody here needs it.
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle) {
  return api("cudaGraphLaunch", [&] {
    Stream* stream = streams().find(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (!executables().count(executable)) return cudaErrorInvalidValue;
    if (stream->captured.capture) return cudaErrorNotSupported;
    cudaError_t error = streams().waitFor(*executable->launched, *stream);
    if (error == cudaSuccess) error = streams().give(*stream, taskOf([nodes = executable->nodes] { runNodes(*nodes); }));
    return error == cudaSuccess ? streams().record(*executable->launched, *stream) : error;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return api("cudaGraphDestroy", [&] {
    if (!graphs().erase(graph)) return cudaErrorInvalidValue;
    delete graph;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  return api("cudaGraphExecDestroy", [&] {
    if (!executables().erase(executable)) return cudaErrorInvalidValue;
    streams().destroy(executable->launched);
    delete executable;
    return cudaSuccess;
  });
}
