// SPDX-License-Identifier: Apache-2.0
//
// The plan of one optimizer: tensors, chunks, segments, slots and bound kernels. Plain data that backends read.
#pragma once
#include "kernel.h"
#include "../math/rounding.h"
#include <memory>
#include <string>
#include <vector>

namespace steptuner {

// What the elements of a slot are. Where a tensor is computed in float64, all but the rest are float64.
enum Storage : int32_t {
  COMPUTED = 0,      // of the type that the tensor is computed in
  HALF = 1,          // bfloat16
  AS_PARAMETER = 2,  // bfloat16 beside bfloat16 parameters, which it holds exactly; as computed beside others
  REST = 3,          // what a bfloat16 parameter is short of a float32, in 16 bits; nothing beside other parameters
  STORAGES = 4
};

struct Tensor {
  char* parameter;
  char* gradient;
  char* update;
  int64_t count;
  int64_t stateOffset[STORAGES];  // in bytes, from the start of a slot of each storage
  uint64_t key;                   // of the tensor among random bits, see rounding.h
  int32_t parameterType;
  int32_t gradientType;
  int32_t stateType;
  int32_t segment;
  int32_t absent;  // sweeps go past it: it is not written, and adds nothing to sums
};

// Consecutive bytes of the gradients of one or more tensors: at most 64 KiB.
struct Piece {
  char* memory;
  int64_t bytes;
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
  std::vector<std::string> coefficientNames, sumNames;
  int coefficients = 0;
  int sums = 0;
  bool toNearest = false;
};

struct Slot {
  char* memory;  // null where released
  Storage storage;
};

struct Binding {
  int32_t kernel;
  int32_t operands;
  int32_t coefficients;
  int32_t sums;
  Operand operand[MAX_OPERANDS];
  int32_t slot[MAX_OPERANDS];     // -1 for operands that are not state
  Storage storage[MAX_OPERANDS];  // of the slots
  unsigned stochastic;            // operands, as bits, that are written stochastically where they have 16 bits
  bool inParts;                   // a bfloat16 parameter has its rest in a slot
  uint64_t key;                   // of the sweep among random bits
  int64_t bytes;                  // read and written in the tensors' memory by one run
  double* coefficientRows;        // [segments][coefficients], host memory
  double* sumRows;                // [segments][sums], host memory that the device can write
};

struct Plan {
  std::vector<Tensor> tensors;
  std::vector<Chunk> chunks;
  std::vector<Segment> segments;
  std::vector<Piece> gradientPieces;  // all gradients, every byte once; what zeroing goes over
  std::vector<Slot> slots;
  std::vector<std::unique_ptr<Binding>> bindings;  // null where released
  int64_t stateBytes[STORAGES] = {};               // of one slot of each storage
  int64_t trainerBytes = 0;                        // of parameters, gradients and updates
  int64_t version = 0;                             // changes when tensors do
  int64_t sweeps = 0;                              // run so far: every other one goes backwards
  Rounding rounding = NEAREST;                     // of 16-bit parameters that a sweep reads and writes
  int32_t restSlot = -1;                           // where they are in parts
  uint64_t seed = 0;
  int64_t step = 0;        // which random bits are those of
  void* device = nullptr;  // the backend's own
};

// The type of a tensor's elements in a slot.
STEPTUNER_HD int32_t storedType(const Tensor& tensor, int32_t storage) {
  if (storage == REST) return BFLOAT16;
  if (tensor.stateType == FLOAT64 || storage == COMPUTED) return tensor.stateType;
  return storage == HALF || tensor.parameterType == BFLOAT16 ? int32_t(BFLOAT16) : tensor.stateType;
}

// Bytes of a tensor in a slot.
inline int64_t storedBytes(const Tensor& tensor, Storage storage) {
  return storage == REST && tensor.parameterType != BFLOAT16 ? 0 : tensor.count * bytesOf(storedType(tensor, storage));
}

inline char* inSlot(const Slot& slot, const Tensor& tensor) { return slot.memory + tensor.stateOffset[slot.storage]; }

// Where operand `o` of a binding begins for a tensor, and its type.
inline char* operandBase(const Plan& plan, const Binding& binding, const Tensor& tensor, int o) {
  switch (binding.operand[o].place) {
    case GRADIENT: return tensor.gradient;
    case PARAMETER: return tensor.parameter;
    case UPDATE: return tensor.update;
    case SELECTION: return nullptr;
    default: return inSlot(plan.slots[static_cast<size_t>(binding.slot[o])], tensor);
  }
}

// What the sweeps of a step go through, taken together.
inline int64_t footprint(const Plan& plan) {
  int64_t bytes = plan.trainerBytes;
  for (const Slot& slot : plan.slots) bytes += slot.memory ? plan.stateBytes[slot.storage] : 0;
  return bytes;
}

// Sweeps alternate in direction, so that one begins where the last one ended and finds the caches warm.
inline bool backwards(const Plan& plan) { return plan.sweeps % 2 == 1; }

inline int32_t operandType(const Tensor& tensor, Place place, Storage storage = COMPUTED) {
  switch (place) {
    case GRADIENT: return tensor.gradientType;
    case PARAMETER: return tensor.parameterType;
    case STATE: return storedType(tensor, storage);
    default: return tensor.stateType;  // an update buffer has the type that the tensor is computed in
  }
}

// Where the rest of a tensor's parameters begins; null where they are not in parts.
inline char* restBase(const Plan& plan, const Binding& binding, const Tensor& tensor) {
  return binding.inParts && tensor.parameterType == BFLOAT16 ? inSlot(plan.slots[static_cast<size_t>(plan.restSlot)], tensor) : nullptr;
}

// Bytes of a tensor in the trainer's memory.
inline int64_t trainerBytesOf(const Tensor& tensor) {
  return tensor.count * (bytesOf(tensor.parameterType) + (tensor.gradient ? bytesOf(tensor.gradientType) : 0) +
                         (tensor.update ? bytesOf(tensor.stateType) : 0));
}

// Cuts the gradients that there are into pieces. Those of several tensors may lie in the same place.
void cutGradients(Plan& plan);

// More elements than this no tensor has, nor all together: 2^40 are beyond the memory of a machine, and byte offsets cannot overflow.
constexpr int64_t MOST_ELEMENTS = int64_t(1) << 40;

// Cuts tensors into chunks and chunks into segments, and lays out slots. Returns nullptr, or what is wrong.
const char* layOut(Plan& plan);

}  // namespace steptuner
