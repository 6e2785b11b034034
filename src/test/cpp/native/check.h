// SPDX-License-Identifier: Apache-2.0
//
// What a native test needs: a check that says where it failed and what it saw.
#pragma once
#include <stdio.h>

inline int failures = 0;

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      ++failures;                                                             \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
    }                                                                         \
  } while (false)

#define CHECK_EQUAL(seen, wanted)                                                                                \
  do {                                                                                                           \
    const auto seen_ = (seen);                                                                                   \
    const auto wanted_ = (wanted);                                                                               \
    if (!(seen_ == wanted_)) {                                                                                   \
      ++failures;                                                                                                \
      fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #seen, static_cast<long long>(seen_), \
              static_cast<long long>(wanted_));                                                                  \
    }                                                                                                            \
  } while (false)

inline int report(const char* name) {
  printf("%s: %s\n", name, failures ? "FAILED" : "passed");
  return failures != 0;
}
