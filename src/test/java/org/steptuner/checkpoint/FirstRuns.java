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
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.MirrorMADGRAD;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.rule.SuppliedUpdate;
import org.steptuner.tuner.Armijo;
import org.steptuner.tuner.CDAT;
import org.steptuner.tuner.DAdaptation;
import org.steptuner.tuner.ExactSharpness;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Hypergradient;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.MetaCurvature;
import org.steptuner.tuner.MetaOptimize;
import org.steptuner.tuner.MoMo;
import org.steptuner.tuner.MovingTarget;
import org.steptuner.tuner.NewtonRate;
import org.steptuner.tuner.Polyak;
import org.steptuner.tuner.Prodigy;

/**
 * The runs that the library could make when it wrote format version 1: all rules, and all tuners in their main forms. This file compiles
 * against the library of that time too (with {@code MetaOptimize.Curvature} for {@code MetaCurvature}), so it uses nothing younger. It does
 * not take its configurations from elsewhere, since a run must stay what it was when it was recorded.
 */
final class FirstRuns {
  private static final String[] GROUPS = {"no decay", "a: b, in c\n\\"};

  private FirstRuns() {}

  private static Map<String, Rule> rules() {
    final Map<String, Rule> rules = new LinkedHashMap<>();
    rules.put("SGD", SGD.defaults().weightDecay(0.02));
    rules.put("momentum", SGD.defaults().momentum(0.9));
    rules.put("Nesterov", SGD.defaults().momentum(0.8).nesterov(true).weightDecay(0.03));
    rules.put("RMSProp", RMSProp.defaults().alpha(0.9).weightDecay(0.01));
    rules.put("RMSProp with momentum", RMSProp.defaults().momentum(0.9));
    rules.put("RMSProp with epsilon inside", RMSProp.defaults().epsilon(1e-6).epsilonInsideRoot(true));
    rules.put("AdaGrad", AdaGrad.defaults().initialAccumulator(0.1).rateDecay(0.05).weightDecay(0.01));
    rules.put("Adam", Adam.defaults().weightDecay(0.02));
    rules.put("AdamW", AdamW.defaults().betas(0.8, 0.95).weightDecay(0.1));
    rules.put("Lion", Lion.defaults().weightDecay(0.05));
    rules.put("MADGRAD", MADGRAD.defaults().weightDecay(0.02));
    rules.put("MirrorMADGRAD", MirrorMADGRAD.defaults().epsilon(1e-6));
    rules.put("SuppliedUpdate", new SuppliedUpdate());
    return rules;
  }

  static List<RecordedRun> all() {
    final List<RecordedRun> runs = new ArrayList<>();
    rules().forEach((name, rule) -> runs.add(odd("FixedRate over " + name, bowl -> FixedRate.of(0.01, rule))));
    rules().forEach(
        (name, rule) -> runs.add(odd("Mechanic over " + name, bowl -> Mechanic.tuning(rule).initialScale(1e-3).allowFreezing())));
    settings(runs);
    mechanic(runs);
    parameterFree(runs);
    learned(runs);
    withLoss(runs);
    withCurvature(runs);
    return runs;
  }

  private static void settings(List<RecordedRun> runs) {
    final AdamW rule = AdamW.defaults().betas(0.8, 0.95).weightDecay(0.1);
    runs.add(
        odd(
            "FixedRate with groups",
            bowl -> FixedRate.of(0.01, rule).group(GROUPS[0], rule.weightDecay(0)).group(GROUPS[1], rule.betas(0.7, 0.9), 0.5)));
    runs.add(odd("FixedRate with a frozen group", bowl -> FixedRate.of(0.01, rule).group(GROUPS[0], rule, 0)));
    runs.add(odd("FixedRate clipped", bowl -> FixedRate.of(0.01, rule).clipNorm(0.25)));
    runs.add(
        odd("FixedRate with a schedule", bowl -> FixedRate.of(0.01, rule).schedule(Schedule.cosine(2, 20)).gradientMultiplier(0.5)));
    runs.add(plain("FixedRate over two tensors", bowl -> FixedRate.of(1e-3, AdamW.defaults())));
    runs.add(plain("Mechanic over two tensors", bowl -> Mechanic.tuning(AdamW.defaults()).initialScale(1e-3)));
  }

