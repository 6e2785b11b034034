// SPDX-License-Identifier: Apache-2.0
#include "plan.h"
#include "../steptuner.h"
#include "summation.h"
#include <algorithm>

namespace steptuner {

static_assert(int(FLOAT32) == ST_FLOAT32 && int(FLOAT64) == ST_FLOAT64 && int(BFLOAT16) == ST_BFLOAT16 && int(FLOAT16) == ST_FLOAT16 &&
                  int(TYPES) == ST_FLOAT16 + 1,
              "the element types of the C ABI are those of math/types.h");

// State of every tensor starts on a cache line of its own, so that no two threads or vector stores share one.
constexpr int64_t STATE_ALIGNMENT = 128;
constexpr int64_t LONGEST_PIECE = int64_t(64) << 10;

const char* layOut(Plan& plan) {
  plan.chunks.clear();
  plan.segments.clear();
  std::fill(plan.stateBytes, plan.stateBytes + STORAGES, int64_t(0));
  plan.trainerBytes = 0;
  int64_t elements = 0;
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    Tensor& tensor = plan.tensors[t];
    if (tensor.count < 0 || tensor.count > MOST_ELEMENTS || (elements += tensor.count) > MOST_ELEMENTS)
      return "counts must be between 0 and 2^40 elements, and so must their sum";
    const int64_t next = static_cast<int64_t>(plan.segments.size());
    if (tensor.segment < 0 || (tensor.segment != next && tensor.segment != next - 1))
      return "segments must be numbered from 0 without gaps, in order";
    const int64_t before = static_cast<int64_t>(plan.chunks.size());
    if (tensor.segment == next) plan.segments.push_back({before, before});
    tensor.stateType = computeType(tensor.parameterType);
    plan.trainerBytes += trainerBytesOf(tensor);
    for (int64_t begin = 0; begin < tensor.count; begin += CHUNK)
      plan.chunks.push_back({begin, static_cast<int32_t>(std::min<int64_t>(CHUNK, tensor.count - begin)), static_cast<int32_t>(t)});
    plan.segments.back().end = static_cast<int64_t>(plan.chunks.size());
  }
  // Those that are computed in float64 come first: so they lie alike in the slots of all storages that hold numbers.
  for (const bool wide : {true, false})
    for (Tensor& tensor : plan.tensors)
      for (int s = 0; s < STORAGES && (tensor.stateType == FLOAT64) == wide; ++s) {
        tensor.stateOffset[s] = plan.stateBytes[s];
        plan.stateBytes[s] += (storedBytes(tensor, Storage(s)) + STATE_ALIGNMENT - 1) / STATE_ALIGNMENT * STATE_ALIGNMENT;
      }
  return nullptr;
}

void cutGradients(Plan& plan) {
  std::vector<Piece>& pieces = plan.gradientPieces;
  pieces.clear();
  for (const Tensor& tensor : plan.tensors)
    if (tensor.gradient && tensor.count > 0) pieces.push_back({tensor.gradient, tensor.count * bytesOf(tensor.gradientType)});
  std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) { return a.memory < b.memory; });
  // Runs without gaps first, then each of them cut: in one list, where the runs make room for their pieces behind them.
  size_t runs = 0;
  for (const Piece& piece : pieces) {
    if (runs > 0 && piece.memory <= pieces[runs - 1].memory + pieces[runs - 1].bytes) {
      Piece& run = pieces[runs - 1];
      run.bytes = std::max(run.bytes, piece.memory + piece.bytes - run.memory);
    } else {
      pieces[runs++] = piece;
    }
  }
  pieces.resize(runs);
  for (size_t r = 0; r < runs; ++r) {
    for (int64_t cut = LONGEST_PIECE; cut < pieces[r].bytes; cut += LONGEST_PIECE)
      pieces.push_back({pieces[r].memory + cut, std::min(LONGEST_PIECE, pieces[r].bytes - cut)});
    pieces[r].bytes = std::min(LONGEST_PIECE, pieces[r].bytes);
  }
}

}  // namespace steptuner
