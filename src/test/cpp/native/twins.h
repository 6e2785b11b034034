// SPDX-License-Identifier: Apache-2.0
//
// What Java computes and C++ computes once more, over the same made numbers, as hashes. Twins in Java (org.steptuner.internal) is the other
// side: it draws the same numbers, and both compare with scalar-digests.txt.
#pragma once
#include "check.h"
#include "math/types.h"
#include <math.h>
#include <float.h>
#include <fstream>
#include <map>
#include <string>

namespace steptuner::twins {

class Twins {
 public:
  explicit Twins(uint64_t seed) : state(seed) {}

  // From 0 to 1.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  double uniform(double from, double to) { return from + (to - from) * uniform(); }

  // Of either sign and of a size from 2^-16 to 2^16; once in `rarity`, if that is not 0, a special value.
  double number(int rarity) {
    static const double SPECIAL[] = {0,      -0.0,  1,      -1,           HUGE_VAL,      -HUGE_VAL, NAN,    1e300,
                                     -1e300, 1e160, -1e160, DBL_TRUE_MIN, -DBL_TRUE_MIN, DBL_MIN,   1e-300, DBL_MAX};
    const uint64_t choice = next();
    if (rarity > 0 && (choice & 0xffff) % uint64_t(rarity) == 0) return SPECIAL[(choice >> 32) % (sizeof SPECIAL / sizeof *SPECIAL)];
    const double size = uniform(-1, 1);
    return size * ldexp(1.0, int((choice >> 20) % 33) - 16);
  }
  double size(int rarity) { return fabs(number(rarity)); }

  // Adds the bits of a number to the hash. All NaNs are one.
  void take(double value) {
    const uint64_t bits = value != value ? 0x7ff8000000000000u : bitCast<uint64_t>(value);
    hash = mixed((hash ^ bits) + 0x9e3779b97f4a7c15u);
  }

  void check(const char* name);

 private:
  uint64_t state;
  uint64_t hash = 0;

  static uint64_t mixed(uint64_t z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint64_t next() { return mixed(state += 0x9e3779b97f4a7c15u); }
};

inline std::map<std::string, std::string> recorded;

inline bool read(const char* path) {
  std::ifstream file(path);
  if (!file) return false;
  for (std::string line; std::getline(file, line);) {
    const size_t gap = line.find("  ");
    if (line[0] != '#' && gap != std::string::npos) recorded[line.substr(0, gap)] = line.substr(gap + 2);
  }
  return true;
}

inline void Twins::check(const char* name) {
  char seen[17];
  snprintf(seen, sizeof seen, "%016llx", static_cast<unsigned long long>(hash));
  printf("%s  %s\n", name, seen);
  const auto wanted = recorded.find(name);
  if (wanted != recorded.end() && wanted->second == seen) return;
  ++failures;
  fprintf(stderr, "%s: not what is recorded\n", name);
}

}  // namespace steptuner::twins
