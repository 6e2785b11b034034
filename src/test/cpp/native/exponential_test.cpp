// SPDX-License-Identifier: Apache-2.0
//
// The exponential against the long double one of the C library, and its vector form against its scalar form, bit by bit.
#include "check.h"
#include "cpu/vector.h"
#include "math/exponential.h"
#include <math.h>
#include <algorithm>
#include <limits>

using namespace steptuner;

namespace {

// |seen - wanted| in units of the last place of the result's type.
template <class E>
double errorInUlp(E seen, long double wanted) {
  int exponent;
  frexpl(wanted, &exponent);
  const int places = std::max(exponent, std::numeric_limits<E>::min_exponent) - std::numeric_limits<E>::digits;
  return static_cast<double>(fabsl(static_cast<long double>(seen) - wanted) / ldexpl(1, places));
}

template <class E>
void checkVector(const E* x) {
  using V = Vector<E>;
  E seen[V::WIDTH];
  exponential(V::load(x)).store(seen);
  for (int i = 0; i < V::WIDTH; ++i) {
    const E wanted = exponential(x[i]);
    if (memcmp(&seen[i], &wanted, sizeof(E)) == 0) continue;
    ++failures;
    fprintf(stderr, "exponential(%a): vector %a, scalar %a\n", double(x[i]), double(seen[i]), double(wanted));
  }
}

template <class E>
double worstError(double from, double to, int points) {
  double worst = 0;
  E row[Vector<E>::WIDTH] = {};
  for (int i = 0; i < points; ++i) {
    const E x = static_cast<E>(from + (to - from) * i / (points - 1));
    worst = std::max(worst, errorInUlp(exponential(x), expl(static_cast<long double>(x))));
    row[i % Vector<E>::WIDTH] = x;
    if (i % Vector<E>::WIDTH == 0) checkVector(row);
  }
  return worst;
}

template <class E>
void checkEnds(double overflow, double underflow) {
  const E infinity = std::numeric_limits<E>::infinity();
  CHECK(exponential(E(0)) == E(1));
  CHECK(exponential(E(-0.0)) == E(1));
  CHECK(exponential(infinity) == infinity);
  CHECK(exponential(-infinity) == E(0));
  CHECK(exponential(std::numeric_limits<E>::max()) == infinity);
  CHECK(exponential(std::numeric_limits<E>::lowest()) == E(0));
  CHECK(exponential(std::numeric_limits<E>::quiet_NaN()) != exponential(std::numeric_limits<E>::quiet_NaN()));
  CHECK(exponential(E(overflow + 0.01)) == infinity);
  CHECK(exponential(E(overflow - 0.01)) < infinity);
  CHECK(exponential(E(underflow - 0.01)) == E(0));
  CHECK(exponential(E(underflow + 0.01)) > E(0));
  E row[Vector<E>::WIDTH] = {infinity, -infinity};
  checkVector(row);
}

}  // namespace

int main() {
  checkEnds<float>(88.7228, -103.9721);
  checkEnds<double>(709.7827, -745.1332);
  const double inFloat = std::max(worstError<float>(-87.3, 88.7, 4000000), worstError<float>(-1, 1, 4000000));
  const double inDouble = std::max(worstError<double>(-708, 709.7, 4000000), worstError<double>(-1, 1, 4000000));
  const double belowNormal = std::max(worstError<float>(-103.9, -87.3, 100000), worstError<double>(-745, -708, 100000));
  printf("largest error in ulp: float %.4f, double %.4f, below the normal numbers %.4f\n", inFloat, inDouble, belowNormal);
  CHECK(inFloat < 1);
  CHECK(inDouble < 1);
  CHECK(belowNormal < 1);
  return report("exponential_test");
}
