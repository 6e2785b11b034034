// SPDX-License-Identifier: Apache-2.0
//
// Checks of the addresses that come through the door. Messages call a tensor #N, by its number in the plan; who knows its name puts that
// there.
#pragma once
#include "owned_plan.h"

namespace steptuner {

// Whether the addresses of `tensors` can be used: none that is needed is null, none is misaligned, and all of them are the device's memory
// if that is to be verified. Where there is a `before`, which has as many tensors, only those that differ from it are looked at.
st_status checkAddresses(const Device& device, const std::vector<Tensor>& tensors, const std::vector<Tensor>* before, bool verify);

// What a bound kernel reads must be there.
st_status checkOperands(const Binding& binding, const Tensor& tensor, int32_t number);

// Whether the device can write the gradients whose addresses are not those in `zeroable`, which has an address for each tensor.
st_status checkGradientsWritable(const Device& device, const std::vector<Tensor>& tensors, const std::vector<char*>& zeroable);

}  // namespace steptuner
