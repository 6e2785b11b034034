// SPDX-License-Identifier: Apache-2.0
//
// The plan of one optimizer: tensors, chunks, segments, slots and bound kernels. Plain data that backends read.
#pragma once
#include "kernel.h"
#include "../math/types.h"
#include <memory>
#include <string>
#include <vector>

namespace steptuner {

struct Tensor {
  char* parameter;
  char* gradient;
  char* update;
  int64_t count;
  int64_t stateOffset;  // in bytes, from the start of every slot
  int32_t parameterType;
  int32_t gradientType;
  int32_t stateType;
  int32_t segment;
  int32_t absent;  // sweeps go past it: it is not written, and adds nothing to sums
};

// 4096 or fewer consecutive elements of a tensor.
struct Chunk {
  int64_t begin;
  int32_t count;
  int32_t tensor;
};

// Chunks [begin, end) belong to the segment.
struct Segment {
  int64_t begin;
  int64_t end;
};

// What a kernel looks like from outside.
struct KernelInfo {
  std::string sweep, rule, description;
  std::vector<Operand> operands;
  int coefficients = 0;
  int sums = 0;
};

struct Binding {
  int32_t kernel;
  int32_t operands;
  int32_t coefficients;
  int32_t sums;
  Operand operand[MAX_OPERANDS];
  int32_t slot[MAX_OPERANDS];  // -1 for operands that are not state
  int64_t bytes;               // read and written in the tensors' memory by one run
  double* coefficientRows;     // [segments][coefficients], host memory
  double* sumRows;             // [segments][sums], host memory that the device can write
};

struct Plan {
  std::vector<Tensor> tensors;
  std::vector<Chunk> chunks;
  std::vector<Segment> segments;
  std::vector<char*> slots;
  std::vector<std::unique_ptr<Binding>> bindings;
  int64_t stateBytes = 0;    // of one slot
  int64_t trainerBytes = 0;  // of parameters, gradients and updates
  int64_t version = 0;       // changes when tensors do
  int64_t sweeps = 0;        // run so far: every other one goes backwards
  void* device = nullptr;    // the backend's own
};

// Where operand `o` of a binding begins for a tensor, and its type.
inline char* operandBase(const Plan& plan, const Binding& binding, const Tensor& tensor, int o) {
  switch (binding.operand[o].place) {
    case GRADIENT: return tensor.gradient;
    case PARAMETER: return tensor.parameter;
    case UPDATE: return tensor.update;
    case SELECTION: return nullptr;
    default: return plan.slots[static_cast<size_t>(binding.slot[o])] + tensor.stateOffset;
  }
}

// What the sweeps of a step go through, taken together.
inline int64_t footprint(const Plan& plan) { return plan.trainerBytes + static_cast<int64_t>(plan.slots.size()) * plan.stateBytes; }

// Sweeps alternate in direction, so that one begins where the last one ended and finds the caches warm.
inline bool backwards(const Plan& plan) { return plan.sweeps % 2 == 1; }

inline int32_t operandType(const Tensor& tensor, Place place) {
  switch (place) {
    case GRADIENT: return tensor.gradientType;
    case PARAMETER: return tensor.parameterType;
    default: return tensor.stateType;  // an update buffer has the type of the state
  }
}

// Cuts tensors into chunks and chunks into segments, and lays out a slot. Returns nullptr, or what is wrong.
const char* layOut(Plan& plan);

}  // namespace steptuner
