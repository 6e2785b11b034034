// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.DAdaptation;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Hypergradient;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.MetaOptimize;
import org.steptuner.tuner.MoMo;
import org.steptuner.tuner.MovingTarget;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** |g|_1 of every tuner, whichever of its sweeps sums it. */
class GradientNormsTest {
  private static final int STEPS = 6;
  private static final int[] SIZES = {1000, 3, 517};

  private final FloatBuffer[] parameters = new FloatBuffer[SIZES.length];
  private final FloatBuffer[] gradients = new FloatBuffer[SIZES.length];

  /** What each costs in words over the tuner that is not asked. */
  static Stream<Arguments> tuners() {
    final Map<Supplier<TunerBuilder<?>>, Integer> tuners = new LinkedHashMap<>();
    tuners.put(() -> FixedRate.of(0.01, AdamW.defaults()), 0);
    tuners.put(() -> FixedRate.of(0.01, AdamW.defaults()).nonFinite(NonFinite.UNCHECKED), 1);
    tuners.put(() -> Mechanic.tuning(AdamW.defaults()), 0);
    tuners.put(() -> Mechanic.tuning(AdamW.defaults()).scope(Scope.TENSOR), 0);
    tuners.put(() -> Mechanic.tuning(AdamW.defaults()).clipNorm(3), 0);
    tuners.put(() -> Mechanic.tuning(AdamW.defaults()).variant(Mechanic.Variant.TORCH), 0);
    tuners.put(() -> Mechanic.tuning(AdamW.defaults()).delta(Mechanic.Delta.RECOMPUTED).allowFreezing(), 1);
    tuners.put(() -> Prodigy.tuning(AdamW.defaults()), 0);
    tuners.put(() -> Prodigy.tuning(AdamW.defaults()).slice(3), 1);
    tuners.put(() -> Prodigy.tuning(Adam.defaults().weightDecay(0.01)), 1);
    tuners.put(() -> MoMo.tuning(SGD.defaults().momentum(0.9)), 0);
    tuners.put(() -> MoMo.tuning(AdamW.defaults()), 0);
    tuners.put(() -> DAdaptation.tuning(SGD.defaults()), 0);
    tuners.put(() -> DAdaptation.tuning(AdaGrad.defaults().epsilon(1e-6)), 0);
    tuners.put(() -> MetaOptimize.tuning(AdamW.defaults()), 0);
    tuners.put(() -> Hypergradient.tuning(SGD.defaults(), 0.01, 1e-4), 1);
    tuners.put(() -> MovingTarget.tuning(SGD.defaults()), 0);
    return tuners.entrySet().stream().map(entry -> Arguments.of(entry.getKey(), entry.getValue()));
  }

  @ParameterizedTest
  @MethodSource("tuners")
  void areTheSums(Supplier<TunerBuilder<?>> tuner, int moreWords) {
    final GradientNorms norms = new GradientNorms();
    final double[] l1 = new double[STEPS];
    final double[] l2 = new double[STEPS];
    final float[][] asked = new float[STEPS][];
    try (Optimizer optimizer = tuner.get().gradientL1(true).gradientMultiplier(-0.5).build(begin())) {
      for (int step = 0; step < STEPS; ++step) {
        backward(step);
        for (FloatBuffer tensor : gradients)
          for (int i = 0; i < tensor.capacity(); ++i) {
            l1[step] += Math.abs(tensor.get(i)) / 2.0;
            l2[step] += tensor.get(i) * (double) tensor.get(i) / 4;
          }
        l2[step] = Math.sqrt(l2[step]);
        final StepReport report = optimizer.step(5 + step);
        assertEquals(report.gradientL1(), report.copy().gradientL1());
        norms.add(report);
        asked[step] = values();
      }
      assertArrayEquals(ratios(l1, l1), ratios(norms.l1(), l1), 1e-5);
      assertArrayEquals(ratios(l2, l2), ratios(norms.l2(), l2), 1e-5);
      try (Optimizer plain = tuner.get().gradientMultiplier(-0.5).build(begin())) {
        assertEquals(plain.wordsPerElement() + moreWords, optimizer.wordsPerElement());
        for (int step = 0; step < STEPS; ++step) {
          backward(step);
          assertTrue(Double.isNaN(plain.step(5 + step).gradientL1()));
          assertArrayEquals(asked[step], values(), "step " + step);
        }
      }
    }
  }

