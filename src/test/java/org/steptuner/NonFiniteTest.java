// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.StepReport.Skip;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;

/** A gradient or loss that is no number never destroys anything: every optimizer keeps every bit, says so, and trains on. */
class NonFiniteTest {
  private static final Device CPU = Device.cpu(2);
  private static final int[] COUNTS = {4100, 1, 130, 600};

  static Stream<Configuration> configurations() {
    return TestOptimizers.all().stream();
  }

  static Stream<Arguments> devicesAndTypes() {
    return TestDevices.all().stream()
        .filter(device -> !device.name().matches(".* x [23]"))
        .flatMap(device -> Stream.of(DataType.values()).map(type -> Arguments.of(device, type)));
  }

  private static TestTensors tensors() {
    return new TestTensors()
        .add("a", FLOAT32, COUNTS[0])
        .add("b", FLOAT64, COUNTS[1])
        .group("second")
        .add("c", BFLOAT16, COUNTS[2])
        .add("d", FLOAT16, FLOAT32, COUNTS[3], 0)
        .parameters(i -> 1 + i % 3);
  }

  private static TestTensors slope(TestTensors tensors, int step) {
    return tensors.gradients(i -> 1 + Math.sin(i + step) / 2);
  }

  @ParameterizedTest
  @MethodSource("configurations")
  void aSkippedStepLeavesEveryBit(Configuration configuration) {
    try (TestTensors tensors = tensors();
        TestTensors untouched = tensors();
        Optimizer optimizer = configuration.build(tensors.on(CPU));
        Optimizer uninterrupted = configuration.build(untouched.on(CPU))) {
      int skipped = 0;
      for (int step = 0; step < 4; ++step) {
        slope(tensors, step);
        slope(untouched, step);
        // Before the first step too, when there is no reference yet.
        if (step % 2 == 0) {
          final SavedState before = SavedState.of(optimizer);
          for (int t = 0; t < COUNTS.length; ++t)
            for (int at : new int[] {0, COUNTS[t] / 2, COUNTS[t] - 1})
              for (double poison : new double[] {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY}) {
                final long good = tensors.gradients(t).bits(at);
                tensors.gradients(t).set(at, poison);
                final StepReport report = optimizer.step();
                assertEquals(Skip.NON_FINITE_GRADIENT, report.skip());
                assertFalse(Double.isFinite(report.gradientNorm()));
                assertEquals(step, report.step());
                assertEquals(++skipped, report.skippedSteps());
                tensors.gradients(t).setBits(at, good);
                assertEquals(Skip.NON_FINITE_LOSS, optimizer.step(poison).skip());
                assertEquals(++skipped, report.skippedSteps());
              }
          before.assertUnchanged(SavedState.of(optimizer), "step " + step);
        }
        assertEquals(Skip.NONE, optimizer.step(1).skip());
        uninterrupted.step();
      }
      tensors.assertSameParameters(untouched, "training goes on");
      SavedState.of(uninterrupted).assertUnchanged(SavedState.of(optimizer), "training goes on");
      assertEquals(4, optimizer.steps());
    }
  }

  /** Wherever it is, also where the square of a number just overflows. */
  @ParameterizedTest
  @MethodSource("devicesAndTypes")
  void everyPlaceIsSeen(TestDevices.Candidate candidate, DataType type) {
    final Device device = candidate.open();
    final double[] poisons = {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY};
    try (TestTensors tensors = new TestTensors().add("x", type, type, 4096 + 4096 + 515, 1);
        Optimizer fixed = FixedRate.of(0, SGD.defaults()).build(tensors.on(device));
        Optimizer mechanic = Mechanic.tuning(SGD.defaults()).build(tensors.on(device))) {
      final TestArray g = tensors.gradients(0);
      int poison = 0;
      for (int at : new int[] {0, 1, 127, 128, 511, 512, 513, 2000, 4095, 4096, 8191, 8192, 8703, 8704, g.count() - 1}) {
        g.set(at, poisons[poison++ % 3]);
        assertTrue(fixed.step().skipped(), "element " + at);
        assertTrue(mechanic.step().skipped(), "element " + at);
        g.set(at, 0);
      }
      assertFalse(fixed.step().skipped());
      assertFalse(mechanic.step().skipped());
    }
  }

  @ParameterizedTest
  @MethodSource("org.steptuner.TestOptimizers#some")
  void throwLeavesEveryBitToo(Configuration configuration) {
    try (TestTensors tensors = slope(tensors(), 0);
        Optimizer optimizer = configuration.builder().get().nonFinite(NonFinite.THROW).build(tensors.on(CPU))) {
      optimizer.step();
      final SavedState before = SavedState.of(optimizer);
      final long good = tensors.gradients(2).bits(77);
      tensors.gradients(2).set(77, Double.NaN);
      assertRefused(NonFiniteException.class, optimizer::step, "step 2", "gradient", "NaN");
      tensors.gradients(2).setBits(77, good);
      assertRefused(NonFiniteException.class, () -> optimizer.step(Double.NEGATIVE_INFINITY), "step 2", "loss", "-Infinity");
      before.assertUnchanged(SavedState.of(optimizer), "after the exceptions");
      assertEquals(2, optimizer.step().step());
    }
  }

