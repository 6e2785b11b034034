// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.FLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.StepReport.Skip;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.Armijo;
import org.steptuner.tuner.CDAT;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.Polyak;

/** A loss scale changes no bit of a run while nothing overflows, shrinks where gradients do, and goes on with a saved run. */
@Timeout(60)
class LossScaleTest {
  private static final Device CPU = Device.cpu(1);
  private static final LossScale SCALE = LossScale.defaults();

  static Stream<Configuration> configurations() {
    return Stream.concat(
        Stream.concat(TestOptimizers.all().stream(), TestOptimizers.others().stream()),
        Stream.of(
            new Configuration("Polyak along the update", () -> Polyak.tuning(AdamW.defaults()).alongUpdate()),
            new Configuration("Armijo", () -> Armijo.tuning(AdamW.defaults(), () -> 0.9)),
            new Configuration("CDAT", () -> CDAT.tuning(AdamW.defaults()).curvature(u -> 1).maxRate(0.1))));
  }

  private static TestTensors tensors() {
    return new TestTensors().add("a", FLOAT32, 500).group("second").add("b", FLOAT64, 77).parameters(i -> 1 + i % 3);
  }

  private static double gradient(int i, int step) {
    return (1 + Math.sin(i + 0.7 * step) / 2) / 8;
  }

  private static void gradients(TestTensors tensors, int step, double scale) {
    tensors.gradients(i -> (float) gradient(i, step) * scale);
    // A supplied update is not a gradient, and has no scale.
    for (TestTensors.Tensor tensor : tensors.all()) tensor.updates().fill(i -> -tensor.gradients().get(i) / scale);
  }

  @ParameterizedTest
  @MethodSource("configurations")
  void everyBitIsThatOfARunWithoutAScale(Configuration configuration) {
    try (TestTensors plain = tensors();
        TestTensors scaled = tensors();
        Optimizer one = configuration.builder().get().clipNorm(1).gradientL1(true).build(plain.on(CPU));
        Optimizer other =
            configuration.builder().get().clipNorm(1).gradientL1(true).lossScale(SCALE.interval(3)).build(scaled.on(CPU))) {
      for (int step = 1; step <= 10; ++step) {
        final double scale = other.lossScale();
        assertEquals(0x1p16 * Math.pow(2, (step - 1) / 3), scale);
        gradients(plain, step, 1);
        gradients(scaled, step, scale);
        final StepReport without = one.step(1.0 / step);
        final StepReport with = other.step(1.0 / step);
        assertEquals(Skip.NONE, with.skip(), configuration.name());
        assertEquals(1, without.lossScale());
        assertEquals(scale, with.lossScale());
        assertEquals(without.gradientNorm(), with.gradientNorm(), "|g| is of the gradients without the scale");
        assertEquals(without.gradientL1(), with.gradientL1());
        assertEquals(without.clipFactor(), with.clipFactor());
        assertEquals(without.learnedScale(), with.learnedScale(), configuration + ", step " + step);
      }
      scaled.assertSameParameters(plain, configuration.name());
      SavedState.of(one).entries().forEach((name, bytes) -> {
        if (name.startsWith("state/"))
          assertTrue(Arrays.equals(bytes, SavedState.of(other).entries().get(name)), configuration + ": " + name);
      });
    }
  }

