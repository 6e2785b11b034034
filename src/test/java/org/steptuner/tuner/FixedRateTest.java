// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.steptuner.Device;
import org.steptuner.NonFinite;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.Schedule;
import org.steptuner.StepReport;
import org.steptuner.TestOptimizers;
import org.steptuner.TestTensors;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.rule.SuppliedUpdate;

/** A rule at a fixed rate: groups, factors, schedules, the report, and what a step costs. */
class FixedRateTest {
  private static final Device CPU = Device.cpu(1);

  @ParameterizedTest
  @CsvSource({
    "SGD, 4, 3", "momentum, 6, 5", "Nesterov, 6, 5", "RMSProp, 6, 5", "RMSProp with momentum, 8, 7", "AdaGrad, 6, 5", "Adam, 8, 7",
    "AdamW, 8, 7", "AdEMAMix, 10, 9", "Adan, 12, 11", "Lion, 6, 5", "PrimalAveraging, 6, 5", "ModernizedDualAveraging, 8, 7",
    "Schedule-Free SGD, 6, 5", "Schedule-Free AdamW, 8, 7", "SuppliedUpdate, 4, 3"
  })
  void wordsPerElement(String rule, double guarded, double unchecked) {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 4)) {
      for (NonFinite choice : NonFinite.values())
        try (Optimizer optimizer = FixedRate.of(1, TestOptimizers.rules().get(rule)).nonFinite(choice).build(tensors.on(CPU))) {
          assertEquals(choice == NonFinite.UNCHECKED ? unchecked : guarded, optimizer.wordsPerElement(), choice.name());
        }
      try (Optimizer clipping =
          FixedRate.of(1, TestOptimizers.rules().get(rule)).nonFinite(NonFinite.UNCHECKED).clipNorm(1).build(tensors.on(CPU))) {
        assertEquals(guarded, clipping.wordsPerElement(), "clipping needs the norm");
      }
    }
  }

  /** A group with a rule and a factor of its own is as if it had an optimizer of its own: the same bits. */
  @Test
  void groupsAreIndependent() {
    final AdamW decaying = AdamW.defaults().weightDecay(0.5);
    final AdamW plain = AdamW.defaults().weightDecay(0).betas(0.5, 0.9);
    try (TestTensors all =
        new TestTensors().add("w", FLOAT32, 5000).group("no decay").add("b", FLOAT32, 70).group("default").add("v", BFLOAT16, 300);
        TestTensors one = new TestTensors().add("w", FLOAT32, 5000).add("v", BFLOAT16, 300);
        TestTensors other = new TestTensors().add("b", FLOAT32, 70);
        Optimizer together = FixedRate.of(0.1, decaying).group("no decay", plain, 0.25).build(all.on(CPU));
        Optimizer first = FixedRate.of(0.1, decaying).build(one.on(CPU));
        Optimizer second = FixedRate.of(0.1 * 0.25, plain).build(other.on(CPU))) {
      all.parameters(i -> 1 + i % 5);
      one.parameters(0).copyFrom(all.parameters(0));
      one.parameters(1).copyFrom(all.parameters(2));
      other.parameters(0).copyFrom(all.parameters(1));
      for (int step = 0; step < 10; ++step) {
        final int t = step;
        all.gradients(i -> Math.sin(i * 0.7 + t));
        one.gradients(0).copyFrom(all.gradients(0));
        one.gradients(1).copyFrom(all.gradients(2));
        other.gradients(0).copyFrom(all.gradients(1));
        together.step();
        first.step();
        second.step();
      }
      TestTensors.assertSameBits(one.parameters(0), all.parameters(0), "w");
      TestTensors.assertSameBits(one.parameters(1), all.parameters(2), "v");
      TestTensors.assertSameBits(other.parameters(0), all.parameters(1), "b");
    }
  }

  @Test
  void theScheduleAndTheReport() {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 2).gradients(i -> 3 + i);
        Optimizer optimizer = FixedRate.of(0.1, SGD.defaults()).schedule(Schedule.of(1, 0.5, 0)).build(tensors.on(CPU))) {
      final StepReport report = optimizer.step(0.25);
      assertSame(report, optimizer.report());
      assertEquals(1, report.step());
      assertEquals(0.1, report.rate());
      assertEquals(0.25, report.loss());
      assertEquals(5, report.gradientNorm(), 1e-15);
      assertEquals(1, report.clipFactor());
      assertEquals(1, report.scopes());
      assertEquals(1, report.learnedScale());
      assertEquals(0, report.skippedSteps());
      final StepReport kept = report.copy();
      assertNotSame(report, kept);
      assertSame(report, optimizer.step());
      assertEquals(0.05, report.rate());
      assertTrue(Double.isNaN(report.loss()));
      assertEquals(1, kept.step(), "a copy stays as it is");
      assertEquals(0.25, kept.loss());
      optimizer.step();
      assertEquals(3, optimizer.steps());
      assertArrayEquals(new double[] {-0.45, -0.6}, tensors.values(), 1e-15);
      assertTrue(report.toString().contains("step 3"), report.toString());
      assertEquals(0, optimizer.scalars().size());
    }
  }

  @Test
  void aScheduleThatGivesNonsenseIsRefusedAndNothingMoves() {
    for (double bad : new double[] {-1e-9, Double.NaN, Double.POSITIVE_INFINITY}) {
      try (TestTensors tensors = TestTensors.of(FLOAT64, 2).gradients(i -> 1);
          Optimizer optimizer = FixedRate.of(0.1, SGD.defaults()).schedule(step -> step == 2 ? bad : 1).build(tensors.on(CPU))) {
        optimizer.step();
        final double[] before = tensors.values();
        assertRefused(IllegalStateException.class, optimizer::step, "schedule", "" + bad, "step 2");
        assertArrayEquals(before, tensors.values());
        assertEquals(1, optimizer.steps());
      }
    }
  }

  @Test
  void theNormIsUnknownWhereNobodyAsked() {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 2).gradients(i -> 1);
        Optimizer optimizer = FixedRate.of(0.1, SGD.defaults()).nonFinite(NonFinite.UNCHECKED).build(tensors.on(CPU))) {
      assertTrue(Double.isNaN(optimizer.step().gradientNorm()));
    }
  }

  @Test
  void groupsAreChecked() {
    final FixedRate tuner = FixedRate.of(1, AdamW.defaults());
    try (TestTensors tensors = new TestTensors().add("x", FLOAT32, 2).group("bias").add("b", FLOAT32, 2)) {
      assertRefused(
          IllegalArgumentException.class,
          () -> FixedRate.of(1, AdamW.defaults()).group("biases", AdamW.defaults()).build(tensors.on(CPU)), "'biases'", "bias",
          "default");
      final Map<String, Rule> others = new LinkedHashMap<>(TestOptimizers.rules());
      others.keySet().removeIf(name -> name.startsWith("Adam"));
      others.forEach(
          (name, rule) -> assertRefused(IllegalArgumentException.class, () -> tuner.group("bias", rule), "'bias'", "AdamW"));
      assertRefused(
          IllegalArgumentException.class,
          () -> FixedRate.of(1, SGD.defaults()).group("bias", SGD.defaults().momentum(0.9)), "'bias'", "momentum=0.9");
      for (double bad : new double[] {-0.5, Double.NaN, Double.POSITIVE_INFINITY})
        assertRefused(
            IllegalArgumentException.class, () -> tuner.group("bias", AdamW.defaults(), bad), "rateFactor", "'bias'", "" + bad);
      assertRefused(
          IllegalArgumentException.class,
          () -> FixedRate.of(1, AdaGrad.defaults())
              .group("bias", AdaGrad.defaults().initialAccumulator(1))
              .build(tensors.on(CPU)),
          "square", "same value");
      // Adam and AdamW are one formula and can share an optimizer.
      FixedRate.of(1, AdamW.defaults()).group("bias", Adam.defaults()).build(tensors.on(CPU)).close();
      FixedRate.of(1, RMSProp.defaults()).group("bias", RMSProp.defaults().epsilonInsideRoot(true)).build(tensors.on(CPU)).close();
    }
  }

  @Test
  void settingsAreChecked() {
    final FixedRate tuner = FixedRate.of(1, SGD.defaults());
    for (double bad : new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY})
      assertRefused(IllegalArgumentException.class, () -> FixedRate.of(bad, SGD.defaults()), "rate", "" + bad);
    for (double bad : new double[] {0, -1, Double.NaN, Double.NEGATIVE_INFINITY})
      assertRefused(IllegalArgumentException.class, () -> tuner.clipNorm(bad), "clipNorm", "positive", "" + bad);
    for (double bad : new double[] {0, Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY})
      assertRefused(IllegalArgumentException.class, () -> tuner.gradientMultiplier(bad), "gradientMultiplier", "" + bad);
    assertRefused(NullPointerException.class, () -> FixedRate.of(1, null), "rule");
    assertRefused(NullPointerException.class, () -> tuner.schedule(null), "schedule");
    assertRefused(NullPointerException.class, () -> tuner.nonFinite(null), "nonFinite");
    assertRefused(NullPointerException.class, () -> tuner.group(null, SGD.defaults()), "name");
    assertRefused(NullPointerException.class, () -> tuner.group("x", null), "groupRule");
    assertRefused(NullPointerException.class, () -> tuner.build(null), "parameters");
  }

  /** A caller's step needs no gradient where nothing is asked of it. */
  @Test
  void suppliedUpdatesWithoutGradients() {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 3).gradients(i -> -i - 1)) {
      final ParameterSet.Builder builder =
          ParameterSet.on(CPU)
              .add("x", tensors.parameters(0).address(), FLOAT32, 0, FLOAT32, tensors.updates(0).address(), 3);
      try (Optimizer optimizer = FixedRate.of(0.5, new SuppliedUpdate()).nonFinite(NonFinite.UNCHECKED).build(builder.build())) {
        optimizer.step();
        assertArrayEquals(new double[] {0.5, 1, 1.5}, tensors.values());
      }
      assertRefused(
          IllegalArgumentException.class, () -> FixedRate.of(0.5, new SuppliedUpdate()).build(builder.build()), "gradient", "null");
    }
  }
}
