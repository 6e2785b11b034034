// SPDX-License-Identifier: Apache-2.0
#include "settings.h"

#include <stdlib.h>

namespace cuda_emulation {
namespace {

unsigned number(const char* name, unsigned otherwise) {
  const char* value = getenv(name);
  return value && *value ? static_cast<unsigned>(strtoul(value, nullptr, 10)) : otherwise;
}

unsigned atLeastOne(unsigned value) { return value ? value : 1; }

}  // namespace

const Settings& settings() {
  static const Settings fromEnvironment{
      atLeastOne(number("CUDA_EMULATION_WORKERS", 2)),         number("CUDA_EMULATION_SHUFFLE", 0),
      atLeastOne(number("CUDA_EMULATION_MULTIPROCESSORS", 4)), number("CUDA_EMULATION_ASYNC", 0) != 0,
      number("CUDA_EMULATION_ATOMICS_ACQUIRE", 0) != 0,
  };
  return fromEnvironment;
}

}  // namespace cuda_emulation
