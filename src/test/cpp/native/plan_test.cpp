// SPDX-License-Identifier: Apache-2.0
//
// The index arithmetic of plans, with tensors that no machine here could hold: over 2^31 and over 2^32 elements.
#include "check.h"
#include "core/plan.h"
#include "core/summation.h"
#include <string.h>

using namespace steptuner;

namespace {

Tensor tensor(int64_t count, int32_t segment, int32_t type = FLOAT32) {
  Tensor t = {};
  t.count = count;
  t.parameterType = type;
  t.gradientType = type;
  t.segment = segment;
  return t;
}

void chunksCoverEveryElementOnce() {
  const int64_t counts[] = {0, 1, CHUNK - 1, CHUNK, CHUNK + 1, (int64_t(1) << 31) - 1, (int64_t(1) << 31) + 5, (int64_t(1) << 33) + 77};
  Plan plan;
  for (int64_t count : counts) plan.tensors.push_back(tensor(count, 0));
  CHECK(layOut(plan) == nullptr);
  size_t c = 0;
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    int64_t next = 0;
    for (; c < plan.chunks.size() && plan.chunks[c].tensor == static_cast<int32_t>(t); ++c) {
      if (plan.chunks[c].begin != next || plan.chunks[c].count < 1 || plan.chunks[c].count > CHUNK) {
        CHECK_EQUAL(plan.chunks[c].begin, next);
        return;
      }
      next += plan.chunks[c].count;
    }
    CHECK_EQUAL(next, plan.tensors[t].count);
  }
  CHECK_EQUAL(c, plan.chunks.size());
  CHECK_EQUAL(plan.segments.size(), 1u);
  CHECK_EQUAL(plan.segments[0].end, static_cast<int64_t>(plan.chunks.size()));
}

// In slots of every storage. Tensors in float64 come first, and lie alike in all that hold numbers.
void stateIsLaidOutWithoutOverlap() {
  Plan plan;
  plan.tensors = {tensor((int64_t(1) << 31) + 1, 0),
                  tensor(0, 0),
                  tensor(3, 1, FLOAT64),
                  tensor(5, 1, BFLOAT16),
                  tensor(77, 1, FLOAT64),
                  tensor(9, 1, FLOAT16)};
  CHECK(layOut(plan) == nullptr);
  const size_t order[] = {2, 4, 0, 1, 3, 5};
  for (int s = 0; s < STORAGES; ++s) {
    int64_t end = 0;
    for (const size_t t : order) {
      const Tensor& here = plan.tensors[t];
      CHECK_EQUAL(here.stateOffset[s] % 128, 0);
      CHECK(here.stateOffset[s] >= end);
      end = here.stateOffset[s] + storedBytes(here, Storage(s));
      CHECK_EQUAL(here.stateType, t == 2 || t == 4 ? FLOAT64 : FLOAT32);
    }
    CHECK(end <= plan.stateBytes[s]);
  }
  for (const int s : {HALF, AS_PARAMETER})
    for (const size_t t : {2, 4}) CHECK_EQUAL(plan.tensors[t].stateOffset[s], plan.tensors[t].stateOffset[COMPUTED]);
  CHECK(plan.tensors[3].stateOffset[COMPUTED] > (int64_t(1) << 33) && plan.tensors[3].stateOffset[HALF] > (int64_t(1) << 32));
  CHECK_EQUAL(plan.stateBytes[REST], 128);  // of the one bfloat16 tensor
}

void typesFollowTheStorage() {
  const Tensor single = tensor(10, 0), half = tensor(10, 0, BFLOAT16), other = tensor(10, 0, FLOAT16), wide = tensor(10, 0, FLOAT64);
  Plan plan;
  plan.tensors = {single, half, other, wide};
  CHECK(layOut(plan) == nullptr);
  const int32_t types[4][3] = {
      {FLOAT32, BFLOAT16, FLOAT32}, {FLOAT32, BFLOAT16, BFLOAT16}, {FLOAT32, BFLOAT16, FLOAT32}, {FLOAT64, FLOAT64, FLOAT64}};
  for (size_t t = 0; t < 4; ++t) {
    for (int s = 0; s < 3; ++s) {
      CHECK_EQUAL(storedType(plan.tensors[t], s), types[t][s]);
      CHECK_EQUAL(storedBytes(plan.tensors[t], Storage(s)), 10 * bytesOf(types[t][s]));
    }
    CHECK_EQUAL(storedBytes(plan.tensors[t], REST), t == 1 ? 20 : 0);
  }
}

void segmentsFollowTheTensors() {
  Plan plan;
  plan.tensors = {tensor(CHUNK + 1, 0), tensor(0, 1), tensor(1, 2), tensor(2 * CHUNK, 2)};
  CHECK(layOut(plan) == nullptr);
  CHECK_EQUAL(plan.segments.size(), 3u);
  CHECK_EQUAL(plan.segments[0].end, 2);
  CHECK_EQUAL(plan.segments[1].begin, 2);
  CHECK_EQUAL(plan.segments[1].end, 2);
  CHECK_EQUAL(plan.segments[2].end, 5);
}

void refuses(std::vector<Tensor> tensors, const char* because) {
  Plan plan;
  plan.tensors = std::move(tensors);
  const char* const why = layOut(plan);
  CHECK(why != nullptr && strstr(why, because) != nullptr);
}

}  // namespace

int main() {
  chunksCoverEveryElementOnce();
  stateIsLaidOutWithoutOverlap();
  typesFollowTheStorage();
  segmentsFollowTheTensors();
  refuses({tensor(-1, 0)}, "2^40");
  refuses({tensor((int64_t(1) << 40) + 1, 0)}, "2^40");
  refuses({tensor(1, 1)}, "segments");
  refuses({tensor(1, -1)}, "segments");
  refuses({tensor(1, 0), tensor(1, 2)}, "segments");
  refuses({tensor(1, 0), tensor(1, 1), tensor(1, 0)}, "segments");
  return report("plan_test");
}
