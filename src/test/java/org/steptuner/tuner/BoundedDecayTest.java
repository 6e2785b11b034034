// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.Schedule;
import org.steptuner.Scope;
import org.steptuner.StepReport;
import org.steptuner.TestOptimizers;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.TestTensors;
import org.steptuner.rule.AdEMAMix;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Adan;
import org.steptuner.rule.Lion;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.rule.ScheduleFreeAdamW;
import org.steptuner.rule.ScheduleFreeSGD;

/** Decoupled weight decay shrinks parameters, and never turns them around, whatever the rate is. */
class BoundedDecayTest {
  private static final Device CPU = Device.cpu(1);
  private static final double LARGE = 300; // times a decay of 0.01: more than 1

  /** Where a run ends, and what its reports said. */
  private record End(double x, double scale, long bounded, long skipped) {}

  /** On half |x - target|^2, from 0. */
  private static End descend(TunerBuilder<?> builder, DataType type, double target, int dimensions, int steps) {
    try (TestTensors tensors = TestTensors.of(type, dimensions); Optimizer optimizer = builder.build(tensors.on(CPU))) {
      long bounded = 0;
      for (int step = 1; step <= steps; ++step) {
        tensors.gradients(i -> tensors.parameters(0).get(i) - target);
        if (optimizer.step().decayBounded()) ++bounded;
      }
      final StepReport report = optimizer.report();
      return new End(tensors.values()[dimensions - 1], report.learnedScale(), bounded, report.skippedSteps());
    }
  }

