// SPDX-License-Identifier: Apache-2.0
//
// Stream capture. What is given to a stream that is being captured becomes a node of a graph and does not run; what must not happen
// meanwhile fails with CUDA's error and spoils the capture, as in CUDA.
#pragma once
#include <memory>
#include <thread>
#include <vector>

#include "cuda_runtime.h"

namespace cuda_emulation {

class Task;
struct Stream;

struct Node {
  std::unique_ptr<Task> task;
  std::vector<size_t> after;  // numbers of nodes
};
using Nodes = std::vector<Node>;

struct Capture {
  Stream* origin;
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  unsigned long long id;
  bool valid = true;
  bool ended = false;
  std::shared_ptr<Nodes> nodes = std::make_shared<Nodes>();

  // Whether a thread in this mode must not make calls that a capture could miss.
  bool forbidsUnsafeCalls(cudaStreamCaptureMode threadMode) const {
    if (ended || threadMode == cudaStreamCaptureModeRelaxed) return false;
    if (thread == std::this_thread::get_id()) return mode != cudaStreamCaptureModeRelaxed;
    return mode == cudaStreamCaptureModeGlobal && threadMode == cudaStreamCaptureModeGlobal;
  }
};

// What a stream or an event has of a capture that it takes part in: the nodes that what comes next comes after.
struct Captured {
  std::shared_ptr<Capture> capture;
  std::vector<size_t> after;
};

// Runs every node after those that it comes after; of several that could be next, the one that was given last. So a dependency that is
// missing is not there by luck.
void runNodes(const Nodes& nodes);

// Whether every node comes before one of `ends`, or is one of them.
bool allReached(const Nodes& nodes, const std::vector<size_t>& ends);

}  // namespace cuda_emulation
