// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.AdEMAMix;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Adan;
import org.steptuner.rule.Lion;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.MirrorMADGRAD;
import org.steptuner.rule.ModernizedDualAveraging;
import org.steptuner.rule.PrimalAveraging;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.ScheduleFreeAdamW;
import org.steptuner.rule.ScheduleFreeSGD;
import org.steptuner.rule.SGD;
import org.steptuner.rule.SuppliedUpdate;
import org.steptuner.tuner.DAdaptation;
import org.steptuner.tuner.DistanceAdaptation;
import org.steptuner.tuner.DoG;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.GradaGrad;
import org.steptuner.tuner.Hypergradient;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.MetaOptimize;
import org.steptuner.tuner.MoMo;
import org.steptuner.tuner.MovingTarget;
import org.steptuner.tuner.NewtonRate;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** Every rule, and every tuner over it, with values that no term of a formula can hide behind. */
public final class TestOptimizers {
  /** A tuner over a rule; every call of the builder gives a new one. */
  public record Configuration(String name, Supplier<TunerBuilder<?>> builder) {
    public Optimizer build(ParameterSet parameters) {
      return builder.get().build(parameters);
    }

    /** The same with state of 16 bits. */
    public Configuration narrow() {
      return new Configuration(name + ", 16-bit state", () -> TestOptimizers.narrow(builder.get()));
    }

    @Override
    public String toString() {
      return name;
    }
  }

  /** The same builder for state of 16 bits. */
  public static TunerBuilder<?> narrow(TunerBuilder<?> builder) {
    return builder.stateStorage(DataType.BFLOAT16).roundingSeed(7);
  }

  /** Mechanic in one of its forms. */
  public record Form(Mechanic.Variant variant, double decay, Mechanic.Delta delta) {
    public Mechanic over(Rule rule) {
      return Mechanic.tuning(rule).variant(variant).decay(decay).delta(delta).allowFreezing();
    }

    @Override
    public String toString() {
      return variant + (decay == 0 ? " without decay" : "") + " " + delta;
    }
  }

  private TestOptimizers() {}

  public static Map<String, Rule> rules() {
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
    rules.put("AdEMAMix", AdEMAMix.defaults().betas(0.8, 0.95, 0.99).alpha(1).warmup(7).weightDecay(0.1));
    rules.put("Lion", Lion.defaults().weightDecay(0.05));
    rules.put("MADGRAD", MADGRAD.defaults().weightDecay(0.02));
    rules.put("MirrorMADGRAD", MirrorMADGRAD.defaults().epsilon(1e-6));
    rules.put("ModernizedDualAveraging", ModernizedDualAveraging.defaults().weightDecay(0.02));
    rules.put("PrimalAveraging", PrimalAveraging.defaults().weightDecay(0.02));
    rules.put("Adan", Adan.defaults().betas(0.9, 0.8, 0.95).weightDecay(0.05));
    rules.put("Adan without prox", Adan.defaults().epsilon(1e-6).weightDecay(0.05).noProx(true));
    rules.put("Schedule-Free SGD", ScheduleFreeSGD.defaults().beta1(0.8).stepPower(0.5).weightDecay(0.02));
    rules.put("Schedule-Free AdamW", ScheduleFreeAdamW.defaults().betas(0.8, 0.95).stepPower(0.5).weightDecay(0.1));
    rules.put("SuppliedUpdate", new SuppliedUpdate());
    return rules;
  }

  public static List<Form> forms() {
    final List<Form> forms = new ArrayList<>();
    for (Mechanic.Delta delta : Mechanic.Delta.values()) {
      forms.add(new Form(Mechanic.Variant.OPTAX, 0.01, delta));
      forms.add(new Form(Mechanic.Variant.TORCH, 0.01, delta));
      forms.add(new Form(Mechanic.Variant.TORCH, 0, delta));
    }
    forms.add(new Form(Mechanic.Variant.THEORETICAL, 0.01, Mechanic.Delta.STORED));
    return forms;
  }

  public static List<Configuration> fixedRates() {
    final List<Configuration> all = new ArrayList<>();
    rules().forEach((name, rule) -> all.add(new Configuration(name, () -> FixedRate.of(0.01, rule))));
    return all;
  }

  public static List<Configuration> mechanics() {
    final List<Configuration> all = new ArrayList<>();
    for (Form form : forms())
      rules().forEach((name, rule) -> all.add(new Configuration("Mechanic " + form + " over " + name, () -> form.over(rule))));
    return all;
  }

  /** Mechanic in every form over one rule with state. */
  public static List<Configuration> mechanicsOverAdamW() {
    return mechanics().stream().filter(c -> c.name.endsWith("over AdamW")).toList();
  }

  public static List<Configuration> all() {
    final List<Configuration> all = new ArrayList<>(fixedRates());
    all.addAll(mechanics());
    return all;
  }

