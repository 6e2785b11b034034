// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.util.List;
import java.util.function.Function;
import org.steptuner.curvature.LossFunction;
import org.steptuner.rule.AdEMAMix;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Adan;
import org.steptuner.rule.Lion;
import org.steptuner.rule.ModernizedDualAveraging;
import org.steptuner.rule.PrimalAveraging;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.SGD;
import org.steptuner.rule.ScheduleFreeAdamW;
import org.steptuner.rule.ScheduleFreeSGD;
import org.steptuner.tuner.Armijo;
import org.steptuner.tuner.DAdaptation;
import org.steptuner.tuner.DoG;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.GradaGrad;
import org.steptuner.tuner.Hypergradient;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.MetaCurvature;
import org.steptuner.tuner.MetaOptimize;
import org.steptuner.tuner.MoMo;
import org.steptuner.tuner.MovingTarget;
import org.steptuner.tuner.NewtonRate;
import org.steptuner.tuner.Polyak;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/**
 * A tuner of the suite, with nothing tuned: its defaults on every set.
 *
 * @param builder a new one for every run
 * @param decays whether the rate decays linearly to 0; methods that average iterates do without
 * @param curvature whether it needs the Hessian's diagonal
 */
record Contender(String name, Function<Problem, TunerBuilder<?>> builder, boolean decays, boolean curvature) {
  /**
   * What a builder may need.
   *
   * @param batches of an epoch
   * @param loss of the batch of the step
   */
  record Problem(int batches, LossFunction loss) {}

  Contender(String name, Function<Problem, TunerBuilder<?>> builder) {
    this(name, builder, true, false);
  }

  private static Contender averaging(String name, Function<Problem, TunerBuilder<?>> builder) {
    return new Contender(name, builder, false, false);
  }

