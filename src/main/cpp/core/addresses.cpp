// SPDX-License-Identifier: Apache-2.0
#include "addresses.h"
#include "failure.h"
#include "registry.h"

namespace steptuner {
namespace {

constexpr struct {
  const char* name;
  char* Tensor::*address;
  Place place;
} ADDRESSES[] = {
    {"parameter", &Tensor::parameter, PARAMETER}, {"gradient", &Tensor::gradient, GRADIENT}, {"update", &Tensor::update, UPDATE}};

// Ranges of tensors, looked at together.
class Ranges {
 public:
  explicit Ranges(const std::vector<Tensor>& tensors) : tensors_(tensors) {}

  void add(size_t tensor, int address, bool written) {
    const Tensor& t = tensors_[tensor];
    ranges_.push_back({t.*ADDRESSES[address].address, t.count * bytesOf(operandType(t, ADDRESSES[address].place)), written});
    subjects_.push_back({tensor, address});
  }

  st_status check(const Device& device) const {
    size_t which = 0;
    const char* const why = ranges_.empty() ? nullptr : device.backend->unusable(device.handle, ranges_.data(), ranges_.size(), &which);
    if (!why) return ST_OK;
    const Subject& subject = subjects_[which];
    return fail(ST_BAD_ARGUMENT, "%s of tensor #%d (%lld elements from address %p): %s", ADDRESSES[subject.address].name,
                static_cast<int>(subject.tensor), static_cast<long long>(tensors_[subject.tensor].count), ranges_[which].address, why);
  }

 private:
  struct Subject {
    size_t tensor;
    int address;
  };

  const std::vector<Tensor>& tensors_;
  std::vector<Range> ranges_;
  std::vector<Subject> subjects_;
};

}  // namespace

st_status checkAddresses(const Device& device, const std::vector<Tensor>& tensors, const std::vector<Tensor>* before, bool verify) {
  Ranges ranges(tensors);
  for (size_t t = 0; t < tensors.size(); ++t)
    for (int a = 0; a < 3 && tensors[t].count > 0; ++a) {
      const auto& kind = ADDRESSES[a];
      const char* const address = tensors[t].*kind.address;
      if (before && address == (*before)[t].*kind.address) continue;
      if (!address && kind.place != PARAMETER) continue;
      if (!address) return fail(ST_BAD_ARGUMENT, "%s address of tensor #%d is null", kind.name, static_cast<int>(t));
      const int bytes = bytesOf(operandType(tensors[t], kind.place));
      if (reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(bytes))
        return fail(ST_BAD_ARGUMENT, "%s address %p of tensor #%d is not a multiple of its element's %d bytes", kind.name,
                    static_cast<const void*>(address), static_cast<int>(t), bytes);
      if (verify) ranges.add(t, a, kind.place == PARAMETER);
    }
  return ranges.check(device);
}

st_status checkOperands(const Binding& binding, const Tensor& tensor, int32_t number) {
  for (int o = 0; o < binding.operands && tensor.count > 0; ++o) {
    const Place place = binding.operand[o].place;
    if ((place == GRADIENT && !tensor.gradient) || (place == UPDATE && !tensor.update))
      return fail(ST_BAD_ARGUMENT, "%s needs the %s address of tensor #%d, which is null",
                  kernelInfos()[static_cast<size_t>(binding.kernel)].sweep.c_str(), binding.operand[o].name.text, number);
  }
  return ST_OK;
}

st_status checkGradientsWritable(const Device& device, const std::vector<Tensor>& tensors, const std::vector<char*>& zeroable) {
  constexpr int GRADIENTS = 1;
  Ranges ranges(tensors);
  for (size_t t = 0; t < tensors.size(); ++t)
    if (tensors[t].gradient && tensors[t].count > 0 && tensors[t].gradient != zeroable[t]) ranges.add(t, GRADIENTS, true);
  return ranges.check(device);
}

}  // namespace steptuner
