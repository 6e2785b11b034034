// SPDX-License-Identifier: Apache-2.0
package org.steptuner.checkpoint;

import static org.steptuner.checkpoint.RecordedRun.diagonal;
import static org.steptuner.checkpoint.RecordedRun.odd;
import static org.steptuner.checkpoint.RecordedRun.plain;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.steptuner.Schedule;
import org.steptuner.Scope;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Adan;
import org.steptuner.rule.AdEMAMix;
import org.steptuner.rule.Lion;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.ModernizedDualAveraging;
import org.steptuner.rule.PrimalAveraging;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.ScheduleFreeAdamW;
import org.steptuner.rule.ScheduleFreeSGD;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.Armijo;
import org.steptuner.tuner.CDAT;
import org.steptuner.tuner.DAdaptation;
import org.steptuner.tuner.DoG;
import org.steptuner.tuner.ExactSharpness;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.GradaGrad;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.MetaCurvature;
import org.steptuner.tuner.MetaOptimize;
import org.steptuner.tuner.MoMo;
import org.steptuner.tuner.MovingTarget;
import org.steptuner.tuner.NewtonRate;
import org.steptuner.tuner.Polyak;
import org.steptuner.tuner.Prodigy;

/** The runs that came with format version 2: the rules, tuners and forms that version 1 did not know. */
final class LaterRuns {
  private LaterRuns() {}

  private static Map<String, Rule> rules() {
    final Map<String, Rule> rules = new LinkedHashMap<>();
    rules.put("AdEMAMix", AdEMAMix.defaults().betas(0.8, 0.95, 0.99).alpha(1).warmup(7).weightDecay(0.1));
    rules.put("ModernizedDualAveraging", ModernizedDualAveraging.defaults().weightDecay(0.02));
    rules.put("PrimalAveraging", PrimalAveraging.defaults().weightDecay(0.02));
    rules.put("Adan", Adan.defaults().betas(0.9, 0.8, 0.95).weightDecay(0.05));
    rules.put("Adan without prox", Adan.defaults().epsilon(1e-6).weightDecay(0.05).noProx(true));
    rules.put("ScheduleFreeSGD", ScheduleFreeSGD.defaults().beta1(0.8).stepPower(0.5).weightDecay(0.02));
    rules.put("ScheduleFreeAdamW", ScheduleFreeAdamW.defaults().betas(0.8, 0.95).stepPower(0.5).weightDecay(0.1));
    return rules;
  }

  static List<RecordedRun> all() {
    final List<RecordedRun> runs = new ArrayList<>();
    rules().forEach((name, rule) -> runs.add(odd("FixedRate over " + name, bowl -> FixedRate.of(0.01, rule))));
    rules().forEach(
        (name, rule) -> runs.add(odd("Mechanic over " + name, bowl -> Mechanic.tuning(rule).initialScale(1e-3).allowFreezing())));
    distances(runs);
    learned(runs);
    others(runs);
    return runs;
  }

  private static void distances(List<RecordedRun> runs) {
    runs.add(odd("DAdaptation Adan", bowl -> DAdaptation.tuning(Adan.defaults().weightDecay(0.02)).initialRate(1e-3).maxRate(0.1)));
    runs.add(
        odd(
            "DAdaptation with scales of layers",
            bowl -> DAdaptation.tuning(AdamW.defaults()).layerScale("no decay", 0.5).initialRate(1e-3).maxRate(0.1)));
    runs.add(odd("DAdaptation, dual averaging", bowl -> DAdaptation.dualAveraging().initialRate(1e-2).growthRate(2)));
    runs.add(odd("DAdaptation, gradient descent", bowl -> DAdaptation.gradientDescent().initialRate(1e-2).averaging(false)));
    runs.add(odd("DAdaptation, resetting", bowl -> DAdaptation.dualAveraging().resetting().initialRate(1e-2)));
    for (Scope scope : Scope.values()) {
      runs.add(odd("Prodigy, gradient descent by " + scope, bowl -> Prodigy.gradientDescent().initialRate(1e-2).scope(scope)));
      runs.add(odd("Prodigy, dual averaging by " + scope, bowl -> Prodigy.dualAveraging().initialRate(1e-2).scope(scope)));
      runs.add(
          odd(
              "DoG by " + scope,
              bowl -> DoG.tuning(SGD.defaults().weightDecay(0.02)).relativeDistance(1e-3).factor(0.5).averaging(8).scope(scope)));
    }
    runs.add(odd("DoWG", bowl -> DoG.weighted(SGD.defaults()).relativeDistance(1e-3)));
    runs.add(odd("Prodigy over ScheduleFreeAdamW", bowl -> Prodigy.tuning(ScheduleFreeAdamW.defaults()).initialRate(1e-3).maxRate(0.1)));
  }