  private static void mechanic(List<RecordedRun> runs) {
    final AdamW rule = AdamW.defaults().weightDecay(0.1);
    for (Mechanic.Variant variant : Mechanic.Variant.values())
      for (Mechanic.Delta delta : Mechanic.Delta.values()) {
        if (variant == Mechanic.Variant.THEORETICAL && delta != Mechanic.Delta.STORED) continue;
        runs.add(
            odd(
                "Mechanic " + variant + " " + delta,
                bowl -> Mechanic.tuning(rule).variant(variant).delta(delta).initialScale(1e-3).allowFreezing()));
        if (variant == Mechanic.Variant.TORCH)
          runs.add(
              odd(
                  "Mechanic " + variant + " " + delta + " without decay",
                  bowl -> Mechanic.tuning(rule).variant(variant).delta(delta).decay(0).initialScale(1e-3).allowFreezing()));
      }
    for (Scope scope : Scope.values())
      runs.add(
          odd(
              "Mechanic by " + scope,
              bowl -> Mechanic.tuning(rule)
                  .scope(scope)
                  .initialScale(1e-3)
                  .allowFreezing()
                  .betas(0.9, 0.99)
                  .clipNorm(2)
                  .group(GROUPS[0], rule.weightDecay(0), 0.5)));
  }

  private static void parameterFree(List<RecordedRun> runs) {
    for (Scope scope : Scope.values()) {
      runs.add(odd("Prodigy by " + scope, bowl -> Prodigy.tuning(AdamW.defaults()).initialRate(1e-3).maxRate(0.01).scope(scope)));
      runs.add(
          odd("DAdaptation by " + scope, bowl -> DAdaptation.tuning(AdamW.defaults().betas(0.5, 0.6)).initialRate(1e-4).scope(scope)));
    }
    runs.add(odd("Prodigy sliced", bowl -> Prodigy.tuning(Adam.defaults().weightDecay(0.02)).slice(3).maxRate(0.01)));
    for (Prodigy.Displacement displacement : Prodigy.Displacement.values())
      runs.add(
          plain(
              "Prodigy displacement " + displacement,
              bowl -> Prodigy.tuning(AdamW.defaults()).displacement(displacement).initialRate(1e-3).maxRate(0.01)));
    runs.add(
        odd(
            "Prodigy with options",
            bowl -> Prodigy.tuning(AdamW.defaults().weightDecay(0.1))
                .beta3(0.9)
                .coefficient(0.5)
                .growthRate(1.1)
                .safeguardWarmup(true)
                .biasCorrection(true)
                .initialRate(1e-3)
                .clipNorm(1)
                .schedule(Schedule.cosine(2, 20))
                .group(GROUPS[0], AdamW.defaults())));
    runs.add(
        odd("DAdaptation SGD", bowl -> DAdaptation.tuning(SGD.defaults().momentum(0.9).weightDecay(0.01)).initialRate(1e-3).maxRate(0.01)));
    runs.add(
        odd("DAdaptation AdaGrad",
            bowl -> DAdaptation.tuning(AdaGrad.defaults().epsilon(1e-6)).momentum(0.9).initialRate(1e-3).maxRate(0.01)));
    runs.add(odd("MetaOptimize Lion by Lion", bowl -> MetaOptimize.tuning(Lion.defaults()).meta(Lion.defaults()).initialStepSize(1e-3)));
    runs.add(odd("DAdaptation Lion", bowl -> DAdaptation.tuning(Lion.defaults()).initialRate(1e-3).maxRate(0.01)));
    runs.add(
        odd("DAdaptation Adam corrected",
            bowl -> DAdaptation.tuning(Adam.defaults()).biasCorrection(true).initialRate(1e-3).growthRate(1.1)));
  }

