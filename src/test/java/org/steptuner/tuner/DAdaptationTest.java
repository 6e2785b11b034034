// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.steptuner.DataType;
import org.steptuner.NonFinite;
import org.steptuner.Optimizer;
import org.steptuner.Schedule;
import org.steptuner.Scope;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Adan;
import org.steptuner.rule.Lion;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;

class DAdaptationTest extends TunerContract {
  private static final AdaGrad ADAGRAD = AdaGrad.defaults().epsilon(1e-6).initialAccumulator(1e-6);

  private static DAdaptation over(Rule rule) {
    return DAdaptation.tuning(rule).initialRate(1e-3);
  }

  @Override
  Map<String, Supplier<TunerBuilder<?>>> forms() {
    final Map<String, Supplier<TunerBuilder<?>>> forms = new LinkedHashMap<>();
    forms.put("SGD", () -> over(SGD.defaults().momentum(0.9).weightDecay(0.01)));
    forms.put("Adam", () -> over(Adam.defaults().weightDecay(0.01)).growthRate(1.5));
    forms.put("AdamW", () -> over(AdamW.defaults()).biasCorrection(true).initialRate(0.01));
    forms.put("AdaGrad", () -> over(ADAGRAD).momentum(0.5));
    forms.put("Lion", () -> over(Lion.defaults().weightDecay(0.1)).growthRate(1.2));
    forms.put("Adan", () -> over(Adan.defaults().weightDecay(0.02)).growthRate(1.5));
    forms.put("Adan without prox", () -> over(Adan.defaults().betas(0.9, 0.8, 0.95).weightDecay(0.02).noProx(true)));
    forms.put("by group SGD",
        () -> over(SGD.defaults().momentum(0.9)).scope(Scope.GROUP).group("second", SGD.defaults().momentum(0.5), 0.5));
    forms.put("by tensor AdamW", () -> over(AdamW.defaults()).scope(Scope.TENSOR));
    forms.put("by group Adan", () -> over(Adan.defaults()).scope(Scope.GROUP).group("second", Adan.defaults().weightDecay(0.1), 0.5));
    forms.put("by tensor AdaGrad", () -> over(ADAGRAD).scope(Scope.TENSOR));
    forms.put("by layer AdamW", () -> over(AdamW.defaults()).layerScale("second", 0.3));
    forms.put("by group Lion", () -> over(Lion.defaults()).scope(Scope.GROUP));
    return forms;
  }

  private static List<Supplier<DAdaptation>> rules() {
    return List.of(
        () -> over(SGD.defaults().momentum(0.9)), () -> over(AdamW.defaults()), () -> over(ADAGRAD).momentum(0.5),
        () -> over(Lion.defaults()), () -> over(Adan.defaults()));
  }

  @Test
  void words() {
    final int[] expected = {7, 10, 9, 8, 14};
    for (int i = 0; i < expected.length; ++i)
      for (NonFinite guard : new NonFinite[] {NonFinite.SKIP, NonFinite.UNCHECKED}) {
        try (Training training = new Training(DataType.FLOAT32, 0, 10);
            Optimizer optimizer = rules().get(i).get().nonFinite(guard).build(training.on(device()))) {
          assertEquals(expected[i] - (guard == NonFinite.SKIP ? 0 : 1), optimizer.wordsPerElement());
        }
      }
  }

  @Test
  void aGroupByItselfLearnsAsIfAlone() {
    for (Supplier<DAdaptation> rule : rules()) {
      try (Training both = new Training(DataType.FLOAT64, 0.5, 300, 200);
          Training first = new Training(DataType.FLOAT64, 0.5, 300);
          Optimizer together = rule.get().scope(Scope.GROUP).build(both.on(device()));
          Optimizer alone = rule.get().build(first.on(device()))) {
        for (int step = 1; step <= 40; ++step) {
          together.step(both.backward(step));
          alone.step(first.backward(step));
        }
        assertEquals(2, together.report().scopes());
        assertEquals(alone.report().learnedScale(), together.report().learnedScale(0));
        assertNotEquals(together.report().learnedScale(0), together.report().learnedScale(1));
        for (int i = 0; i < 300; ++i) assertEquals(first.get(i), both.get(i));
      }
    }
  }

  @Test
  void theCapHolds() {
    for (Supplier<DAdaptation> rule : rules()) {
      try (Training training = new Training(DataType.FLOAT32, 0.1, 500);
          Optimizer optimizer = rule.get().maxRate(0.00102).build(training.on(device()))) {
        for (int step = 1; step <= 60; ++step) {
          optimizer.step(training.backward(step));
          assertTrue(optimizer.report().learnedScale() <= 0.00102);
        }
        assertEquals(0.00102, optimizer.report().learnedScale(), rule.get().description());
      }
    }
  }

  @Test
  void growthIsLimited() {
    for (Supplier<DAdaptation> rule : rules()) {
      try (Training training = new Training(DataType.FLOAT32, 0.1, 500);
          Optimizer optimizer = rule.get().growthRate(1.02).build(training.on(device()))) {
        double before = 1e-3;
        boolean limited = false;
        for (int step = 1; step <= 100; ++step) {
          optimizer.step(training.backward(step));
          final double now = optimizer.report().learnedScale();
          assertTrue(now >= before && now <= before * 1.02);
          limited |= now == before * 1.02;
          before = now;
        }
        assertTrue(limited, rule.get().description());
      }
    }
  }

