// SPDX-License-Identifier: Apache-2.0
#include "registry.h"

namespace steptuner {
namespace {

const char* const PLACES[] = {"gradient", "parameter", "update", "state", "selection"};

void append(std::string& text, const Name* names, int count) {
  text += '|';
  for (int i = 0; i < count; ++i) text += std::string(i ? "," : "") + names[i].text;
}

KernelInfo infoOf(const Description& from) {
  KernelInfo info;
  info.sweep = from.sweep->text;
  info.rule = from.rule->text;
  info.operands.assign(from.operands, from.operands + from.operandCount);
  info.coefficients = from.coefficientCount;
  info.sums = from.sumCount;
  info.toNearest = from.toNearest;
  for (int i = 0; i < from.coefficientCount; ++i) info.coefficientNames.push_back(from.coefficients[i].text);
  for (int i = 0; i < from.sumCount; ++i) info.sumNames.push_back(from.sums[i].text);
  std::string& text = info.description = info.sweep + '|' + info.rule + '|';
  for (int i = 0; i < from.operandCount; ++i) {
    const Operand& o = from.operands[i];
    text += std::string(i ? "," : "") + o.name.text + ':' + PLACES[o.place] + ':' + (reads(o) ? "r" : "") + (writes(o) ? "w" : "");
  }
  append(text, from.coefficients, from.coefficientCount);
  append(text, from.sums, from.sumCount);
  return info;
}

std::vector<KernelInfo> all() {
  std::vector<KernelInfo> infos;
  for (const Descriptions& family : describeAll())
    for (size_t k = 0; k < family.count; ++k) infos.push_back(infoOf(family.first[k]));
  return infos;
}

}  // namespace

const std::vector<KernelInfo>& kernelInfos() {
  static const std::vector<KernelInfo> infos = all();
  return infos;
}

}  // namespace steptuner
