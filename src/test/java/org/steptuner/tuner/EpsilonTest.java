// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.StepReport;
import org.steptuner.TestOptimizers;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.TestTensors;
import org.steptuner.rule.AdEMAMix;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Adan;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.MirrorMADGRAD;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.rule.ScheduleFreeAdamW;

/** Every rule and tuner where it divides by next to nothing: epsilon 0 or too small for the type, and gradients whose squares vanish. */
class EpsilonTest {
  private static final Device CPU = Device.cpu(1);
  private static final double[] EPSILONS = {0, 1e-320, 1e-50, 1e-40};
  private static final double[] LARGEST = {10, 1e-15, 1e-20, 1e-155};
  private static final int COUNT = 60;

  /** Rules that have an epsilon, by its value. */
  private static Map<String, Function<Double, Rule>> rules() {
    final Map<String, Function<Double, Rule>> rules = new LinkedHashMap<>();
    rules.put("Adam", e -> Adam.defaults().epsilon(e));
    rules.put("AdamW", e -> AdamW.defaults().epsilon(e));
    rules.put("AdEMAMix", e -> AdEMAMix.defaults().epsilon(e));
    rules.put("Adan", e -> Adan.defaults().epsilon(e));
    rules.put("RMSProp", e -> RMSProp.defaults().epsilon(e));
    rules.put("RMSProp with momentum", e -> RMSProp.defaults().momentum(0.9).epsilon(e));
    rules.put("RMSProp, epsilon inside", e -> RMSProp.defaults().epsilon(e).epsilonInsideRoot(true));
    rules.put("AdaGrad", e -> AdaGrad.defaults().epsilon(e));
    rules.put("MADGRAD", e -> MADGRAD.defaults().epsilon(e));
    rules.put("MirrorMADGRAD", e -> MirrorMADGRAD.defaults().epsilon(e));
    rules.put("Schedule-Free AdamW", e -> ScheduleFreeAdamW.defaults().epsilon(e));
    return rules;
  }

  /** Whether the tuner goes over the rule at all. */
  private static boolean fits(Supplier<TunerBuilder<?>> builder) {
    try (TestTensors tensors = TestTensors.of(DataType.FLOAT64, 1); Optimizer optimizer = builder.get().build(tensors.on(CPU))) {
      return optimizer.steps() == 0;
    } catch (IllegalArgumentException otherRule) {
      return false;
    }
  }

  /** Tuners over rules that have an epsilon, which is given. */
  private static List<Configuration> configurations(double epsilon) {
    final Map<String, Function<Rule, TunerBuilder<?>>> tuners = new LinkedHashMap<>();
    tuners.put("FixedRate", rule -> FixedRate.of(0.01, rule));
    for (TestOptimizers.Form form : TestOptimizers.forms()) tuners.put("Mechanic " + form, form::over);
    for (Prodigy.Displacement displacement : Prodigy.Displacement.values())
      tuners.put("Prodigy " + displacement, rule -> Prodigy.tuning(rule).displacement(displacement).maxRate(0.1));
    tuners.put("D-Adaptation", rule -> DAdaptation.tuning(rule).maxRate(0.1));
    tuners.put("MoMo", rule -> MoMo.tuning(rule).maxRate(0.1));
    tuners.put("MetaOptimize", rule -> MetaOptimize.tuning(rule).variant(MetaOptimize.Variant.PACKAGE));
    tuners.put("Hypergradient", rule -> Hypergradient.tuning(rule, 0.01, 1e-6));
    tuners.put("Hypergradient by cosine",
        rule -> Hypergradient.tuning(rule, 0.01, 1e-3).variant(Hypergradient.Variant.MULTIPLICATIVE));
    for (NewtonRate.Variant variant : NewtonRate.Variant.values())
      tuners.put("NewtonRate " + variant, rule -> newton(rule, variant));
    tuners.put("Polyak", rule -> Polyak.tuning(rule).maxRate(0.1));
    tuners.put("Polyak along the update", rule -> Polyak.tuning(rule).maxRate(0.1).alongUpdate());
    tuners.put("Armijo", rule -> Armijo.tuning(rule, () -> 0.5));
    tuners.put("CDAT", rule -> CDAT.tuning(rule).curvature(u -> 1).maxRate(0.1));
    final List<Configuration> all = new ArrayList<>();
    tuners.forEach((name, tuner) -> rules().forEach((ruleName, rule) -> {
      if (fits(() -> tuner.apply(rule.apply(1e-8))))
        all.add(new Configuration(name + " over " + ruleName + ", epsilon " + epsilon, () -> tuner.apply(rule.apply(epsilon))));
    }));
    for (String meta : List.of("sgd", "rmsprop", "adam"))
      if (epsilon > 0)
        all.add(new Configuration("MetaOptimize per weight by " + meta + ", epsilon " + epsilon,
            () -> MetaOptimize.tuning(AdamW.defaults()).perWeight().epsilon(epsilon).meta(meta(meta))));
    if (epsilon > 0)
      all.add(new Configuration("MetaOptimize, epsilon " + epsilon, () -> MetaOptimize.tuning(AdamW.defaults()).epsilon(epsilon)));
    all.add(new Configuration("Polyak over SGD, unlimited", () -> Polyak.tuning(SGD.defaults()).maxRate(Double.POSITIVE_INFINITY)));
    all.add(new Configuration("targets, unlimited", () -> MovingTarget.tuning(SGD.defaults()).targets(0)));
    all.add(new Configuration("CDAT over SGD, unlimited", () -> CDAT.tuning(SGD.defaults()).curvature(u -> 1e-300)));
    all.add(new Configuration("DoG, epsilon " + epsilon, () -> DoG.tuning(SGD.defaults()).epsilon(epsilon)));
    all.add(new Configuration("DoWG, epsilon " + epsilon, () -> DoG.weighted(SGD.defaults()).epsilon(epsilon)));
    all.add(new Configuration("L-DoG, epsilon " + epsilon, () -> DoG.layerwise(SGD.defaults()).epsilon(epsilon)));
    all.add(new Configuration("CDAT, epsilon " + epsilon, () -> CDAT.tuning(SGD.defaults()).curvature(u -> 0).epsilon(epsilon).maxRate(1)));
    if (epsilon > 0)
      for (Mechanic.Variant variant : Mechanic.Variant.values())
        all.add(new Configuration("Mechanic " + variant + ", its epsilon " + epsilon,
            () -> Mechanic.tuning(SGD.defaults()).variant(variant).epsilon(epsilon)));
    return all;
  }