  private static void assertBoundRescues(Supplier<TunerBuilder<?>> builder, double target, int dimensions, double furthest) {
    for (DataType type : new DataType[] {DataType.FLOAT32, DataType.FLOAT64, DataType.BFLOAT16}) {
      final String what = builder.get().description() + ", target " + target + ", " + dimensions + " " + type;
      final End end = descend(builder.get(), type, target, dimensions, 2000);
      assertTrue(Math.abs(end.x) < furthest, what + ": " + end);
      assertTrue(end.bounded > 100, what + ": " + end);
      assertEquals(0, end.skipped, what);
    }
    final End released = descend(builder.get().boundedDecay(false), DataType.FLOAT32, target, dimensions, 2000);
    assertTrue(Math.abs(released.x) > 1e18, "released: " + released);
    assertTrue(released.skipped > 0 && released.bounded == 0, "released: " + released);
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 10, 100})
  void learnedRatesDoNotBlowUp(int dimensions) {
    assertBoundRescues(() -> DAdaptation.tuning(AdamW.defaults()), 8, dimensions, 1500);
    assertBoundRescues(() -> DAdaptation.tuning(AdamW.defaults()), 1000, dimensions, 1.2e5);
    assertBoundRescues(() -> DAdaptation.tuning(Lion.defaults().weightDecay(0.01)), 8, dimensions, 1500);
    assertBoundRescues(() -> DAdaptation.tuning(Adan.defaults().noProx(true).weightDecay(0.01)), 8, dimensions, 1500);
    assertBoundRescues(() -> Prodigy.tuning(AdamW.defaults()), 1000, dimensions, 1500);
  }

  /** Prodigy comes near; without a decay both arrive. */
  @Test
  void prodigyComesNearAndWithoutDecayBothArrive() {
    final End prodigy = descend(Prodigy.tuning(AdamW.defaults()), DataType.FLOAT64, 1000, 3, 2000);
    assertEquals(1000, prodigy.x, 100, prodigy.toString());
    final AdamW plain = AdamW.defaults().weightDecay(0);
    assertEquals(1000, descend(Prodigy.tuning(plain), DataType.FLOAT64, 1000, 3, 2000).x, 10);
    assertEquals(1000, descend(DAdaptation.tuning(plain), DataType.FLOAT64, 1000, 3, 2000).x, 10);
    final End limited = descend(DAdaptation.tuning(AdamW.defaults()).maxRate(20), DataType.FLOAT64, 8, 3, 2000);
    assertEquals(8, limited.x, 1, limited.toString());
    assertEquals(0, limited.bounded);
  }

  private static Stream<Configuration> configurations() {
    final Map<String, Rule> rules = new LinkedHashMap<>();
    rules.put("AdamW", AdamW.defaults().weightDecay(0.01));
    rules.put("AdEMAMix", AdEMAMix.defaults().weightDecay(0.01));
    rules.put("Lion", Lion.defaults().weightDecay(0.01));
    rules.put("Adan without prox", Adan.defaults().weightDecay(0.01).noProx(true));
    final Map<String, Function<Rule, TunerBuilder<?>>> tuners = new LinkedHashMap<>();
    tuners.put("FixedRate", rule -> FixedRate.of(LARGE, rule));
    tuners.put("a schedule", rule -> FixedRate.of(1, rule).schedule(Schedule.of(LARGE, LARGE)));
    tuners.put("a schedule of the decay", rule -> FixedRate.of(1, rule).decaySchedule(Schedule.of(LARGE, LARGE)));
    for (TestOptimizers.Form form : TestOptimizers.forms())
      if (form.variant() != Mechanic.Variant.THEORETICAL) // begins with the scale 0
        tuners.put("Mechanic " + form, rule -> form.over(rule).initialScale(form.variant() == Mechanic.Variant.TORCH ? 3 : LARGE));
    tuners.put("Hypergradient", rule -> Hypergradient.tuning(rule, LARGE, 1e-9));
    tuners.put("NewtonRate", rule -> NewtonRate.tuning(rule, LARGE).interval(10));
    tuners.put("Armijo", rule -> Armijo.tuning(rule, () -> 0).firstGuess(LARGE));
    tuners.put("CDAT", rule -> CDAT.tuning(rule).curvature(u -> 1e-9).maxRate(LARGE));
    tuners.put("ExactSharpness", rule -> ExactSharpness.tuning(rule, (v, to) -> {}).maxRate(LARGE));
    tuners.put("Polyak", rule -> Polyak.tuning(rule).maxRate(LARGE));
    tuners.put("MetaOptimize", rule -> MetaOptimize.tuning(rule).initialStepSize(LARGE));
    tuners.put("MetaOptimize, package",
        rule -> MetaOptimize.tuning(rule).variant(MetaOptimize.Variant.PACKAGE).initialStepSize(LARGE));
    tuners.put("MoMo", rule -> MoMo.tuning(rule).decay(MoMo.Decay.MULTIPLY).maxRate(LARGE));
    tuners.put("D-Adaptation", rule -> DAdaptation.tuning(rule).initialRate(LARGE));
    tuners.put("Prodigy", rule -> Prodigy.tuning(rule).initialRate(LARGE));
    final Stream.Builder<Configuration> all = Stream.builder();
    tuners.forEach((name, tuner) -> rules.forEach((ruleName, rule) -> {
      final Supplier<TunerBuilder<?>> builder = () -> tuner.apply(rule);
      if (fits(builder)) all.add(new Configuration(name + " over " + ruleName, builder));
    }));
    for (Rule rule : new Rule[] {ScheduleFreeSGD.defaults().weightDecay(0.01), ScheduleFreeAdamW.defaults().weightDecay(0.01)})
      all.add(new Configuration("FixedRate over " + rule, () -> FixedRate.of(LARGE, rule)));
    all.add(new Configuration("Prodigy over Schedule-Free AdamW",
        () -> Prodigy.tuning(ScheduleFreeAdamW.defaults().weightDecay(0.01)).initialRate(LARGE)));
    return all.build();
  }

  private static boolean fits(Supplier<TunerBuilder<?>> builder) {
    try (TestTensors tensors = TestTensors.of(DataType.FLOAT64, 1); Optimizer optimizer = builder.get().build(tensors.on(CPU))) {
      return optimizer.steps() == 0;
    } catch (IllegalArgumentException otherRule) {
      return false;
    }
  }

  /** How far two elements with the same gradients are from each other after a step, if they were 1 apart: 1 - rate x decay. */
  private static double kept(TunerBuilder<?> builder, boolean bounded) {
    try (TestTensors tensors = TestTensors.of(DataType.FLOAT64, 2).parameters(i -> 3 + i).gradients(i -> 1);
        Optimizer optimizer = builder.boundedDecay(bounded).build(tensors.on(CPU))) {
      final StepReport report = optimizer.step(1e6);
      assertFalse(report.skipped(), report.toString());
      assertEquals(bounded, report.decayBounded(), report.toString());
      assertEquals(bounded, report.copy().decayBounded());
      return tensors.values()[1] - tensors.values()[0];
    }
  }

  @ParameterizedTest
  @MethodSource("configurations")
  void noTunerTurnsParametersAround(Configuration configuration) {
    final double kept = kept(configuration.builder().get(), true);
    assertTrue(kept >= -1e-9 && kept <= 1, configuration + ": " + kept);
    assertTrue(kept(configuration.builder().get(), false) < -0.5, configuration + ": as released");
  }

  /** A group's factor, and a scope of its own, count: those that are within the bound keep their decay. */
  @Test
  void everyGroupHasItsOwnBound() {
    for (boolean scoped : new boolean[] {false, true}) {
      final Rule rule = Lion.defaults().weightDecay(0.01);
      final TunerBuilder<?> builder =
          scoped ? Hypergradient.tuning(rule, 40, 0).scope(Scope.TENSOR).group("fast", rule, 5)
              : FixedRate.of(40, rule).group("fast", rule, 5);
      try (TestTensors tensors = new TestTensors()
          .add("a", DataType.FLOAT64, 1).group("fast").add("b", DataType.FLOAT64, 1).group("default").add("c", DataType.FLOAT64, 1)
          .parameters(i -> 2);
          Optimizer optimizer = builder.build(tensors.on(CPU))) {
        assertTrue(optimizer.step().decayBounded());
        assertEquals(2 - 0.4 * 2, tensors.parameters(0).get(0), 1e-15);
        assertEquals(0, tensors.parameters(1).get(0), 1e-15);
        assertEquals(2 - 0.4 * 2, tensors.parameters(2).get(0), 1e-15);
      }
    }
  }

  /** A proximal decay cannot turn parameters around, and stays as it is. */
  @Test
  void proximalDecayIsNotLowered() {
    try (TestTensors tensors = TestTensors.of(DataType.FLOAT64, 1).parameters(i -> 2);
        Optimizer optimizer = FixedRate.of(LARGE, Adan.defaults().weightDecay(0.01)).build(tensors.on(CPU))) {
      assertFalse(optimizer.step().decayBounded());
      assertEquals(2 / (1 + LARGE * 0.01), tensors.values()[0], 1e-12);
    }
  }

  /** A rate below 0, which some tuners may learn, would make parameters grow by their decay. */
  @Test
  void aNegativeRateHasNoDecay() {
    try (TestTensors tensors = TestTensors.of(DataType.FLOAT64, 1).parameters(i -> 2);
        Optimizer optimizer = Hypergradient.tuning(Lion.defaults().weightDecay(0.01), 1, 1).build(tensors.on(CPU))) {
      tensors.gradients(i -> 1);
      optimizer.step();
      tensors.gradients(i -> -10);
      final double before = tensors.values()[0];
      final StepReport report = optimizer.step();
      assertTrue(report.learnedScale() < 0 && report.decayBounded(), report.toString());
      // The sign of the average is that of -0.1 x 10 + 0.9 x 0.01: up by the rule, down by the rate.
      assertEquals(before + report.learnedScale(), tensors.values()[0], 1e-12);
    }
  }

  /** Within the bound every bit is what it is without one. */
  @ParameterizedTest
  @MethodSource("org.steptuner.TestOptimizers#all")
  void withinTheBoundNothingChanges(Configuration configuration) {
    final TunerBuilder<?> one = configuration.builder().get();
    final TunerBuilder<?> other = configuration.builder().get().boundedDecay(false);
    try (TestTensors a = TestTensors.of(DataType.FLOAT32, 300).parameters(i -> 1 + i % 3);
        TestTensors b = TestTensors.of(DataType.FLOAT32, 300).parameters(i -> 1 + i % 3);
        Optimizer bounded = one.build(a.on(CPU));
        Optimizer released = other.build(b.on(CPU))) {
      for (int step = 1; step <= 5; ++step) {
        final int now = step;
        a.gradients(i -> Math.sin(i + now));
        b.gradients(i -> Math.sin(i + now));
        assertFalse(bounded.step().decayBounded());
        released.step();
      }
      a.assertSameParameters(b, configuration.name());
    }
  }

  @Test
  void coupledDecayIsPartOfTheDirection() {
    try (TestTensors tensors = TestTensors.of(DataType.FLOAT64, 1).parameters(i -> 2);
        Optimizer optimizer = FixedRate.of(LARGE, SGD.defaults().weightDecay(0.01)).build(tensors.on(CPU))) {
      assertFalse(optimizer.step().decayBounded());
      assertEquals(2 - LARGE * 0.01 * 2, tensors.values()[0], 1e-12);
    }
  }
}
