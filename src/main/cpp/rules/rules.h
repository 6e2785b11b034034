// SPDX-License-Identifier: Apache-2.0
//
// The base rules that every tuner over "any rule" takes: a new one is one include and one name here.
#pragma once
#include "../core/lists.h"
#include "adagrad.h"
#include "adam.h"
#include "ademamix.h"
#include "lion.h"
#include "madgrad.h"
#include "rmsprop.h"
#include "schedule_free.h"
#include "sgd.h"
#include "supplied.h"

namespace steptuner {

using Rules = List<Sgd, Momentum, RmsProp, RmsPropMomentum, AdaGrad, Adam, Lion, Madgrad, MirrorMadgrad, AdEmaMix, ScheduleFreeSgd,
                   ScheduleFreeAdamW, Supplied>;

}  // namespace steptuner