  private static double[] ratios(double[] values, double[] by) {
    final double[] ratios = new double[values.length];
    for (int i = 0; i < values.length; ++i) ratios[i] = values[i] / by[i];
    return ratios;
  }

  @Test
  void becomeASchedule(@TempDir Path folder) {
    final GradientNorms norms = new GradientNorms();
    try (Optimizer optimizer = FixedRate.of(0.1, AdamW.defaults()).gradientL1(true).build(begin())) {
      for (int step = 0; step < 3000; ++step) {
        for (FloatBuffer tensor : gradients) for (int i = 0; i < tensor.capacity(); ++i) tensor.put(i, step < 1500 ? 2 : 1);
        norms.add(optimizer.step());
      }
    }
    ScheduleRefinement.save(folder.resolve("norms"), norms.l1());
    final Schedule refined = ScheduleRefinement.forAdam(ScheduleRefinement.load(folder.resolve("norms"))).schedule();
    // Weights 1/2 and 1: the sum of those to come is 1500 where the norm halves, and the largest product just behind it.
    assertEquals(1, refined.at(1501), 1e-12);
    assertEquals(0.5 * (1500 + 750 - 0.5) / 1499, refined.at(1), 1e-9);
    assertEquals(0, refined.at(3000), 0);
  }

  @Test
  void skippedStepsHaveNone() {
    final GradientNorms norms = new GradientNorms();
    try (Optimizer optimizer = Prodigy.tuning(AdamW.defaults()).gradientL1(true).build(begin())) {
      for (int step = 0; step < 4; ++step) {
        backward(step);
        if (step == 2) gradients[0].put(7, Float.NaN);
        norms.add(optimizer.step());
      }
    }
    assertEquals(3, norms.count());
    assertEquals(3, norms.l1().length);
    for (double norm : norms.l1()) assertTrue(norm > 0);
  }

  @Test
  void whatWasNotSummedIsNotThere() {
    final GradientNorms norms = new GradientNorms();
    try (Optimizer optimizer = FixedRate.of(0.1, SGD.defaults()).nonFinite(NonFinite.UNCHECKED).build(begin())) {
      backward(1);
      norms.add(optimizer.step());
    }
    assertTrue(assertThrows(IllegalStateException.class, norms::l1).getMessage().contains("gradientL1(true)"));
    assertThrows(IllegalStateException.class, norms::l2);
  }

  private ParameterSet begin() {
    final ParameterSet.Builder builder = ParameterSet.on(Device.cpu(2));
    for (int t = 0; t < SIZES.length; ++t) {
      parameters[t] = direct(SIZES[t]);
      gradients[t] = direct(SIZES[t]);
      for (int i = 0; i < SIZES[t]; ++i) parameters[t].put(i, (float) Math.cos(i + t));
      builder.add("t" + t, parameters[t], gradients[t]);
    }
    return builder.build();
  }

  private void backward(int step) {
    for (int t = 0; t < SIZES.length; ++t)
      for (int i = 0; i < SIZES[t]; ++i)
        gradients[t].put(i, (float) (0.1 * parameters[t].get(i) + Math.sin(step * 1.7 + i * 0.9 + t)));
  }

  private float[] values() {
    final float[] values = new float[SIZES[0]];
    parameters[0].get(0, values);
    return values;
  }

  private static FloatBuffer direct(int count) {
    return ByteBuffer.allocateDirect(count * Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer();
  }
}
