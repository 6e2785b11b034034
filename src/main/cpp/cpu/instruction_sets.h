// SPDX-License-Identifier: Apache-2.0
//
// Which instruction sets there are: in this library, and on this processor.
#pragma once
#include "isa.h"
#include <string>
#include <vector>

namespace steptuner {

struct InstructionSet {
  const char* name;
  bool built;      // into this library
  bool supported;  // by this processor
  // By the number of the kernel.
  std::vector<ChunkFunctions> functions;

  bool usable() const { return built && supported; }
};

// The best one, or that of this name; nullptr if it cannot be used.
const InstructionSet* findInstructionSet(const std::string& name);

// All of them, and what is against those that cannot be used.
std::string describeInstructionSets();

}  // namespace steptuner
