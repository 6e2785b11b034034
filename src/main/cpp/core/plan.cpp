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
// 2^40 elements: beyond the memory of a machine, and small enough that byte offsets cannot overflow.
constexpr int64_t MOST_ELEMENTS = int64_t(1) << 40;

const char* layOut(Plan& plan) {
  plan.chunks.clear();
  plan.segments.clear();
  plan.stateBytes = 0;
  plan.trainerBytes = 0;
  int64_t elements = 0;
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    Tensor& tensor = plan.tensors[t];
    if (tensor.count < 0 || tensor.count > MOST_ELEMENTS || (elements += tensor.count) > MOST_ELEMENTS)
      return "counts must be between 0 and 2^40 elements, and so must their sum";
    const int64_t next = static_cast<int64_t>(plan.segments.size());
    if (tensor.segment < 0 || (tensor.segment != next && tensor.segment != next - 1)) return "segments must be numbered from 0 without gaps, in order";
    const int64_t before = static_cast<int64_t>(plan.chunks.size());
    if (tensor.segment == next) plan.segments.push_back({before, before});
    tensor.stateType = computeType(tensor.parameterType);
    tensor.stateOffset = plan.stateBytes;
    plan.trainerBytes += tensor.count * (bytesOf(tensor.parameterType) + (tensor.gradient ? bytesOf(tensor.gradientType) : 0) +
                                         (tensor.update ? bytesOf(tensor.stateType) : 0));
    plan.stateBytes += (tensor.count * bytesOf(tensor.stateType) + STATE_ALIGNMENT - 1) / STATE_ALIGNMENT * STATE_ALIGNMENT;
    for (int64_t begin = 0; begin < tensor.count; begin += CHUNK)
      plan.chunks.push_back({begin, static_cast<int32_t>(std::min<int64_t>(CHUNK, tensor.count - begin)), static_cast<int32_t>(t)});
    plan.segments.back().end = static_cast<int64_t>(plan.chunks.size());
  }
  return nullptr;
}

}  // namespace steptuner
