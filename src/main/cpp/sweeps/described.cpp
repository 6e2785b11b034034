// SPDX-License-Identifier: Apache-2.0
//
// The descriptions of the kernels of one family, compiled once for each.
#include "../core/registry.h"
#include "family.h"

namespace steptuner {
namespace {

template <class... K>
Descriptions descriptionsOf(List<K...>) {
  static const Description descriptions[] = {describe<K>()...};
  return {descriptions, sizeof...(K)};
}

}  // namespace

Descriptions STEPTUNER_JOIN(describe_, STEPTUNER_FAMILY)() { return descriptionsOf(Family{}); }

}  // namespace steptuner