  /** A schedule that rests: SGD and Adam as if the step had not been. */
  @Test
  void aRateOfZeroFreezesSgdAndAdam(@TempDir Path folder) {
    for (int i = 0; i < 2; ++i) {
      try (Training training = new Training(DataType.FLOAT32, 0.5, SIZES);
          Optimizer optimizer = rules().get(i).get().schedule(Schedule.of(1, 1, 0, 1)).build(training.on(device()))) {
        for (int step = 1; step <= 2; ++step) optimizer.step(training.backward(step));
        final Map<String, byte[]> before = saved(optimizer, folder);
        before.remove("manifest");
        final Map<String, double[]> scalars = optimizer.scalars();
        training.backward(3);
        optimizer.step();
        assertEquals(3, optimizer.steps());
        final Map<String, byte[]> after = saved(optimizer, folder);
        after.remove("manifest");
        assertSame(before, after, "rest");
        optimizer.scalars().forEach((name, values) -> assertArrayEquals(scalars.get(name), values, name));
      }
    }
  }

  @Test
  void aRateOfZeroMovesNothingUnderLionAndKeepsD() {
    try (Training training = new Training(DataType.FLOAT32, 0.5, SIZES);
        Optimizer optimizer = over(Lion.defaults().weightDecay(0.1)).schedule(Schedule.of(1, 1, 0, 1)).build(training.on(device()))) {
      for (int step = 1; step <= 2; ++step) optimizer.step(training.backward(step));
      final byte[] before = training.parameterBytes();
      final double d = optimizer.report().learnedScale();
      training.backward(3);
      optimizer.step();
      assertArrayEquals(before, training.parameterBytes());
      assertEquals(d, optimizer.report().learnedScale());
    }
  }

  @Test
  void aGroupWithFactorZeroStaysAndHasNoPartInD() {
    for (Supplier<DAdaptation> rule : rules()) {
      try (Training both = new Training(DataType.FLOAT64, 0.5, 300, 200);
          Training first = new Training(DataType.FLOAT64, 0.5, 300);
          Optimizer together = rule.get().group("second", rule.get().rule, 0).build(both.on(device()));
          Optimizer alone = rule.get().build(first.on(device()))) {
        final double[] start = both.values();
        for (int step = 1; step <= STEPS; ++step) {
          together.step(both.backward(step));
          alone.step(first.backward(step));
        }
        assertEquals(alone.report().learnedScale(), together.report().learnedScale(), rule.get().description());
        for (int i = 300; i < 500; ++i) assertEquals(start[i], both.get(i));
      }
    }
  }

  /** |g_1| of SGD is over what has a positive rate: in the first step the factor 0 divides by the norm of the other group alone. */
  @Test
  void theFirstNormIsOverWhatMoves() {
    try (Training training = new Training(DataType.FLOAT64, 0.5, 3, 2);
        Optimizer optimizer = over(SGD.defaults()).group("second", SGD.defaults(), 0).build(training.on(device()))) {
      training.backward(1);
      for (int i = 0; i < 5; ++i) training.setGradient(i, i < 3 ? 2 : 50);
      optimizer.step();
      assertEquals(Math.sqrt(12), optimizer.scalars().get("g1_norm")[0], 1e-15);
    }
  }

  /** The layer's scale is on its step and on its parts of n and |s|_1, once each; not on s, v and the decay. */
  @Test
  void aScaleOfALayerIsThatOfTheRelease() {
    final double scale = 0.3;
    final double decay = 0.1;
    try (Training training = new Training(DataType.FLOAT64, 0.5, 3, 2);
        Optimizer optimizer =
            over(AdamW.defaults().weightDecay(decay)).layerScale("second", scale).build(training.on(device()))) {
      final double[] x = training.values();
      final double[] m = new double[5];
      final double[] v = new double[5];
      final double[] s = new double[5];
      final double b = Math.sqrt(0.999);
      double d = 1e-3;
      double n = 0;
      for (int step = 1; step <= 20; ++step) {
        training.backward(step);
        double product = 0;
        double norm = 0;
        for (int i = 0; i < 5; ++i) {
          final double l = i < 3 ? 1 : scale;
          final double g = training.gradient(i);
          product += l * d * g * s[i] / (Math.sqrt(v[i]) + 1e-8);
          m[i] = 0.9 * m[i] + l * d * 0.1 * g;
          v[i] = 0.999 * v[i] + 0.001 * g * g;
          s[i] = b * s[i] + (1 - b) * d * g;
          norm += l * Math.abs(s[i]);
          x[i] += -decay * d * x[i] - m[i] / (Math.sqrt(v[i]) + 1e-8);
        }
        n = b * n + (1 - b) * product;
        d = Math.max(d, n / ((1 - b) * norm));
        optimizer.step();
        assertEquals(d, optimizer.report().learnedScale(), 1e-12 * d);
        assertEquals(norm, optimizer.scalars().get("s_norm")[0], 1e-12 * norm);
        assertArrayEquals(x, training.values(), 1e-12);
      }
      assertTrue(d > 2e-3);
    }
  }

