// SPDX-License-Identifier: Apache-2.0
//
// What every kernel does to a given memory, as one number: `sweep rule  hash`, a line a kernel, sorted. The hash is over all memory and all
// sums that two sweeps leave, for every pair of parameter and gradient types: with plain inputs, with special values among them, and with
// infinities and NaN, all NaN counting as one. It must come out the same on every instruction set that there is, within the caches and
// beyond them, and on the device libraries that are named.
//
//   digest [<file of such lines to compare with>|- [<device library>...]]
//
// Operands and coefficients are filled by their place in the kernel's list, whatever their names.
#include "kernel_run.h"
#include <fstream>
#include <inttypes.h>
#include <string.h>

using namespace kernel_run;

namespace {

struct Hash {
  uint64_t value = 0xcbf29ce484222325u;

  void add(uint64_t word) {
    value = (value ^ word) * 0x9e3779b97f4a7c15u;
    value ^= value >> 29;
  }
};

// Bits with one NaN only.
uint64_t canonical(const char* array, int32_t type, size_t i) {
  const double number = steptuner::load<double>(array, type, static_cast<int64_t>(i));
  if (isnan(number)) return 0x7ff8dead00000000u;
  uint64_t bits = 0;
  memcpy(&bits, array + i * static_cast<size_t>(bytesOf(type)), static_cast<size_t>(bytesOf(type)));
  return bits;
}

void add(Hash& hash, const Result& result) {
  for (size_t m = 0; m < result.memory.size(); ++m)
    for (size_t i = 0; i < result.memory[m].size() / static_cast<size_t>(bytesOf(result.types[m])); ++i)
      hash.add(canonical(result.memory[m].data(), result.types[m], i));
  for (size_t s = 0; s < result.sums.size(); ++s)
    hash.add(canonical(reinterpret_cast<const char*>(result.sums.data()), steptuner::FLOAT64, s));
}

uint64_t hashOf(int64_t device, int32_t kernel) {
  Hash hash;
  for (Values values : {PLAIN, SPECIAL, NOT_FINITE})
    for (int32_t parameterType = 0; parameterType < TYPES; ++parameterType)
      for (int32_t gradientType = 0; gradientType < TYPES; ++gradientType)
        add(hash, run(device, kernel, parameterType, gradientType, values));
  return hash.value;
}

using Lines = std::map<std::string, std::string>;  // "sweep rule" to hash

Lines readLines(const char* file) {
  std::ifstream in(file);
  CHECK(in.good());
  Lines lines;
  for (std::string line; std::getline(in, line);) {
    const size_t gap = line.find("  ");
    if (!line.empty() && line[0] != '#' && gap != std::string::npos) lines[line.substr(0, gap)] = line.substr(gap + 2);
  }
  return lines;
}

}  // namespace

int main(int count, char** arguments) {
  std::vector<int64_t> devices = openAll(1, false);
  for (int64_t device : openAll(2, true)) devices.push_back(device);
  for (int i = 2; i < count; ++i) {
    int64_t other = 0;
    require(st_device_open(arguments[i], 0, 0, "", &other), arguments[i]);
    devices.push_back(other);
  }
  Lines lines;
  for (int32_t kernel = 0; kernel < st_kernel_count(); ++kernel) {
    const std::vector<std::string> parts = split(st_kernel_describe(kernel), '|');
    const std::string name = parts[0] + ' ' + (parts[1].empty() ? "-" : parts[1]);
    const uint64_t hash = hashOf(devices[0], kernel);
    for (size_t d = 1; d < devices.size(); ++d)
      if (hashOf(devices[d], kernel) != hash) {
        ++failures;
        fprintf(stderr, "%s: device %d (%s) leaves other bits than %s\n", name.c_str(), static_cast<int>(d), st_device_name(devices[d]),
                st_device_name(devices[0]));
      }
    char digits[17];
    snprintf(digits, sizeof digits, "%016" PRIx64, hash);
    CHECK(lines.emplace(name, digits).second);
  }
  for (int64_t device : devices) st_device_close(device);

  if (count < 2 || strcmp(arguments[1], "-") == 0) {
    for (const auto& line : lines) printf("%s  %s\n", line.first.c_str(), line.second.c_str());
    return failures != 0;
  }
  const Lines wanted = readLines(arguments[1]);
  for (const auto& line : lines) {
    const auto found = wanted.find(line.first);
    if (found != wanted.end() && found->second == line.second) continue;
    ++failures;
    fprintf(stderr, "%s  %s, and %s: %s\n", line.first.c_str(), line.second.c_str(), arguments[1],
            found == wanted.end() ? "no such line" : found->second.c_str());
  }
  for (const auto& line : wanted)
    if (!lines.count(line.first)) {
      ++failures;
      fprintf(stderr, "%s: there is no such kernel any more\n", line.first.c_str());
    }
  printf("%d kernels on %d devices\n", static_cast<int>(lines.size()), static_cast<int>(devices.size()));
  return report("digest");
}
