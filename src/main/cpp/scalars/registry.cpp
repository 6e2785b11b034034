// SPDX-License-Identifier: Apache-2.0
#include "registry.h"
#include "machines.h"
#include "step.h"

namespace steptuner {
namespace {

template <int N>
std::vector<std::string> texts(const Row<Name, N>& row, std::string& description) {
  std::vector<std::string> all;
  description += '|';
  for (int i = 0; i < N; ++i) {
    all.push_back(row[i].text);
    description += (i ? "," : "") + all.back();
  }
  return all;
}

template <class M>
MachineInfo infoOf() {
  static_assert(distinct(M::SETTINGS) && distinct(M::STATE + M::LISTS) && distinct(M::INPUTS) && distinct(M::LATE) && distinct(M::ROW) &&
                    distinct(M::FIRST) && distinct(M::SECOND),
                "callers go by these names: each may stand once");
  static_assert(decltype(M::LIST)::SIZE <= 1, "a machine has one list, or none");
  MachineInfo info;
  info.tuner = info.description = M::TUNER.text;
  info.settings = static_cast<int>(texts(M::SETTINGS, info.description).size());
  texts(M::LIST, info.description);
  info.state = static_cast<int>(texts(M::STATE, info.description).size());
  info.lists = static_cast<int>(texts(M::LISTS, info.description).size());
  info.inputs = texts(M::INPUTS, info.description);
  info.late = texts(M::LATE, info.description);
  info.row = static_cast<int>(texts(M::ROW, info.description).size());
  info.first = texts(M::FIRST, info.description);
  info.second = texts(M::SECOND, info.description);
  info.kept = decltype(M::KEPT)::SIZE;
  info.scratch = M::SCRATCH;
  info.run = [](int phase, const CaptureTables& t) { CaptureScalars<M>::run(phase, t, t.memory, rowOf(t, t.memory.whole->made), 0, 1); };
  return info;
}

template <class... M>
std::vector<MachineInfo> infosOf(List<M...>) {
  return {infoOf<M>()...};
}

}  // namespace

const std::vector<MachineInfo>& machineInfos() {
  static const std::vector<MachineInfo> infos = infosOf(Machines{});
  return infos;
}

}  // namespace steptuner
