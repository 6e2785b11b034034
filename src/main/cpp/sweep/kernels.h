// SPDX-License-Identifier: Apache-2.0
//
// The table of kernels. Both harnesses compile every row; a kernel's number is its place here, and callers find it by name.
// A new rule is one more name in Rules; a new tuner is one more row in Kernels.
#pragma once
#include "../rules/adagrad.h"
#include "../rules/adam.h"
#include "../rules/curvature.h"
#include "../rules/dadaptation.h"
#include "../rules/fixed_rate.h"
#include "../rules/gradient_l1.h"
#include "../rules/hypergradient.h"
#include "../rules/lion.h"
#include "../rules/madgrad.h"
#include "../rules/mechanic.h"
#include "../rules/metaoptimize.h"
#include "../rules/momo.h"
#include "../rules/prodigy.h"
#include "../rules/rmsprop.h"
#include "../rules/sgd.h"
#include "../rules/supplied.h"

namespace steptuner {

template <class... Types>
struct List {
  static constexpr int SIZE = sizeof...(Types);
};

template <class... Lists>
struct Join;
template <class... A>
struct Join<List<A...>> {
  using type = List<A...>;
};
template <class... A, class... B, class... Rest>
struct Join<List<A...>, List<B...>, Rest...> : Join<List<A..., B...>, Rest...> {};

template <template <class> class Sweep, class Rules>
struct Over;
template <template <class> class Sweep, class... R>
struct Over<Sweep, List<R...>> {
  using type = List<Sweep<R>...>;
};
template <template <class> class Sweep, class Rules>
using over = typename Over<Sweep, Rules>::type;

using Rules = List<Sgd, Momentum, RmsProp, RmsPropMomentum, AdaGrad, Adam, Lion, Madgrad, MirrorMadgrad, Supplied>;

// The rules whose step is a multiple of the rate, along which a loss can be followed.
using DirectionRules = List<Sgd, Momentum, RmsProp, RmsPropMomentum, Adam>;

// The paper's forms of the base rules under MetaOptimize, and the usual ones under its package.
using MetaOptimizeRules = List<Sgd, PaperMomentum, PaperRmsProp, PaperAdam, Lion>;
using MetaOptimizePackageRules = List<Sgd, Momentum, RmsProp, Adam, Lion>;
template <class Rule>
using PerWeightBySgd = MetaOptimizePerWeight<Rule, Sgd>;
template <class Rule>
using PerWeightByRmsProp = MetaOptimizePerWeight<Rule, PaperRmsProp>;
template <class Rule>
using PerWeightByAdam = MetaOptimizePerWeight<Rule, PaperAdam>;
template <class Rule>
using PerWeightByLion = MetaOptimizePerWeight<Rule, Lion>;
template <class Meta>
using CurvedPerWeight = MetaOptimizeCurvedPerWeight<Meta, false>;

// Sweeps that come in a second form, which sums |g|_1 too. Where the first sweep of a tuner is none of these, the norm's is its guard.
using ObserversWithL1 =
    List<GradientNorm, MechanicObserve, ProdigyObserveStored<false, false>, MomoObserve<false>, MomoObserve<true>>;

using Kernels = typename Join<
    List<GradientNorm>, over<FixedRate, Rules>,
    List<MechanicReference, MechanicObserve, MechanicScale, MechanicObservePlain>, over<MechanicApply, Rules>,
    over<MechanicAccumulate, Rules>, over<MechanicObserveRecomputed, Rules>, over<MechanicApplyRecomputed, Rules>,
    List<ProdigyObserve<false>, ProdigyObserve<true>, ProdigyApply<true>, ProdigyApply<false>,
         ProdigyObserveStored<false, false>, ProdigyObserveStored<false, true>, ProdigyObserveStored<true, false>,
         ProdigyObserveStored<true, true>, ProdigyApplyStored<true>, ProdigyApplyStored<false>,
         ProdigyApplyAccumulated<true>, ProdigyApplyAccumulated<false>>,
    List<DAdaptSgd, DAdaptAdam, DAdaptAdaGrad, DAdaptLion>,
    List<MomoObserve<false>, MomoApply<false>, MomoObserve<true>, MomoApply<true>>,
    over<MetaOptimize, MetaOptimizeRules>, over<MetaOptimizePackage, MetaOptimizePackageRules>,
    over<PerWeightBySgd, MetaOptimizeRules>, over<PerWeightByRmsProp, MetaOptimizeRules>,
    over<PerWeightByAdam, MetaOptimizeRules>, over<PerWeightByLion, MetaOptimizeRules>,
    List<CurvatureNorm, MetaOptimizeCurved>, over<CurvedPerWeight, List<Sgd, PaperRmsProp, PaperAdam, Lion>>,
    List<MetaOptimizeCurvedPerWeight<Sgd, true>>,
    List<HypergradientObserve, HypergradientObserveDecay>, over<HypergradientApply, Rules>,
    over<Direction, DirectionRules>,
    List<Trial, NewtonWindow, VectorProducts, VectorCombination, VectorPrecondition>,
    over<WithGradientL1, ObserversWithL1>>::type;

}  // namespace steptuner
