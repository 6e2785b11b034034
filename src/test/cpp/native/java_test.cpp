// SPDX-License-Identifier: Apache-2.0
//
// What java.lang.Math does, by the words of its documentation: zeros of both signs, NaN, infinities, neighbours.
#include "check.h"
#include "math/java.h"
#include <initializer_list>

using namespace steptuner;

namespace {

bool is(double seen, double wanted) { return bitCast<uint64_t>(seen) == bitCast<uint64_t>(wanted); }

void extremes() {
  CHECK(is(java::max(0.0, -0.0), 0.0) && is(java::max(-0.0, 0.0), 0.0) && is(java::max(-0.0, -0.0), -0.0));
  CHECK(is(java::min(0.0, -0.0), -0.0) && is(java::min(-0.0, 0.0), -0.0) && is(java::min(0.0, 0.0), 0.0));
  for (const double other : {0.0, -1.0, static_cast<double>(INFINITY)}) {
    CHECK(isnan(java::max(NAN, other)) && isnan(java::max(other, NAN)));
    CHECK(isnan(java::min(NAN, other)) && isnan(java::min(other, NAN)));
  }
  CHECK(is(java::max(1, 2), 2) && is(java::max(2, 1), 2) && is(java::min(1, 2), 1) && is(java::min(2, 1), 1));
  CHECK(is(java::max(-INFINITY, -1), -1) && is(java::min(INFINITY, 1), 1));
}

void others() {
  CHECK(is(java::abs(-0.0), 0.0) && is(java::abs(-2), 2) && is(java::abs(-INFINITY), INFINITY) && isnan(java::abs(NAN)));
  CHECK(is(java::signum(-0.0), -0.0) && is(java::signum(0.0), 0.0) && is(java::signum(-3), -1) && is(java::signum(3), 1));
  CHECK(isnan(java::signum(NAN)));
  CHECK(java::isFinite(0) && java::isFinite(-0x1.fffffffffffffp1023) && java::isFinite(0x1p-1074));
  CHECK(!java::isFinite(INFINITY) && !java::isFinite(-INFINITY) && !java::isFinite(NAN) && !java::isFinite(-NAN));
  CHECK(is(java::sqrt(2), 0x1.6a09e667f3bcdp0));
}

void neighbours() {
  CHECK(is(java::nextDown(1), 0x1.fffffffffffffp-1) && is(java::nextDown(-1), -0x1.0000000000001p0));
  CHECK(is(java::nextDown(0.0), -0x1p-1074) && is(java::nextDown(-0.0), -0x1p-1074) && is(java::nextDown(0x1p-1074), 0.0));
  CHECK(is(java::nextDown(INFINITY), 0x1.fffffffffffffp1023) && is(java::nextDown(-INFINITY), -INFINITY) && isnan(java::nextDown(NAN)));
  CHECK(is(java::nextDown(-0x1.fffffffffffffp1023), -INFINITY));
}

}  // namespace

int main() {
  extremes();
  others();
  neighbours();
  return report("java");
}