  /** The other tuners, which have contract tests of their own; some need a loss. Rates are held where gradients do not depend on x. */
  public static List<Configuration> others() {
    final Map<String, Supplier<TunerBuilder<?>>> others = new LinkedHashMap<>();
    others.put("Prodigy", () -> Prodigy.tuning(AdamW.defaults()).maxRate(0.01));
    others.put("Prodigy sliced", () -> Prodigy.tuning(Adam.defaults().weightDecay(0.02)).slice(3).maxRate(0.01));
    others.put("Prodigy over Schedule-Free", () -> Prodigy.tuning(ScheduleFreeAdamW.defaults()).maxRate(0.01));
    others.put("D-Adaptation SGD", () -> DAdaptation.tuning(SGD.defaults().momentum(0.9).weightDecay(0.01)).maxRate(0.01));
    others.put("D-Adaptation Adam", () -> DAdaptation.tuning(AdamW.defaults()).maxRate(0.01));
    others.put("D-Adaptation AdaGrad", () -> DAdaptation.tuning(AdaGrad.defaults().epsilon(1e-6)).maxRate(0.01));
    others.put("D-Adaptation Lion", () -> DAdaptation.tuning(Lion.defaults()).maxRate(0.01));
    others.put("D-Adaptation Adan", () -> DAdaptation.tuning(Adan.defaults().weightDecay(0.02)).maxRate(0.01));
    others.put("D-Adaptation, dual averaging", () -> DAdaptation.dualAveraging().maxRate(0.01));
    others.put("D-Adaptation, gradient descent", () -> DAdaptation.gradientDescent().maxRate(0.01).averaging(false));
    others.put("Resetting", () -> DAdaptation.dualAveraging().resetting().maxRate(0.01));
    others.put("Prodigy, gradient descent", () -> Prodigy.gradientDescent().maxRate(0.01));
    others.put("Prodigy, dual averaging", () -> Prodigy.dualAveraging().maxRate(0.01));
    others.put("MoMo", () -> MoMo.tuning(SGD.defaults().momentum(0.9)).maxRate(0.01));
    others.put("MoMo-Adam", () -> MoMo.tuning(AdamW.defaults()).maxRate(0.01));
    others.put("MoMo over RMSProp", () -> MoMo.tuning(RMSProp.defaults().momentum(0.9)).maxRate(0.01));
    others.put("MoMo over AdaGrad", () -> MoMo.tuning(AdaGrad.defaults()).maxRate(0.01));
    others.put("MetaOptimize", () -> MetaOptimize.tuning(AdamW.defaults()).initialStepSize(1e-3));
    others.put("Hypergradient", () -> Hypergradient.tuning(AdamW.defaults(), 0.01, 1e-6).rateBounds(0, 0.02));
    others.put("GradaGrad", () -> GradaGrad.tuning(SGD.defaults().weightDecay(0.02), 0.1).r(0.3).maxGrowth(10));
    others.put("GradaGrad with momentum", () -> GradaGrad.tuning(SGD.defaults().momentum(0.9), 0.1).maxGrowth(10));
    others.put("GradaGrad diagonal",
        () -> GradaGrad.tuning(SGD.defaults().momentum(0.9).weightDecay(0.02), 0.01).form(GradaGrad.Form.DIAGONAL).maxGrowth(10));
    others.put("AdaGrad-Norm", () -> GradaGrad.adaGradNorm(SGD.defaults(), 0.1));
    others.put("DoG", () -> DoG.tuning(SGD.defaults().weightDecay(0.02)).relativeDistance(1e-3).factor(0.1).averaging(8));
    others.put("DoWG", () -> DoG.weighted(SGD.defaults()).relativeDistance(1e-3).factor(0.1));
    others.put("moving target", () -> MovingTarget.tuning(SGD.defaults().momentum(0.9)).baseRate(0.01).parts(3));
    others.put("given targets", () -> MovingTarget.tuning(SGD.defaults().momentum(0.9)).baseRate(0.01).targets(0.1, 0.2, 0.3));
    final List<Configuration> all = new ArrayList<>();
    others.forEach((name, builder) -> all.add(new Configuration(name, builder)));
    return all;
  }

  /** The same builder with another scope; null for a tuner that has none. */
  public static TunerBuilder<?> scope(TunerBuilder<?> builder, Scope scope) {
    if (builder instanceof Mechanic one) return one.scope(scope);
    if (builder instanceof Prodigy one) return one.scope(scope);
    if (builder instanceof DAdaptation one) return one.scope(scope);
    if (builder instanceof DistanceAdaptation one) return one.scope(scope);
    if (builder instanceof MetaOptimize one) return one.scope(scope);
    if (builder instanceof Hypergradient one) return one.scope(scope);
    if (builder instanceof GradaGrad one) return one.scope(scope);
    if (builder instanceof DoG one) return one.scope(scope);
    if (builder instanceof NewtonRate one) return one.scope(scope);
    return null;
  }

  /** Every rule at a fixed rate, and every form of Mechanic over AdamW: where rules and forms need not meet. */
  public static List<Configuration> some() {
    final List<Configuration> some = new ArrayList<>(fixedRates());
    some.addAll(mechanicsOverAdamW());
    return some;
  }
}