  @Test
  void itShrinksAtOverflowsAndGrowsAfterSteps() {
    try (TestTensors tensors = TestTensors.of(FLOAT16, 10).parameters(i -> 1);
        Optimizer optimizer = FixedRate.of(0.01, AdamW.defaults()).lossScale(SCALE.interval(3)).build(tensors.on(CPU))) {
      // Half precision ends at 65,504: a gradient of 10 overflows until the scale is 2^12.
      final List<Double> scales = new ArrayList<>();
      for (int step = 1; step <= 12; ++step) {
        final double scale = optimizer.lossScale();
        scales.add(scale);
        tensors.gradients(i -> 10 * scale);
        final StepReport report = optimizer.step(2);
        assertEquals(10 * scale > 65504 ? Skip.NON_FINITE_GRADIENT : Skip.NONE, report.skip(), report.toString());
        assertFalse(report.lossScaleExhausted());
        if (!report.skipped()) assertEquals(10 * Math.sqrt(10), report.gradientNorm(), 1e-9);
      }
      assertEquals(
          List.of(0x1p16, 0x1p15, 0x1p14, 0x1p13, 0x1p12, 0x1p12, 0x1p12, 0x1p13, 0x1p12, 0x1p12, 0x1p12, 0x1p13), scales);
      assertEquals(7, optimizer.report().step() + 1);
    }
  }

  @Test
  void itStaysWithinItsBoundsAndSaysWhenItIsExhausted() {
    final LossScale scale = SCALE.bounds(4, 0x1p17).initial(8).interval(1);
    try (TestTensors tensors = TestTensors.of(FLOAT32, 10).gradients(i -> Double.NaN);
        Optimizer optimizer = FixedRate.of(0.01, SGD.defaults()).lossScale(scale).build(tensors.on(CPU))) {
      assertFalse(optimizer.step().lossScaleExhausted());
      assertEquals(4, optimizer.lossScale());
      assertTrue(optimizer.step().lossScaleExhausted());
      assertTrue(optimizer.report().copy().lossScaleExhausted());
      assertEquals(4, optimizer.lossScale());
      tensors.gradients(i -> 1);
      for (int step = 0; step < 30; ++step) assertFalse(optimizer.step().lossScaleExhausted());
      assertEquals(0x1p17, optimizer.lossScale());
    }
    try (TestTensors tensors = TestTensors.of(FLOAT32, 10).gradients(i -> Double.NaN);
        Optimizer optimizer =
            FixedRate.of(0.01, SGD.defaults()).lossScale(scale.initial(4)).nonFinite(NonFinite.THROW).build(tensors.on(CPU))) {
      assertRefused(NonFiniteException.class, optimizer::step, "gradient", "loss scale is 4.0", "smallest");
    }
  }

