// SPDX-License-Identifier: Apache-2.0
//
// A period travels with a launch among coefficients that may be float, and must keep all its bits: 2^24 + 1 is no float.
#include "../../../main/cuda/arguments.cuh"
#include "../native/check.h"

using namespace steptuner;

int main() {
  for (const double period : {1.0, 3.0, 16777216.0, 16777217.0, 1073741823.0, double(MAX_PERIOD)}) {
    CHECK_EQUAL(periodFrom(periodAs<float>(period)), static_cast<uint32_t>(period));
    CHECK_EQUAL(periodFrom(periodAs<double>(period)), static_cast<uint32_t>(period));
  }
  for (const double none : {0.0, -1.0, 0.5}) CHECK_EQUAL(periodFrom(periodAs<float>(none)), 1u);
  return report("period_test");
}
