// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.MemoryFolder;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.SavedState;
import org.steptuner.Schedule;
import org.steptuner.TestArray;
import org.steptuner.TestOptimizers;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.TestTensors;

/** Every rule and every tuner where a trainer seldom takes them: before a gradient, at the rate 0, away from the training parameters. */
class RareSituationsTest {
  private static final Device CPU = Device.cpu(1);
  private static final int[] COUNTS = {4100, 1, 513, 0, 77};

  static Stream<Configuration> configurations() {
    return Stream.concat(TestOptimizers.some().stream(), TestOptimizers.others().stream());
  }

  private static TestTensors tensors() {
    return new TestTensors()
        .add("a", FLOAT32, COUNTS[0])
        .add("b", FLOAT64, COUNTS[1])
        .group("second")
        .add("c", BFLOAT16, COUNTS[2])
        .add("d", FLOAT32, COUNTS[3])
        .group(ParameterSet.DEFAULT_GROUP)
        .add("e", FLOAT16, FLOAT32, COUNTS[4], 0)
        .parameters(i -> 1 + i % 3);
  }

  private static double slope(TestTensors tensors, int step) {
    tensors.gradients(i -> 1 + Math.sin(i + 0.7 * step) / 2);
    return 1 + 1.0 / step;
  }

  private static void assertFinite(TestTensors tensors, Optimizer optimizer) {
    for (double x : tensors.values()) assertTrue(Double.isFinite(x));
    optimizer.scalars().forEach((name, values) -> assertTrue(Arrays.stream(values).allMatch(Double::isFinite), name));
  }

  /** As NonFiniteTest has it for rules and Mechanic. */
  @ParameterizedTest
  @MethodSource("org.steptuner.TestOptimizers#others")
  void zeroGradientsAtFirstAndLaterKeepEverythingFinite(Configuration configuration) {
    try (TestTensors tensors = tensors(); Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      for (int step = 1; step <= 40; ++step) assertFalse(optimizer.step(1).skipped());
      assertFinite(tensors, optimizer);
      for (int step = 1; step <= 3; ++step) assertFalse(optimizer.step(slope(tensors, step)).skipped());
      tensors.gradients(i -> 0);
      for (int step = 0; step < 40; ++step) assertFalse(optimizer.step(1).skipped());
      assertFinite(tensors, optimizer);
    }
  }

  /** As the first step of a warm-up from 0 and the last one of a decay to 0 are. */
  @ParameterizedTest
  @MethodSource("configurations")
  void aRateOfZeroAtFirstMovesNothing(Configuration configuration) {
    if (configuration.name().contains("Supplied")) return; // an update is no multiple of a rate
    try (TestTensors tensors = tensors();
        TestTensors before = tensors();
        Optimizer optimizer = configuration.builder().get().schedule(Schedule.of(0, 1, 0.5, 0)).build(tensors.on(CPU))) {
      assertFalse(optimizer.step(slope(tensors, 1)).skipped());
      tensors.assertSameParameters(before, configuration + ", after the first step");
      assertFinite(tensors, optimizer);
      for (int step = 2; step <= 5; ++step) assertFalse(optimizer.step(slope(tensors, step)).skipped());
      assertFinite(tensors, optimizer);
    }
  }

  @ParameterizedTest
  @MethodSource("configurations")
  void aGroupWithFactorZeroStays(Configuration configuration) {
    if (configuration.name().contains("Supplied")) return;
    final TunerBuilder<?> builder = configuration.builder().get();
    if (builder instanceof MoMo || builder instanceof MovingTarget) return; // they have one rate for all groups
    try (TestTensors tensors = tensors();
        TestTensors before = tensors();
        Optimizer optimizer = builder.group("second", builder.rule, 0).build(tensors.on(CPU))) {
      for (int step = 1; step <= 6; ++step) assertFalse(optimizer.step(slope(tensors, step)).skipped());
      for (int t : new int[] {2, 3})
        TestTensors.assertSameBits(before.parameters(t), tensors.parameters(t), configuration + ", tensor " + t);
      assertFinite(tensors, optimizer);
    }
  }

  /** As RebindTest has it for rules and Mechanic. */
  @ParameterizedTest
  @MethodSource("org.steptuner.TestOptimizers#others")
  void movingTensorsChangesNothing(Configuration configuration) {
    try (TestTensors still = tensors();
        TestTensors even = tensors();
        TestTensors odd = tensors();
        Optimizer one = configuration.build(still.on(CPU));
        Optimizer other = configuration.build(even.on(CPU))) {
      for (int step = 1; step <= 6; ++step) {
        final TestTensors now = step % 2 == 1 ? even : odd;
        final TestTensors before = step % 2 == 1 ? odd : even;
        final double loss = slope(still, step);
        slope(now, step);
        before.gradients(i -> Double.NaN);
        if (step > 1)
          for (int t = 0; t < COUNTS.length; ++t) {
            now.parameters(t).copyFrom(before.parameters(t));
            other.rebind(now.all().get(t).name(), now.parameters(t).address(), now.gradients(t).address());
          }
        one.step(loss);
        other.step(loss);
        now.assertSameParameters(still, configuration + ", step " + step);
      }
    }
  }

