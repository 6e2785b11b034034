// SPDX-License-Identifier: Apache-2.0
//
// The table of kernels as data, for the core: names, operands, counts.
#pragma once
#include "plan.h"

namespace steptuner {

// What a kernel says of itself, without its type.
struct Description {
  const Name* sweep;
  const Name* rule;
  const Operand* operands;
  const Name* coefficients;
  const Name* sums;
  int operandCount, coefficientCount, sumCount;
  bool toNearest;
};

template <class K>
constexpr Description describe() {
  static_assert(OPERANDS<K> <= MAX_OPERANDS && COEFFICIENTS<K> <= MAX_COEFFICIENTS && SUMS<K> <= MAX_SUMS, "raise the limits in kernel.h");
  static_assert(distinct(K::OPERANDS) && distinct(K::COEFFICIENTS) && distinct(K::SUMS), "callers go by these names: each may stand once");
  return {&K::SWEEP, &K::RULE, K::OPERANDS.at, K::COEFFICIENTS.at, K::SUMS.at, OPERANDS<K>, COEFFICIENTS<K>, SUMS<K>, K::TO_NEAREST};
}

// Those of one family of kernels.
struct Descriptions {
  const Description* first;
  size_t count;
};

// Of all families, in the order of the table. Where the table is, not here, this is written.
std::vector<Descriptions> describeAll();

const std::vector<KernelInfo>& kernelInfos();

}  // namespace steptuner
