// SPDX-License-Identifier: Apache-2.0
#include "registry.h"
#include "kernels.h"

namespace steptuner {
namespace {

template <class K>
KernelInfo describe() {
  static_assert(int(K::OPERANDS) <= MAX_OPERANDS && int(K::COEFFICIENTS) <= MAX_COEFFICIENTS && int(K::SUMS) <= MAX_SUMS,
                "raise the limits in kernel.h");
  KernelInfo info;
  info.sweep = K::SWEEP;
  info.rule = K::RULE;
  info.coefficients = K::COEFFICIENTS;
  info.sums = K::SUMS;
  std::string& text = info.description = info.sweep + '|' + info.rule + '|';
  for (int i = 0; i < K::OPERANDS; ++i) {
    const Operand o = K::operand(i);
    info.operands.push_back(o);
    text += std::string(i ? "," : "") + o.name + ':' + (reads(o) ? "r" : "") + (writes(o) ? "w" : "");
  }
  text += '|';
  for (int i = 0; i < K::COEFFICIENTS; ++i) text += std::string(i ? "," : "") + K::coefficient(i);
  text += '|';
  for (int i = 0; i < K::SUMS; ++i) text += std::string(i ? "," : "") + K::sum(i);
  return info;
}

template <class... K>
std::vector<KernelInfo> describeAll(List<K...>) {
  return {describe<K>()...};
}

}  // namespace

const std::vector<KernelInfo>& kernelInfos() {
  static const std::vector<KernelInfo> infos = describeAll(Kernels{});
  return infos;
}

}  // namespace steptuner