  /** Restored over a run that is evaluating; and over one that was only built; and from what was saved before the first step. */
  @ParameterizedTest
  @MethodSource("configurations")
  void restoredWhileEvaluatingItGoesOn(Configuration configuration, @TempDir(factory = MemoryFolder.class) Path folder) {
    final Path file = folder.resolve("saved");
    try (TestTensors straight = tensors();
        TestTensors used = tensors();
        TestTensors fresh = tensors();
        Optimizer one = configuration.build(straight.on(CPU));
        Optimizer other = configuration.build(used.on(CPU));
        Optimizer third = configuration.build(fresh.on(CPU))) {
      for (int at : new int[] {0, 3}) {
        while (one.steps() < at) one.step(slope(straight, (int) one.steps() + 1));
        one.evaluating(); // saved are the training parameters all the same
        one.save(file);
        one.training();
        for (int step = 1; step <= 2; ++step) other.step(slope(used, step + 30));
        other.evaluating();
        other.restore(file);
        assertFalse(other.isEvaluating());
        third.evaluating();
        third.restore(file);
        for (int step = at + 1; step <= at + 3; ++step) {
          one.step(slope(straight, step));
          other.step(slope(used, step));
          third.step(slope(fresh, step));
        }
        used.assertSameParameters(straight, configuration + ", restored to step " + at);
        fresh.assertSameParameters(straight, configuration + ", restored to step " + at);
        SavedState.of(one).assertUnchanged(SavedState.of(other), configuration.name());
        SavedState.of(one).assertUnchanged(SavedState.of(third), configuration.name());
      }
    }
  }

  @ParameterizedTest
  @MethodSource("configurations")
  void aTinyNormIsNoTrouble(Configuration configuration) {
    if (configuration.name().equals("D-Adaptation SGD")) return; // it divides by |g_1|, beside which the decay is then enormous
    for (double norm : new double[] {1e-12, 1e-30}) {
      try (TestTensors tensors = tensors(); Optimizer optimizer = configuration.builder().get().clipNorm(norm).build(tensors.on(CPU))) {
        for (int step = 1; step <= 20; ++step) assertFalse(optimizer.step(slope(tensors, step)).skipped(), "norm " + norm);
        assertFinite(tensors, optimizer);
      }
    }
  }

  /** A loss scale that is no power of two, and a trainer whose gradients point the other way. */
  @ParameterizedTest
  @MethodSource("configurations")
  void aMultiplierOfAnyKindIsUndone(Configuration configuration) {
    if (configuration.name().contains("Supplied")) return;
    for (double multiplier : new double[] {1.0 / 1024, 1.0 / 1000, -0.5}) {
      try (TestTensors plain = wide();
          TestTensors scaled = wide();
          Optimizer one = configuration.build(plain.on(CPU));
          Optimizer other = configuration.builder().get().gradientMultiplier(multiplier).build(scaled.on(CPU))) {
        for (int step = 1; step <= 10; ++step) {
          final double loss = slope(plain, step);
          for (int t = 0; t < 2; ++t) {
            final TestArray from = plain.gradients(t);
            scaled.gradients(t).fill(i -> from.get(i) / multiplier);
          }
          one.step(loss);
          other.step(loss);
        }
        assertArrayEquals(plain.values(), scaled.values(), multiplier == 1.0 / 1000 ? 1e-9 : 0, configuration + " at " + multiplier);
      }
    }
  }

  private static TestTensors wide() {
    return new TestTensors().add("a", FLOAT64, 700).group("second").add("b", FLOAT64, 33).parameters(i -> 1 + i % 3);
  }

  /** One element of every type, and nothing at all. */
  @ParameterizedTest
  @MethodSource("configurations")
  void oneElementOrNone(Configuration configuration) {
    for (DataType type : DataType.values())
      for (int count : new int[] {0, 1}) {
        try (TestTensors tensors = TestTensors.of(type, count).parameters(i -> 1);
            Optimizer optimizer = configuration.build(tensors.on(CPU))) {
          for (int step = 1; step <= 5; ++step) assertFalse(optimizer.step(slope(tensors, step)).skipped());
          optimizer.evaluating();
          assertFinite(tensors, optimizer);
          optimizer.training();
          assertEquals(5, optimizer.steps());
        }
      }
  }

  /** Many tensors, all but one of which have no gradient ever. */
  @ParameterizedTest
  @MethodSource("configurations")
  void tensorsWithoutAGradientAreNoTrouble(Configuration configuration) {
    try (TestTensors tensors = tensors(); Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      for (int step = 1; step <= 10; ++step) {
        final double loss = slope(tensors, step);
        for (int t : new int[] {0, 2, 4}) tensors.gradients(t).fill(i -> 0);
        assertFalse(optimizer.step(loss).skipped());
      }
      assertFinite(tensors, optimizer);
    }
  }
}
