// SPDX-License-Identifier: Apache-2.0
//
// The base rules that every tuner over "any rule" takes: a new one is one include and one name here.
#pragma once
#include "../core/lists.h"
#include "adagrad.h"
#include "adam.h"
#include "adan.h"
#include "ademamix.h"
#include "lion.h"
#include "madgrad.h"
#include "mda.h"
#include "rmsprop.h"
#include "schedule_free.h"
#include "sgd.h"
#include "spa.h"
#include "supplied.h"

namespace steptuner {

using Rules = List<Sgd, Momentum, RmsProp, RmsPropMomentum, AdaGrad, Adam, Lion, Madgrad, MirrorMadgrad, AdEmaMix, Mda, Spa, Adan,
                   ScheduleFreeSgd, ScheduleFreeAdamW, Supplied>;

}  // namespace steptuner
