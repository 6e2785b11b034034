// SPDX-License-Identifier: Apache-2.0
//
// For units that are compiled once for every family of kernels.h, with STEPTUNER_FAMILY naming it: the family's header, and its kernels.
#pragma once

#define STEPTUNER_JOIN_(a, b) a##b
#define STEPTUNER_JOIN(a, b) STEPTUNER_JOIN_(a, b)
#define STEPTUNER_TEXT_(a) #a
#define STEPTUNER_TEXT(a) STEPTUNER_TEXT_(a)

#include STEPTUNER_TEXT(STEPTUNER_FAMILY.h)

namespace steptuner {

using Family = families::STEPTUNER_FAMILY;

}  // namespace steptuner