  /** UNCHECKED does what its documentation threatens: the NaN goes into the parameter, and at a fixed rate into no other. */
  @ParameterizedTest
  @MethodSource("org.steptuner.TestOptimizers#some")
  void uncheckedDoesNotLook(Configuration configuration) {
    if (configuration.name().contains("Supplied")) return; // reads no gradient
    try (TestTensors tensors = slope(tensors(), 0);
        Optimizer optimizer = configuration.builder().get().nonFinite(NonFinite.UNCHECKED).build(tensors.on(CPU))) {
      optimizer.step();
      tensors.gradients(0).set(4000, Double.NaN);
      final StepReport report = optimizer.step(Double.NaN);
      assertEquals(Skip.NONE, report.skip());
      assertEquals(2, report.step());
      assertTrue(Double.isNaN(tensors.parameters(0).get(4000)));
      if (configuration.name().startsWith("Mechanic")) return;
      for (int i = 0; i < 4000; ++i) assertTrue(Double.isFinite(tensors.parameters(0).get(i)));
    }
  }

  @ParameterizedTest
  @MethodSource("org.steptuner.TestOptimizers#some")
  void zeroGradientsKeepEverythingFinite(Configuration configuration) {
    try (TestTensors tensors = tensors(); Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      for (int step = 0; step < 300; ++step) assertFalse(optimizer.step().skipped());
      slope(tensors, 1);
      for (int step = 0; step < 3; ++step) optimizer.step();
      tensors.gradients(i -> 0);
      for (int step = 0; step < 300; ++step) optimizer.step();
      for (double x : tensors.values()) assertTrue(Double.isFinite(x));
      optimizer
          .scalars()
          .forEach((name, values) -> assertTrue(Arrays.stream(values).allMatch(Double::isFinite), name));
    }
  }

  /** |g|^2 is formed in the type of the state: a finite gradient whose square float32 cannot hold counts as not finite. */
  @ParameterizedTest
  @EnumSource(
      value = DataType.class,
      names = {"FLOAT32", "BFLOAT16"})
  void aSquareThatOverflowsIsSkipped(DataType type) {
    for (Configuration configuration : TestOptimizers.some()) {
      try (TestTensors tensors = TestTensors.of(type, 100).parameters(i -> 1);
          Optimizer optimizer = configuration.build(tensors.on(CPU))) {
        tensors.gradients(0).set(55, 1e18);
        tensors.updates(0).set(55, 1e-3);
        assertFalse(optimizer.step().skipped(), configuration + ": 1e36 is a float");
        tensors.gradients(0).set(55, 1e20);
        final SavedState before = SavedState.of(optimizer);
        assertEquals(Skip.NON_FINITE_GRADIENT, optimizer.step().skip());
        assertEquals(Double.POSITIVE_INFINITY, optimizer.report().gradientNorm());
        before.assertUnchanged(SavedState.of(optimizer), configuration.name());
      }
    }
  }

  @Test
  void float64HoldsThatSquare() {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 100);
        Optimizer optimizer = FixedRate.of(1, SGD.defaults()).build(tensors.on(CPU))) {
      tensors.gradients(0).set(55, 1e150);
      assertEquals(1e150, optimizer.step().gradientNorm());
      tensors.gradients(0).set(55, 1e155);
      assertTrue(optimizer.step().skipped());
    }
  }

  /** A multiplier cannot turn a finite norm into a number that is none, unseen. */
  @Test
  void aMultiplierThatOverflowsIsSkipped() {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 3).gradients(i -> 1e10);
        Optimizer optimizer = FixedRate.of(1, AdamW.defaults()).gradientMultiplier(1e300).build(tensors.on(CPU))) {
      assertTrue(optimizer.step().skipped());
      optimizer.setGradientMultiplier(1);
      assertFalse(optimizer.step().skipped());
    }
  }

  /** The check of these tests themselves: a step that is made does change what is compared. */
  @Test
  void aStepThatIsMadeChangesTheState() {
    try (TestTensors tensors = slope(tensors(), 0);
        Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).initialScale(0.1).build(tensors.on(CPU))) {
      final SavedState before = SavedState.of(optimizer);
      optimizer.step();
      final SavedState after = SavedState.of(optimizer);
      for (String name : before.entries().keySet())
        if (!name.startsWith("state/reference"))
          assertFalse(Arrays.equals(before.entries().get(name), after.entries().get(name)), name);
    }
  }
}
