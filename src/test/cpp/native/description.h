// SPDX-License-Identifier: Apache-2.0
//
// Reading what the library says of a kernel (st_kernel_describe), and choosing kernels by name.
#pragma once
#include "steptuner.h"
#include <fnmatch.h>
#include <string>
#include <vector>

namespace description {

inline std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts(1);
  for (char c : text)
    if (c == at)
      parts.emplace_back();
    else
      parts.back() += c;
  if (text.empty()) parts.clear();
  return parts;
}

// Whether a kernel is named by a pattern for "sweep" or "sweep/rule", as the shell's for file names.
inline bool matches(const std::string& pattern, int32_t kernel) {
  const std::vector<std::string> part = split(st_kernel_describe(kernel), '|');
  const std::string name = part[1].empty() ? part[0] : part[0] + "/" + part[1];
  return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
}

inline bool matchesAny(const std::vector<std::string>& patterns, int32_t kernel) {
  for (const std::string& pattern : patterns)
    if (matches(pattern, kernel)) return true;
  return false;
}

}  // namespace description