  private static NewtonRate newton(Rule rule, NewtonRate.Variant variant) {
    final boolean first = variant.name().startsWith("FIRST");
    return first ? NewtonRate.firstOrder(rule, 0.01, variant, 1e-3).interval(2)
        : NewtonRate.tuning(rule, 0.01).variant(variant).interval(2);
  }

  private static Rule meta(String kernel) {
    return switch (kernel) {
      case "sgd" -> SGD.defaults();
      case "rmsprop" -> RMSProp.defaults();
      default -> Adam.defaults();
    };
  }

  static Stream<Configuration> all() {
    final Stream<Configuration> own = Arrays.stream(EPSILONS).boxed().flatMap(e -> configurations(e).stream());
    // D-Adaptation SGD is given a decay there, and divides it by the norm of the first gradient.
    final Stream<Configuration> others = TestOptimizers.others().stream().filter(c -> !c.name().equals("D-Adaptation SGD"));
    return Stream.concat(own, Stream.concat(others, TestOptimizers.some().stream()));
  }

  /** Gradients of all sizes whose squares are 0, subnormal or small in the type, and elements that never have any. */
  private static double gradient(DataType type, int i, int step) {
    final double[] sizes = type == DataType.FLOAT64 ? new double[] {0, 1e-170, 1e-320, 3e-160, 1e-150, 1}
        : type == DataType.FLOAT16 ? new double[] {0, 6e-8, 1e-4, 1} : new double[] {0, 1e-30, 1e-40, 3e-22, 1e-18, 1};
    return sizes[i % sizes.length] * (1 + (i + step) % 3);
  }

  @ParameterizedTest
  @MethodSource("all")
  void everyParameterStaysFinite(Configuration configuration) {
    for (DataType type : new DataType[] {DataType.FLOAT32, DataType.FLOAT64, DataType.BFLOAT16})
      for (double largest : LARGEST) {
        final String what = configuration + ", " + type + ", gradients to " + largest;
        try (TestTensors tensors = new TestTensors().add("x", type, COUNT).add("y", type, 77).parameters(i -> 1 + i % 3);
            Optimizer optimizer = configuration.build(tensors.on(CPU))) {
          for (int step = 1; step <= 12; ++step) {
            final int now = step;
            tensors.gradients(i -> Math.abs(gradient(type, i, now)) > largest ? 0 : gradient(type, i, now));
            final StepReport report = optimizer.step(1.0 / step);
            // Without a limit, a rate that divides by |g|^2 may be more than a number can be.
            assertFalse(report.skipped() && !unlimited(configuration), what + ", step " + step + ": " + report);
            for (double x : tensors.values()) assertSensible(x, configuration, what, step);
          }
        } catch (IllegalArgumentException refused) {
          assertTrue(refused.getMessage().matches("(?s).*(epsilon .* too small|FLOAT32 or FLOAT64 parameters).*"), refused.getMessage());
        }
      }
  }

  private static boolean unlimited(Configuration configuration) {
    return configuration.name().matches(".*(unlimited|given targets).*");
  }

  private static void assertSensible(double x, Configuration configuration, String what, int step) {
    // Those that are known to run away where gradients do not depend on x, or are next to nothing beside a decay.
    final boolean runsAway = unlimited(configuration) || configuration.name().matches(".*(RELEASED|THEORETICAL).*");
    assertTrue(Math.abs(x) < (runsAway ? Double.POSITIVE_INFINITY : 1e8), () -> what + ", step " + step + ": x is " + x);
  }

  /** An element without a gradient stays; the others go as they go with an epsilon that is too small to matter. */
  @Test
  void epsilonZeroIsTheScaleFreeRule() {
    rules().forEach((name, rule) -> {
      if (name.contains("MADGRAD")) return; // epsilon is in the weights too
      for (DataType type : new DataType[] {DataType.FLOAT32, DataType.FLOAT64}) {
        try (TestTensors zero = TestTensors.of(type, COUNT).parameters(i -> 1 + i % 3);
            TestTensors small = TestTensors.of(type, COUNT).parameters(i -> 1 + i % 3);
            Optimizer one = FixedRate.of(0.01, rule.apply(0.0).withoutDecay()).build(zero.on(CPU));
            Optimizer other = FixedRate.of(0.01, rule.apply(1e-20).withoutDecay()).build(small.on(CPU))) {
          for (int step = 1; step <= 5; ++step) {
            final int now = step;
            for (TestTensors tensors : List.of(zero, small)) tensors.gradients(i -> i % 4 == 0 ? 0 : 1 + Math.sin(i + now));
            one.step();
            other.step();
          }
          for (int i = 0; i < COUNT; i += 4) assertEquals(1 + i % 3, zero.parameters(0).get(i), name);
          if (type == DataType.FLOAT32) zero.assertSameParameters(small, name);
          for (int i = 0; i < COUNT; ++i) assertEquals(small.parameters(0).get(i), zero.parameters(0).get(i), 1e-8, name);
        }
      }
    });
  }
}
