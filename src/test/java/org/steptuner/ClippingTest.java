// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.TunerBuilder;

/** The fused factors on gradients, clipping by the global norm and the inverse of a loss scale, do what doing it by hand would do. */
class ClippingTest {
  private static final Device CPU = Device.cpu(2);
  private static final double NORM = 3;

  static Stream<Configuration> configurations() {
    return TestOptimizers.all().stream();
  }

  private static TestTensors float64() {
    return new TestTensors().add("a", FLOAT64, 700).group("second").add("b", FLOAT64, 41).parameters(i -> 1 + i % 3);
  }

  private static double gradient(int i, int step) {
    return (1 + Math.sin(i + step) / 2) * (step % 4 == 3 ? 0.01 : 1); // now and then too short to be clipped
  }

  @ParameterizedTest
  @MethodSource("configurations")
  void clippingEqualsClippingByHand(Configuration configuration) {
    try (TestTensors fused = float64();
        TestTensors byHand = float64();
        Optimizer one = configuration.builder().get().clipNorm(NORM).gradientMultiplier(0.3).build(fused.on(CPU));
        Optimizer other = configuration.build(byHand.on(CPU))) {
      boolean clipped = false, passed = false;
      for (int step = 0; step < 12; ++step) {
        final int t = step;
        double square = 0;
        for (int i = 0; i < 741; ++i) square += Math.pow(0.3 * gradient(i, step), 2);
        final double factor = Math.min(1, NORM / (Math.sqrt(square) + 1e-6));
        clipped |= factor < 1;
        passed |= factor == 1;
        fused.gradients(i -> gradient(i, t));
        byHand.gradients(i -> factor * 0.3 * gradient(i, t));
        fused.updates(0).copyFrom(byHand.updates(0)); // the caller's own step is taken as it is
        fused.updates(1).copyFrom(byHand.updates(1));
        final StepReport report = one.step();
        assertEquals(Math.sqrt(square), report.gradientNorm(), 1e-12 * Math.sqrt(square));
        assertEquals(factor, report.clipFactor(), 1e-12);
        other.step();
        assertEquals(1, other.report().clipFactor());
        assertEquals(
            other.report().learnedScale(), report.learnedScale(), 1e-12 * other.report().learnedScale(), "scale after step " + step);
        assertArrayEquals(byHand.values(), fused.values(), 1e-12, "step " + step);
      }
      assertTrue(clipped && passed, "both happened");
    }
  }

  /** A loss scale that is a power of two changes no bit; float16 is left out, whose gradients it would change. */
  @ParameterizedTest
  @MethodSource("configurations")
  void lossScalesChangeNoBit(Configuration configuration) {
    try (TestTensors plain = mixed();
        TestTensors scaled = mixed();
        Optimizer one = configuration.builder().get().clipNorm(20).build(plain.on(CPU));
        Optimizer other = configuration.builder().get().clipNorm(20).build(scaled.on(CPU))) {
      for (int step = 0; step < 8; ++step) {
        final int t = step;
        final double lossScale = step < 4 ? 0x1p10 : 0x1p-6; // dynamic, as in mixed-precision training
        plain.gradients(i -> gradient(i, t));
        scaled.gradients(i -> lossScale * gradient(i, t));
        for (int tensor = 0; tensor < 3; ++tensor) scaled.updates(tensor).copyFrom(plain.updates(tensor));
        other.setGradientMultiplier(1 / lossScale);
        one.step();
        other.step();
        assertEquals(one.report().gradientNorm(), other.report().gradientNorm());
        assertEquals(one.report().clipFactor(), other.report().clipFactor());
        assertEquals(one.report().learnedScale(), other.report().learnedScale(), configuration + ", step " + step);
        scaled.assertSameParameters(plain, configuration + ", step " + step);
      }
    }
  }

  private static TestTensors mixed() {
    return new TestTensors().add("a", FLOAT32, 700).add("b", BFLOAT16, 300).add("c", FLOAT64, 41).parameters(i -> 1 + i % 3);
  }

  @ParameterizedTest
  @MethodSource("configurations")
  void gradientsAndUpdatesAreNeverWritten(Configuration configuration) {
    final TunerBuilder<?> builder = configuration.builder().get().clipNorm(NORM).gradientMultiplier(-0.5);
    try (TestTensors tensors = mixed(); TestTensors copies = mixed(); Optimizer optimizer = builder.build(tensors.on(CPU))) {
      tensors.gradients(i -> gradient(i, 0));
      copies.gradients(i -> gradient(i, 0));
      for (int step = 0; step < 5; ++step) optimizer.step();
      for (int t = 0; t < 3; ++t) {
        TestTensors.assertSameBits(copies.gradients(t), tensors.gradients(t), "gradients");
        TestTensors.assertSameBits(copies.updates(t), tensors.updates(t), "updates");
      }
      tensors.assertFencesStand(configuration.name());
    }
  }

  @Test
  void theFormulaByHand() {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 2).gradients(i -> i == 0 ? 3 : 4);
        Optimizer optimizer = FixedRate.of(1, SGD.defaults()).clipNorm(2.5).build(tensors.on(CPU))) {
      assertEquals(2.5 / 5.000001, optimizer.step().clipFactor());
      assertArrayEquals(new double[] {-3 * 2.5 / 5.000001, -4 * 2.5 / 5.000001}, tensors.values(), 1e-15);
      tensors.gradients(i -> i == 0 ? 0.3 : 0.4);
      assertEquals(1, optimizer.step().clipFactor());
    }
  }

  /** A norm that is exactly the limit is scaled by less than one: the small number is there to be seen. */
  @Test
  void theLimitItself() {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 1).gradients(i -> -2);
        Optimizer optimizer = FixedRate.of(1, SGD.defaults()).clipNorm(2).build(tensors.on(CPU))) {
      assertEquals(2 / 2.000001, optimizer.step().clipFactor());
    }
  }

  /** Clipping needs the norm whether or not anybody wants to know of numbers that are none. */
  @ParameterizedTest
  @MethodSource("configurations")
  void clippingWithoutTheCheck(Configuration configuration) {
    try (TestTensors checked = float64();
        TestTensors unchecked = float64();
        Optimizer one = configuration.builder().get().clipNorm(NORM).build(checked.on(CPU));
        Optimizer other = configuration.builder().get().clipNorm(NORM).nonFinite(NonFinite.UNCHECKED).build(unchecked.on(CPU))) {
      for (int step = 0; step < 5; ++step) {
        final int t = step;
        checked.gradients(i -> gradient(i, t));
        unchecked.gradients(i -> gradient(i, t));
        one.step();
        other.step();
        assertFalse(Double.isNaN(other.report().gradientNorm()));
      }
      unchecked.assertSameParameters(checked, configuration.name());
    }
  }

  @Test
  void aBadMultiplierIsRefusedAndTheOldOneStays() {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 1).gradients(i -> 2);
        Optimizer optimizer = FixedRate.of(1, SGD.defaults()).gradientMultiplier(0.5).build(tensors.on(CPU))) {
      for (double bad : new double[] {0, -0.0, Double.NaN, Double.POSITIVE_INFINITY})
        assertRefused(IllegalArgumentException.class, () -> optimizer.setGradientMultiplier(bad), "gradientMultiplier", "" + bad);
      assertEquals(1, optimizer.step().gradientNorm());
      assertEquals(-1, tensors.parameters(0).get(0));
    }
  }
}