  static final List<Contender> ALL =
      List.of(
          new Contender("Adam at 1e-3, untuned", problem -> FixedRate.of(1e-3, AdamW.defaults().weightDecay(0))),
          new Contender("Mechanic, Adam", problem -> Mechanic.tuning(Adam.defaults())),
          new Contender("Mechanic, SGD with momentum", problem -> Mechanic.tuning(SGD.defaults().momentum(0.9))),
          new Contender("Mechanic, Lion", problem -> Mechanic.tuning(Lion.defaults())),
          new Contender("Mechanic, AdEMAMix", problem -> Mechanic.tuning(AdEMAMix.defaults().weightDecay(0))),
          new Contender("Mechanic, Adan", problem -> Mechanic.tuning(Adan.defaults())),
          new Contender("Mechanic, MDA", problem -> Mechanic.tuning(ModernizedDualAveraging.defaults())),
          new Contender("Mechanic, SPA", problem -> Mechanic.tuning(PrimalAveraging.defaults())),
          averaging("Mechanic, Schedule-Free AdamW", problem -> Mechanic.tuning(ScheduleFreeAdamW.defaults())),
          new Contender("Mechanic TORCH, Adam", problem -> Mechanic.tuning(Adam.defaults()).variant(Mechanic.Variant.TORCH)),
          averaging("Schedule-Free AdamW at 0.0025, untuned", problem -> FixedRate.of(0.0025, ScheduleFreeAdamW.defaults())),
          averaging("Schedule-Free SGD at 1, untuned", problem -> FixedRate.of(1, ScheduleFreeSGD.defaults())),
          new Contender("D-Adaptation, SGD", problem -> DAdaptation.tuning(SGD.defaults())),
          new Contender("D-Adaptation, Adam", problem -> DAdaptation.tuning(Adam.defaults())),
          new Contender(
              "D-Adaptation, AdaGrad", problem -> DAdaptation.tuning(AdaGrad.defaults().epsilon(1e-6).initialAccumulator(1e-6))),
          new Contender("D-Adaptation, Lion", problem -> DAdaptation.tuning(Lion.defaults())),
          new Contender("D-Adaptation, Adan", problem -> DAdaptation.tuning(Adan.defaults())),
          averaging("D-Adaptation, dual averaging", problem -> DAdaptation.dualAveraging()),
          averaging("D-Adaptation, gradient descent", problem -> DAdaptation.gradientDescent()),
          averaging("D-Adaptation with resetting", problem -> DAdaptation.dualAveraging().resetting()),
          new Contender("Prodigy", problem -> Prodigy.tuning(Adam.defaults())),
          averaging("Prodigy, Schedule-Free AdamW", problem -> Prodigy.tuning(ScheduleFreeAdamW.defaults())),
          averaging("Prodigy, gradient descent", problem -> Prodigy.gradientDescent()),
          averaging("Prodigy, dual averaging", problem -> Prodigy.dualAveraging()),
          new Contender("DoG", problem -> DoG.tuning(SGD.defaults())),
          averaging("DoG, average of iterates", problem -> DoG.tuning(SGD.defaults()).averaging(8)),
          new Contender("L-DoG", problem -> DoG.layerwise(SGD.defaults())),
          new Contender("DoWG", problem -> DoG.weighted(SGD.defaults())),
          new Contender("GradaGrad from 1e-3", problem -> GradaGrad.tuning(SGD.defaults(), 1e-3)),
          new Contender(
              "GradaGrad, diagonal, from 1e-3", problem -> GradaGrad.tuning(SGD.defaults(), 1e-3).form(GradaGrad.Form.DIAGONAL)),
          new Contender("AdaGrad-Norm at 1, untuned", problem -> GradaGrad.adaGradNorm(SGD.defaults(), 1)),
          new Contender("MoMo", problem -> MoMo.tuning(SGD.defaults().momentum(0.9))),
          new Contender("MoMo-Adam", problem -> MoMo.tuning(Adam.defaults())),
          new Contender("MoMo, RMSProp with momentum", problem -> MoMo.tuning(RMSProp.defaults().momentum(0.9))),
          new Contender("Moving target", problem -> MovingTarget.tuning(SGD.defaults()).parts(problem.batches())),
          new Contender("Given targets (0)", problem -> MovingTarget.tuning(SGD.defaults()).targets(new double[problem.batches()])),
          new Contender("SPS_max, eta_max 1", problem -> Polyak.spsMax(SGD.defaults(), 0.5, 1)),
          new Contender("Stochastic line search", problem -> Armijo.stochastic(SGD.defaults(), problem.loss(), problem.batches())),
          new Contender("MetaOptimize, Adam by Adam", problem -> MetaOptimize.tuning(Adam.defaults())),
          new Contender(
              "MetaOptimize with curvature, Adam by Adam",
              problem -> MetaOptimize.tuning(Adam.defaults()).curvature(MetaCurvature.DIAGONAL), true, true),
          new Contender(
              "MetaOptimize PACKAGE, Adam by Lion",
              problem -> MetaOptimize.tuning(AdamW.defaults().weightDecay(0)).variant(MetaOptimize.Variant.PACKAGE).meta(Lion.defaults())),
          new Contender("Hypergradient, Adam from 1e-3", problem -> Hypergradient.tuning(Adam.defaults(), 1e-3, 1e-4)),
          new Contender(
              "Hypergradient by cosine, Adam from 1e-3",
              problem -> Hypergradient.tuning(Adam.defaults(), 1e-3, 0.02).variant(Hypergradient.Variant.MULTIPLICATIVE)),
          new Contender("Newton-based rate from 1e-3", problem -> NewtonRate.tuning(SGD.defaults(), 1e-3).epoch(problem.batches())),
          new Contender(
              "First-order rate, additive, from 1e-3",
              problem -> NewtonRate.firstOrder(SGD.defaults(), 1e-3, NewtonRate.Variant.FIRST_ORDER_ADDITIVE, 1e-3)
                  .epoch(problem.batches())),
          new Contender(
              "First-order rate, multiplicative, from 1e-3",
              problem -> NewtonRate.firstOrder(SGD.defaults(), 1e-3, NewtonRate.Variant.FIRST_ORDER_MULTIPLICATIVE, 0.1)
                  .epoch(problem.batches())));
}