  /** Only gradients shrink it: with a bad loss, or a parameter that is no number, another scale would not help. */
  @Test
  void lossesAndParametersDoNotShrinkIt() {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 10).parameters(i -> 1).gradients(i -> 1);
        Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).lossScale(SCALE).build(tensors.on(CPU))) {
      assertEquals(Skip.NON_FINITE_LOSS, optimizer.step(Double.NaN).skip());
      assertEquals(0x1p16, optimizer.lossScale());
      tensors.parameters(0).set(3, Double.NaN);
      for (int step = 0; step < 100; ++step) {
        tensors.gradients(i -> Double.NaN);
        assertEquals(Skip.NON_FINITE_PARAMETER, optimizer.step(1).skip());
      }
      assertEquals(0x1p16, optimizer.lossScale());
    }
  }

  /** A rate that is too large for float32 is made of the gradients without the scale. */
  @Test
  void ratesDoNotShrinkIt() {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 10).parameters(i -> 1).gradients(i -> 1e-17);
        Optimizer optimizer =
            Polyak.tuning(SGD.defaults()).maxRate(Double.POSITIVE_INFINITY).lossScale(SCALE).build(tensors.on(CPU))) {
      assertEquals(Skip.NON_FINITE_GRADIENT, optimizer.step(1).skip());
      assertTrue(optimizer.report().gradientNorm() > 0);
      assertFalse(optimizer.report().lossScaleExhausted());
      assertEquals(0x1p16, optimizer.lossScale());
    }
  }

  @Test
  void theTrainersMultiplierComesOnTop() {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 1).parameters(i -> 1).gradients(i -> 0x1p16);
        Optimizer optimizer = FixedRate.of(1, SGD.defaults()).lossScale(SCALE).gradientMultiplier(0.25).build(tensors.on(CPU))) {
      assertEquals(0.25, optimizer.step().gradientNorm());
      assertEquals(0.75, tensors.values()[0]);
      optimizer.setGradientMultiplier(0.5);
      assertEquals(0.5, optimizer.step().gradientNorm());
      assertEquals(0.25, tensors.values()[0]);
    }
  }

  /** Trains from step {@code from}, with an overflow at every fourth step. */
  private static void train(TestTensors tensors, Optimizer optimizer, int from, int to) {
    for (int step = from; step <= to; ++step) {
      gradients(tensors, step, optimizer.lossScale());
      if (step % 4 == 0) tensors.gradients(0).set(step, Double.POSITIVE_INFINITY);
      optimizer.step(1);
    }
  }

  @Test
  void aResumedRunEqualsAnUnbrokenOne(@TempDir(factory = MemoryFolder.class) Path folder) {
    try (TestTensors whole = tensors();
        TestTensors parted = tensors();
        Optimizer one = Mechanic.tuning(AdamW.defaults()).lossScale(SCALE.interval(2)).build(whole.on(CPU))) {
      final Path file = folder.resolve("run");
      train(whole, one, 1, 17);
      try (Optimizer first = Mechanic.tuning(AdamW.defaults()).lossScale(SCALE.interval(2)).build(parted.on(CPU))) {
        train(parted, first, 1, 9);
        first.save(file);
      }
      try (Optimizer second = Mechanic.tuning(AdamW.defaults()).lossScale(SCALE.interval(2)).build(parted.on(CPU))) {
        second.restore(file);
        train(parted, second, 10, 17);
        assertEquals(one.lossScale(), second.lossScale());
        parted.assertSameParameters(whole, "resumed");
        SavedState.of(one).assertUnchanged(SavedState.of(second), "resumed");
      }
    }
  }

  /** As older files lack it, and files of runs without it: then it is that of a first step. It also goes with other bounds. */
  @Test
  void filesMayHaveItOrLackIt(@TempDir(factory = MemoryFolder.class) Path folder) {
    try (TestTensors tensors = tensors()) {
      final Path without = folder.resolve("without");
      final Path with = folder.resolve("with");
      try (Optimizer plain = FixedRate.of(0.01, AdamW.defaults()).build(tensors.on(CPU));
          Optimizer scaled = FixedRate.of(0.01, AdamW.defaults()).lossScale(SCALE.interval(2)).build(tensors.on(CPU))) {
        train(tensors, scaled, 1, 3);
        scaled.save(with);
        assertEquals(0x1p17, scaled.lossScale());
        assertFalse(scaled.scalars().containsKey("lossScale"));
        plain.save(without);
        scaled.restore(without);
        assertEquals(0x1p16, scaled.lossScale());
        plain.restore(with);
        assertEquals(1, plain.lossScale());
        assertEquals(3, plain.steps());
      }
      try (Optimizer bounded = FixedRate.of(0.01, AdamW.defaults()).lossScale(SCALE.bounds(1, 0x1p16)).build(tensors.on(CPU))) {
        bounded.restore(with);
        assertEquals(0x1p16, bounded.lossScale());
      }
    }
  }

  @Test
  void everyOptimizerOfABuilderHasItsOwn() {
    final FixedRate builder = FixedRate.of(0.01, SGD.defaults()).lossScale(SCALE);
    try (TestTensors tensors = TestTensors.of(FLOAT32, 10).gradients(i -> Double.NaN);
        Optimizer one = builder.build(tensors.on(CPU));
        Optimizer other = builder.build(tensors.on(CPU))) {
      one.step();
      assertEquals(0x1p15, one.lossScale());
      assertEquals(0x1p16, other.lossScale());
    }
  }

  @Test
  void refusesWhatCannotBe() {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 10)) {
      assertRefused(
          IllegalArgumentException.class,
          () -> FixedRate.of(0.01, SGD.defaults()).lossScale(SCALE).nonFinite(NonFinite.UNCHECKED).build(tensors.on(CPU)), "lossScale",
          "UNCHECKED");
    }
    assertRefused(IllegalArgumentException.class, () -> SCALE.growth(1), "growth");
    assertRefused(IllegalArgumentException.class, () -> SCALE.growth(Double.POSITIVE_INFINITY), "growth");
    assertRefused(IllegalArgumentException.class, () -> SCALE.backoff(1), "backoff");
    assertRefused(IllegalArgumentException.class, () -> SCALE.backoff(0), "backoff");
    assertRefused(IllegalArgumentException.class, () -> SCALE.interval(0), "interval");
    assertRefused(IllegalArgumentException.class, () -> SCALE.bounds(0, 1), "smallest");
    assertRefused(IllegalArgumentException.class, () -> SCALE.bounds(1, Double.POSITIVE_INFINITY), "largest");
    assertRefused(IllegalArgumentException.class, () -> SCALE.bounds(2, 1), "largest");
    assertRefused(IllegalArgumentException.class, () -> SCALE.initial(0x1p33), "initial");
    assertRefused(IllegalArgumentException.class, () -> SCALE.initial(Double.NaN), "initial");
  }

  private static final class Adder {
    private final double[][] parts = new double[2][];
    private final CyclicBarrier barrier = new CyclicBarrier(2);

    SumReducer rank(int rank) {
      return (sums, count) -> {
        parts[rank] = Arrays.copyOf(sums, count);
        await();
        assertEquals(parts[0].length, parts[1].length);
        for (int i = 0; i < count; ++i) sums[i] = parts[0][i] + parts[1][i];
        await();
      };
    }

    private void await() {
      try {
        barrier.await(20, TimeUnit.SECONDS);
      } catch (Exception e) {
        throw new IllegalStateException("the other rank did not come", e);
      }
    }
  }

  /** All processes have the same scale and the same reason, whichever of them was the cause. */
  @ParameterizedTest
  @MethodSource("org.steptuner.TestOptimizers#others")
  void processesAgree(Configuration configuration) throws Exception {
    final Adder adder = new Adder();
    final ExecutorService threads = Executors.newFixedThreadPool(2);
    try {
      final List<Future<List<String>>> ranks = new ArrayList<>();
      for (int rank = 0; rank < 2; ++rank) {
        final int r = rank;
        ranks.add(threads.submit(() -> {
          final List<String> seen = new ArrayList<>();
          try (TestTensors mine = TestTensors.of(FLOAT32, 10 + r).parameters(i -> 1 + i);
              Optimizer optimizer =
                  configuration.builder().get().lossScale(SCALE.interval(2)).sumReducer(adder.rank(r)).build(mine.on(CPU))) {
            for (int step = 1; step <= 9; ++step) {
              final double scale = optimizer.lossScale();
              mine.gradients(i -> gradient(i, 1) * scale);
              if (step == 3 && r == 0) mine.gradients(0).set(1, Double.POSITIVE_INFINITY);
              if (step == 8) mine.parameters(0).set(2, r == 1 ? Double.NaN : 1);
              if (step == 8 && r == 1) mine.gradients(0).set(2, Double.NaN);
              final StepReport report = optimizer.step(step == 5 && r == 1 ? Double.NaN : 1);
              seen.add(report.skip() + " " + optimizer.lossScale());
            }
          }
          return seen;
        }));
      }
      final List<String> seen = ranks.get(0).get(40, TimeUnit.SECONDS);
      assertEquals(seen, ranks.get(1).get(40, TimeUnit.SECONDS));
      assertEquals("NON_FINITE_GRADIENT 65536.0", seen.get(2), seen.toString());
      assertEquals("NON_FINITE_LOSS 65536.0", seen.get(4), seen.toString());
      assertTrue(seen.get(7).startsWith("NON_FINITE_PARAMETER"), seen.toString());
    } finally {
      threads.shutdownNow();
    }
  }
}
