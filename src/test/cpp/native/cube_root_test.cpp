// SPDX-License-Identifier: Apache-2.0
//
// The cube root against a wider one, and the lanes of a vector against the numbers that they hold.
#include "check.h"
#include "cpu/vector.h"
#include "math/cube_root.h"
#include <math.h>

using namespace steptuner;

namespace {

// Distance of y from the cube root of a, in units in the last place of a number with `digits` binary digits.
long double error(long double y, long double a, int digits) {
  const long double root = cbrtl(a);
  int exponent;
  frexpl(root, &exponent);
  return fabsl(y - root) / ldexpl(1, exponent - digits);
}

void floatsAreNear() {
  for (uint64_t bits = 1; bits < 0x7f800000u && !failures; bits += 977) {
    const float a = bitCast<float>(static_cast<uint32_t>(bits));
    CHECK(error(cubeRoot(a), a, 24) < 0.75L);
    CHECK(cubeRoot(-a) == -cubeRoot(a));
  }
}

void doublesAreNear() {
  uint64_t state = 1;
  for (int i = 0; i < 2000000 && !failures; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    uint64_t bits = state >> 1;
    if (i % 10 == 0) bits &= 0x000fffffffffffffu;  // subnormal
    if (bits == 0 || bits >= 0x7ff0000000000000u) continue;
    const double a = bitCast<double>(bits);
    CHECK(error(cubeRoot(a), a, 53) < 0.75L);
  }
}

template <class E>
void knownOnes() {
  for (int i = 1; i < 200; ++i) CHECK(cubeRoot(E(i) * E(i) * E(i)) == E(i));
  CHECK(cubeRoot(E(0)) == 0 && !signbit(cubeRoot(E(0))));
  CHECK(cubeRoot(-E(0)) == 0 && signbit(cubeRoot(-E(0))));
  CHECK(cubeRoot(E(INFINITY)) == E(INFINITY));
  CHECK(cubeRoot(E(-INFINITY)) == E(-INFINITY));
  CHECK(isnan(cubeRoot(E(NAN))));
}

template <class E, class Bits>
void lanesAgree() {
  constexpr int WIDTH = Vector<E>::WIDTH;
  uint64_t state = 5;
  for (int i = 0; i < 300000 && !failures; ++i) {
    E in[WIDTH], out[WIDTH];
    for (int l = 0; l < WIDTH; ++l) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      in[l] = bitCast<E>(static_cast<Bits>(state >> (64 - 8 * sizeof(E))));
      if ((state & 0xff00) == 0) in[l] = E(0);
    }
    cubeRoot(Vector<E>::load(in)).store(out);
    for (int l = 0; l < WIDTH; ++l) {
      const E wanted = cubeRoot(in[l]);
      CHECK(isnan(wanted) ? isnan(out[l]) : bitCast<Bits>(out[l]) == bitCast<Bits>(wanted));
    }
  }
}

}  // namespace

int main() {
  floatsAreNear();
  doublesAreNear();
  knownOnes<float>();
  knownOnes<double>();
  lanesAgree<float, uint32_t>();
  lanesAgree<double, uint64_t>();
  return report("cube_root_test");
}