  private static void learned(List<RecordedRun> runs) {
    for (MetaOptimize.Variant variant : MetaOptimize.Variant.values())
      runs.add(
          odd(
              "MetaOptimize " + variant,
              bowl -> MetaOptimize.tuning(AdamW.defaults().weightDecay(0.1)).variant(variant).initialStepSize(1e-3)));
    for (Scope scope : Scope.values())
      runs.add(
          odd("MetaOptimize by " + scope,
              bowl -> MetaOptimize.tuning(Lion.defaults()).metaStepSize(0.1).initialStepSize(1e-3).scope(scope)));
    runs.add(
        odd(
            "MetaOptimize per weight",
            bowl -> MetaOptimize.tuning(SGD.defaults()).perWeight().gamma(0.99).stepSizeBounds(1e-4, 0.1).initialStepSize(1e-3)));
    for (MetaCurvature curvature : new MetaCurvature[] {MetaCurvature.DIAGONAL, MetaCurvature.DIAGONAL_RECTIFIED})
      runs.add(
          diagonal(
              "MetaOptimize with curvature " + curvature,
              bowl -> MetaOptimize.tuning(SGD.defaults()).curvature(curvature).largestChange(1.5).initialStepSize(0.9)));
    runs.add(
        diagonal(
            "MetaOptimize two by two",
            bowl -> MetaOptimize.tuning(SGD.defaults())
                .meta(SGD.defaults())
                .curvature(MetaCurvature.DIAGONAL)
                .approximation(MetaOptimize.Approximation.TWO_BY_TWO)
                .initialStepSize(1e-3)));
    runs.add(diagonal("IDBD", bowl -> MetaOptimize.idbd(0.01, 1e-3)));
    for (Hypergradient.Variant variant : Hypergradient.Variant.values())
      runs.add(
          odd("Hypergradient " + variant, bowl -> Hypergradient.tuning(Adam.defaults(), 0.01, 1e-5).variant(variant).rateBounds(0, 0.05)));
    runs.add(
        odd("Hypergradient in tensor order", bowl -> Hypergradient.tuning(SGD.defaults().momentum(0.9), 0.01, 1e-4).inTensorOrder()));
    runs.add(odd("Hypergradient over MADGRAD", bowl -> Hypergradient.tuning(MADGRAD.defaults(), 0.01, 1e-5)));
    for (Scope scope : Scope.values())
      runs.add(odd("Hypergradient by " + scope, bowl -> Hypergradient.tuning(AdamW.defaults(), 0.01, 1e-5).scope(scope).clipNorm(1)));
    for (NewtonRate.Variant variant : new NewtonRate.Variant[] {NewtonRate.Variant.PAPER, NewtonRate.Variant.RELEASED})
      runs.add(odd("NewtonRate " + variant, bowl -> NewtonRate.tuning(SGD.defaults(), 0.01).variant(variant).interval(2)));
    for (Scope scope : Scope.values())
      runs.add(odd("NewtonRate by " + scope, bowl -> NewtonRate.tuning(AdamW.defaults(), 0.01).interval(4).scope(scope)));
  }

  private static void withLoss(List<RecordedRun> runs) {
    runs.add(odd("MoMo", bowl -> MoMo.tuning(SGD.defaults().momentum(0.9).weightDecay(0.01)).maxRate(0.1)));
    runs.add(
        odd("MoMo estimating", bowl -> MoMo.tuning(SGD.defaults().momentum(0.9)).maxRate(0.1).biasCorrection(true).estimateBound(true)));
    for (MoMo.Variant variant : MoMo.Variant.values())
      runs.add(odd("MoMo-Adam " + variant, bowl -> MoMo.tuning(AdamW.defaults()).variant(variant).maxRate(0.1).bound(-0.5)));
    for (MoMo.Decay decay : MoMo.Decay.values())
      runs.add(odd("MoMo-Adam decay " + decay, bowl -> MoMo.tuning(AdamW.defaults().weightDecay(0.1)).decay(decay).maxRate(0.1)));
    runs.add(odd("moving target", bowl -> MovingTarget.tuning(SGD.defaults().momentum(0.9)).baseRate(0.01).parts(3)));
    runs.add(
        odd("moving target given", bowl -> MovingTarget.tuning(SGD.defaults()).baseRate(0.01).parts(4).target(0.125).targetRate(0.01)));
    runs.add(odd("Polyak", bowl -> Polyak.tuning(SGD.defaults().momentum(0.9)).maxRate(0.05)));
    runs.add(odd("Polyak along the update", bowl -> Polyak.tuning(AdamW.defaults()).maxRate(10).alongUpdate()));
    runs.add(odd("Armijo", bowl -> Armijo.tuning(SGD.defaults(), bowl::loss).firstGuess(0.5)));
    runs.add(odd("Armijo over AdamW", bowl -> Armijo.tuning(AdamW.defaults(), bowl::loss).increase(1.5).decrease(0.5).firstGuess(0.1)));
  }

  private static void withCurvature(List<RecordedRun> runs) {
    runs.add(odd("CDAT", bowl -> CDAT.tuning(SGD.defaults().momentum(0.9)).curvature(bowl::along).maxRate(0.05)));
    runs.add(odd("CDAT with products", bowl -> CDAT.tuning(AdamW.defaults()).hessian(bowl::hessian).ema(0.9).every(2).maxRate(10)));
    runs.add(plain("CDAT by differences", bowl -> CDAT.tuning(RMSProp.defaults()).finiteDifference(bowl::gradient, 0.0625).maxRate(0.05)));
    runs.add(odd("QuadraticallyGreedy", bowl -> CDAT.quadraticallyGreedy(Adam.defaults()).curvature(bowl::along).maxRate(0.05)));
    runs.add(odd("ExactSharpness", bowl -> ExactSharpness.tuning(SGD.defaults(), bowl::hessian).every(3).maxRate(0.05)));
  }
}
