// SPDX-License-Identifier: Apache-2.0
//
// The table of kernels, family by family: each is a header of this folder, and the list of kernels of its name that stands at the header's
// end. A kernel's number is its place when all lists are put one after the other; callers find it by name. A new tuner is a header and a
// line here. CMake and the GPU kit read these lines too: every family is compiled for itself (see family.h).
#pragma once

#define STEPTUNER_FAMILIES(FAMILY)         \
  FAMILY(gradient_norm)                    \
  FAMILY(vectors)                          \
  FAMILY(fixed_rate)                       \
  FAMILY(mechanic)                         \
  FAMILY(mechanic_recomputed)              \
  FAMILY(prodigy)                          \
  FAMILY(prodigy_schedule_free)            \
  FAMILY(dadaptation)                      \
  FAMILY(distance)                         \
  FAMILY(momo)                             \
  FAMILY(metaoptimize)                     \
  FAMILY(metaoptimize_package)             \
  FAMILY(metaoptimize_per_weight)          \
  FAMILY(metaoptimize_per_weight_momentum) \
  FAMILY(metaoptimize_curved)              \
  FAMILY(metaoptimize_curved_per_weight)   \
  FAMILY(metaoptimize_curved_2x2)          \
  FAMILY(hypergradient)                    \
  FAMILY(gradagrad)                        \
  FAMILY(dog)                              \
  FAMILY(directed)                         \
  FAMILY(rebase)