  /** At the rate 0 Adan goes on along its averages, as in the release, and leaves d as it is. */
  @Test
  void aRateOfZeroLeavesAdanItsMomentum() {
    try (Training training = new Training(DataType.FLOAT64, 0.5, 3);
        Optimizer optimizer =
            over(Adan.defaults().weightDecay(0.1)).schedule(Schedule.of(1, 0)).build(training.on(device()))) {
      final double[] x = training.values();
      training.backward(1);
      final double[] first = new double[3];
      for (int i = 0; i < 3; ++i) {
        final double g = first[i] = training.gradient(i);
        x[i] = (x[i] - 1e-3 * 0.02 * g / (Math.sqrt(0.01 * g * g) + 1e-8)) / (1 + 1e-3 * 0.1);
      }
      optimizer.step();
      assertArrayEquals(x, training.values(), 1e-15);
      final double d = optimizer.report().learnedScale();
      training.backward(2);
      optimizer.step();
      for (int i = 0; i < 3; ++i) {
        final double g = training.gradient(i);
        final double ahead = g + 0.92 * (g - first[i]);
        x[i] -= 0.98 * 1e-3 * 0.02 * first[i] / (Math.sqrt(0.99 * 0.01 * first[i] * first[i] + 0.01 * ahead * ahead) + 1e-8);
      }
      assertArrayEquals(x, training.values(), 1e-15);
      assertEquals(d, optimizer.report().learnedScale());
    }
  }

  @Test
  void sgdWaitsForAGradient() {
    try (Training training = new Training(DataType.FLOAT32, 0.5, 300);
        Training twin = new Training(DataType.FLOAT32, 0.5, 300);
        Optimizer optimizer = rules().get(0).get().build(training.on(device()));
        Optimizer other = rules().get(0).get().build(twin.on(device()))) {
      final byte[] before = training.parameterBytes();
      optimizer.step();
      assertArrayEquals(before, training.parameterBytes());
      for (int step = 1; step <= 5; ++step) {
        optimizer.step(training.backward(step));
        other.step(twin.backward(step));
      }
      assertArrayEquals(twin.parameterBytes(), training.parameterBytes());
    }
  }

  /** The sums of a step are taken late; the report has them all the same, at once and after closing. */
  @Test
  void theReportIsOfTheLastStep() {
    for (Supplier<DAdaptation> rule : rules()) {
      try (Training one = new Training(DataType.FLOAT32, 0.5, 300);
          Training two = new Training(DataType.FLOAT32, 0.5, 300)) {
        final Optimizer asked = rule.get().build(one.on(device()));
        final Optimizer unasked = rule.get().build(two.on(device()));
        for (int step = 1; step <= STEPS; ++step) {
          final double d = asked.step(one.backward(step)).learnedScale();
          assertEquals(asked.scalars().get("d")[0], d);
          unasked.step(two.backward(step));
        }
        asked.close();
        unasked.close();
        assertEquals(asked.report().copy().learnedScale(), unasked.report().learnedScale());
        assertArrayEquals(one.parameterBytes(), two.parameterBytes());
      }
    }
  }

  @Test
  void refusesWhatItCannotDo() {
    assertThrows(IllegalArgumentException.class, () -> DAdaptation.tuning(RMSProp.defaults()));
    assertThrows(IllegalArgumentException.class, () -> DAdaptation.tuning(SGD.defaults().momentum(0.9).nesterov(true)));
    assertThrows(IllegalArgumentException.class, () -> DAdaptation.tuning(AdaGrad.defaults().rateDecay(0.1)));
    assertThrows(IllegalArgumentException.class, () -> over(SGD.defaults()).momentum(0.5));
    assertThrows(IllegalArgumentException.class, () -> over(Lion.defaults()).biasCorrection(true));
    assertThrows(IllegalArgumentException.class, () -> over(AdamW.defaults()).group("second", Lion.defaults()));
    assertThrows(IllegalArgumentException.class, () -> over(SGD.defaults()).layerScale("second", 2));
    final DAdaptation plain = over(AdamW.defaults());
    for (double bad : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY})
      assertThrows(IllegalArgumentException.class, () -> plain.layerScale("second", bad));
    for (double bad : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY})
      assertThrows(IllegalArgumentException.class, () -> plain.initialRate(bad));
    assertThrows(IllegalArgumentException.class, () -> plain.growthRate(0.99));
    assertThrows(IllegalArgumentException.class, () -> plain.maxRate(Double.NaN));
    try (Training training = new Training(DataType.FLOAT32, 0.5, 10)) {
      assertThrows(IllegalArgumentException.class, () -> over(AdamW.defaults()).maxRate(1e-4).build(training.on(device())));
      assertThrows(IllegalArgumentException.class, () -> over(AdamW.defaults()).layerScale("other", 2).build(training.on(device())));
    }
  }
}