  private static void learned(List<RecordedRun> runs) {
    runs.add(odd("GradaGrad", bowl -> GradaGrad.tuning(SGD.defaults().weightDecay(0.02), 0.1).r(0.3).maxGrowth(10)));
    runs.add(odd("GradaGrad with momentum", bowl -> GradaGrad.tuning(SGD.defaults().momentum(0.9), 0.1).maxGrowth(10)));
    runs.add(
        odd(
            "GradaGrad diagonal",
            bowl -> GradaGrad.tuning(SGD.defaults().momentum(0.9).weightDecay(0.02), 0.01)
                .form(GradaGrad.Form.DIAGONAL)
                .maxGrowth(10)));
    runs.add(odd("AdaGrad-Norm", bowl -> GradaGrad.adaGradNorm(SGD.defaults(), 0.1)));
    final Map<String, Rule> bases = new LinkedHashMap<>();
    bases.put("momentum", SGD.defaults().momentum(0.9));
    bases.put("RMSProp", RMSProp.defaults());
    bases.put("AdamW", AdamW.defaults());
    bases.forEach(
        (name, base) -> runs.add(
            diagonal(
                "MetaOptimize with curvature over " + name,
                bowl -> MetaOptimize.tuning(base)
                    .meta(RMSProp.defaults())
                    .curvature(MetaCurvature.DIAGONAL)
                    .approximation(MetaOptimize.Approximation.TWO_BY_TWO)
                    .initialStepSize(1e-3))));
    runs.add(
        diagonal(
            "MetaOptimize per weight with curvature",
            bowl -> MetaOptimize.tuning(AdamW.defaults()).perWeight().curvature(MetaCurvature.DIAGONAL).initialStepSize(1e-3)));
    for (NewtonRate.Variant form : new NewtonRate.Variant[] {
      NewtonRate.Variant.FIRST_ORDER_ADDITIVE, NewtonRate.Variant.FIRST_ORDER_MULTIPLICATIVE})
      runs.add(odd("NewtonRate " + form, bowl -> NewtonRate.firstOrder(SGD.defaults(), 0.01, form, 1e-4).interval(2)));
  }

  private static void others(List<RecordedRun> runs) {
    runs.add(
        odd(
            "FixedRate with three schedules",
            bowl -> FixedRate.of(0.01, AdamW.defaults().weightDecay(0.1))
                .schedule(Schedule.cosine(2, 20))
                .momentumSchedule(Schedule.cosine(1, 30))
                .decaySchedule(Schedule.cosine(3, 40))));
    runs.add(odd("MoMo over RMSProp", bowl -> MoMo.tuning(RMSProp.defaults().momentum(0.9)).maxRate(0.1)));
    runs.add(odd("MoMo over AdaGrad", bowl -> MoMo.tuning(AdaGrad.defaults()).maxRate(0.1).beta(0.8)));
    runs.add(odd("moving target, targets given", bowl -> MovingTarget.tuning(SGD.defaults()).baseRate(0.01).targets(0.125, 0.25, 0.5)));
    runs.add(
        odd(
            "moving target, many targets given",
            bowl -> MovingTarget.tuning(SGD.defaults()).baseRate(0.01).targets(.5, .25, .5, .125, .5, .25, .5, .125, .25)));
    runs.add(odd("Polyak, SPS max", bowl -> Polyak.spsMax(SGD.defaults(), 0.5, 0.5)));
    runs.add(odd("Polyak smoothed", bowl -> Polyak.tuning(MADGRAD.defaults()).coefficient(0.5).smoothing(2, 4)));
    runs.add(odd("Armijo, reset to the previous", bowl -> Armijo.tuning(Lion.defaults(), bowl::loss).resetToPrevious().firstGuess(0.5)));
    runs.add(odd("Armijo, stochastic", bowl -> Armijo.stochastic(SGD.defaults(), bowl::loss, 4)));
    runs.add(odd("CDAT over Lion", bowl -> CDAT.tuning(Lion.defaults()).curvature(bowl::along).maxRate(0.05)));
    runs.add(
        plain("ExactSharpness over Nesterov", bowl -> ExactSharpness.tuning(SGD.defaults().momentum(0.9).nesterov(true), bowl::hessian)));
  }
}
