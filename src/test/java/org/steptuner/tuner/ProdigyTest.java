// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.steptuner.DataType;
import org.steptuner.Optimizer;
import org.steptuner.Schedule;
import org.steptuner.Scope;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;

class ProdigyTest extends TunerContract {
  private static Prodigy plain() {
    return Prodigy.tuning(AdamW.defaults()).initialRate(1e-3);
  }

  private static Prodigy plainCoupled() {
    return Prodigy.tuning(Adam.defaults().weightDecay(0.01)).initialRate(1e-2).biasCorrection(true);
  }

  @Override
  Map<String, Supplier<TunerBuilder<?>>> forms() {
    final Map<String, Supplier<TunerBuilder<?>>> forms = new LinkedHashMap<>();
    forms.put("decoupled", () -> plain());
    forms.put("coupled", () -> plainCoupled());
    forms.put("sliced and coupled", () -> plainCoupled().slice(5));
    forms.put("recomputed", () -> plain().displacement(Prodigy.Displacement.RECOMPUTED));
    forms.put("accumulated", () -> plain().displacement(Prodigy.Displacement.ACCUMULATED));
    forms.put("sliced and accumulated, without momentum",
        () -> Prodigy.tuning(AdamW.defaults().betas(0, 0.99)).initialRate(1e-3).slice(7).displacement(Prodigy.Displacement.ACCUMULATED));
    forms.put("recomputed and coupled", () -> plainCoupled().displacement(Prodigy.Displacement.RECOMPUTED));
    forms.put("sliced and recomputed", () -> plain().slice(11).displacement(Prodigy.Displacement.RECOMPUTED));
    forms.put("recomputed without momentum", () -> Prodigy.tuning(AdamW.defaults().betas(0, 0.99)).initialRate(1e-3).growthRate(3)
        .displacement(Prodigy.Displacement.RECOMPUTED));
    forms.put("sliced", () -> plain().slice(11).safeguardWarmup(true));
    forms.put("without momentum", () -> Prodigy.tuning(AdamW.defaults().betas(0, 0.99)).initialRate(1e-3).growthRate(3));
    forms.put("by group", () -> plain().scope(Scope.GROUP).group("second", AdamW.defaults().betas(0.5, 0.9), 0.5));
    forms.put("by tensor", () -> plain().scope(Scope.TENSOR).coefficient(0.5));
    return forms;
  }

  @Test
  void words() {
    assertEquals(14, words(plain()));
    assertEquals(14, words(plain().slice(11)));
    assertEquals(15, words(plain().clipNorm(1)));
    assertEquals(15, words(plainCoupled()));
    assertEquals(15, words(plainCoupled().slice(11)));
    assertEquals(12, words(Prodigy.tuning(AdamW.defaults().betas(0, 0.99))));
    assertEquals(13, words(plain().displacement(Prodigy.Displacement.RECOMPUTED)));
    assertEquals(14, words(plain().displacement(Prodigy.Displacement.ACCUMULATED)));
    assertEquals(13, words(plainCoupled().displacement(Prodigy.Displacement.RECOMPUTED)));
  }

  private static double words(Prodigy prodigy) {
    try (Training training = new Training(DataType.FLOAT32, 0, 10);
        Optimizer optimizer = prodigy.build(training.on(device()))) {
      return optimizer.wordsPerElement();
    }
  }

  /** The formula of the class, element by element, in double. */
  @Test
  void isTheFormula() {
    for (int p : new int[] {1, 3, 11, 512, 700})
      for (Prodigy.Displacement displacement : Prodigy.Displacement.values()) {
        final boolean safeguard = p % 2 == 0 == (displacement == Prodigy.Displacement.STORED);
        final double beta1 = 0.8, beta2 = 0.95, beta3 = 0.9, eps = 1e-6, decay = 0.02, d0 = 1e-3, coefficient = 0.7, growth = 1.4;
        final int[] sizes = {1500, 5, 4500};
        try (Training training = new Training(DataType.FLOAT64, 0.5, sizes);
            Optimizer optimizer =
                Prodigy.tuning(new AdamW(beta1, beta2, eps, decay)).beta3(beta3).initialRate(d0).coefficient(coefficient)
                    .growthRate(growth).safeguardWarmup(safeguard).biasCorrection(true).slice(p).displacement(displacement)
                    .schedule(step -> 0.4 + 0.1 * step)
                    .build(training.on(device()))) {
          final int n = training.count();
          final double[] x0 = training.values();
          final double[] x = training.values();
          final double[] m = new double[n];
          final double[] v = new double[n];
          final double[] s = new double[n];
          double d = d0, largest = d0, numerator = 0;
          for (int step = 1; step <= 20; ++step) {
            optimizer.step(training.backward(step));
            final double r = d * (0.4 + 0.1 * step) * Math.sqrt(1 - Math.pow(beta2, step)) / (1 - Math.pow(beta1, step));
            double progress = 0, norm = 0;
            int index = 0;
            for (int size : sizes)
              for (int i = 0; i < size; ++i, ++index) {
                final double g = training.gradient(index);
                m[index] = beta1 * m[index] + d * (1 - beta1) * g;
                v[index] = beta2 * v[index] + d * d * (1 - beta2) * g * g;
                s[index] = beta3 * s[index] + d / d0 * (safeguard ? d : r) * g;
                if (i % p != 0) continue;
                progress += g * (x0[index] - x[index]);
                norm += Math.abs(s[index]);
              }
            numerator = beta3 * numerator + d / d0 * r * progress;
            final double estimate = coefficient * numerator / norm;
            if (d == d0) d = Math.max(d, estimate);
            largest = Math.max(largest, estimate);
            d = Math.min(largest, d * growth);
            for (int i = 0; i < n; ++i) x[i] -= decay * r * x[i] + r * m[i] / (Math.sqrt(v[i]) + d * eps);
            assertEquals(d, optimizer.report().learnedScale(), 1e-12 * d, "slice " + p + ", step " + step);
            assertArrayEquals(x, training.values(), 1e-10, "slice " + p + ", step " + step);
          }
          assertTrue(d > 3 * d0, "d does not grow");
        }
      }
  }

  /** In float32 d is what it is in float64, however small the steps are beside x, with x0 and without; recomputed, it is not. */
  @Test
  void smallStepsAreNotLost() {
    final Prodigy.Displacement[] displacements = {
      Prodigy.Displacement.STORED, Prodigy.Displacement.STORED, Prodigy.Displacement.RECOMPUTED, Prodigy.Displacement.ACCUMULATED
    };
    final double[] last = new double[displacements.length];
    for (int k = 0; k < last.length; ++k)
      try (Training training = new Training(k == 0 ? DataType.FLOAT64 : DataType.FLOAT32, 0.5, 3000)) {
        for (int i = 0; i < training.count(); ++i) training.set(i, 1000 + i % 13);
        final Prodigy prodigy = Prodigy.tuning(AdamW.defaults().weightDecay(0)).displacement(displacements[k]);
        try (Optimizer optimizer = prodigy.build(training.on(device()))) {
          for (int step = 1; step <= 15; ++step) optimizer.step(training.backward(step));
          last[k] = optimizer.report().learnedScale();
        }
      }
    assertTrue(last[0] > 3e-6, "d = " + last[0]);
    assertEquals(last[0], last[1], 1e-3 * last[0]);
    assertEquals(1e-6, last[2]);
    assertEquals(last[0], last[3], 1e-3 * last[0]);
  }

  @Test
  void aGroupByItselfLearnsAsIfAlone() {
    try (Training both = new Training(DataType.FLOAT64, 0.5, 300, 200);
        Training first = new Training(DataType.FLOAT64, 0.5, 300);
        Optimizer together = plain().scope(Scope.GROUP).build(both.on(device()));
        Optimizer alone = plain().build(first.on(device()))) {
      for (int step = 1; step <= STEPS; ++step) {
        together.step(both.backward(step));
        alone.step(first.backward(step));
      }
      assertEquals(2, together.report().scopes());
      assertEquals(alone.report().learnedScale(), together.report().learnedScale(0));
      assertNotEquals(together.report().learnedScale(0), together.report().learnedScale(1));
      for (int i = 0; i < 300; ++i) assertEquals(first.get(i), both.get(i));
    }
  }

  @Test
  void theCapHolds() {
    try (Training training = new Training(DataType.FLOAT32, 0.1, 500);
        Optimizer optimizer = plain().maxRate(0.01).build(training.on(device()))) {
      for (int step = 1; step <= 30; ++step) {
        optimizer.step(training.backward(step));
        assertTrue(optimizer.report().learnedScale() <= 0.01);
      }
      assertEquals(0.01, optimizer.report().learnedScale());
    }
  }

  @Test
  void aRateOfZeroFreezesEverything(@TempDir Path folder) {
    try (Training training = new Training(DataType.FLOAT32, 0.5, SIZES);
        Optimizer optimizer = plain().schedule(Schedule.of(0, 1, 1, 0, 1)).build(training.on(device()))) {
      for (int step = 1; step <= 4; ++step) {
        final Map<String, byte[]> state = saved(optimizer, folder);
        state.remove("manifest");
        training.backward(step);
        optimizer.step();
        assertEquals(step, optimizer.steps());
        final Map<String, byte[]> after = saved(optimizer, folder);
        after.remove("manifest");
        if (step == 1) { // x0 is what x was
          after.keySet().removeIf(name -> name.startsWith("state/reference"));
          state.keySet().removeIf(name -> name.startsWith("state/reference"));
        }
        if (step == 1 || step == 4) assertSame(state, after, "step " + step);
        assertEquals(Math.min(2, step - 1), optimizer.scalars().get("t")[0]);
      }
    }
  }

  @Test
  void aGroupWithFactorZeroStaysAndHasNoPartInD() {
    try (Training both = new Training(DataType.FLOAT64, 0.5, 300, 200);
        Training first = new Training(DataType.FLOAT64, 0.5, 300);
        Optimizer together = plain().safeguardWarmup(true).group("second", AdamW.defaults(), 0).build(both.on(device()));
        Optimizer alone = plain().safeguardWarmup(true).build(first.on(device()))) {
      final double[] start = both.values();
      for (int step = 1; step <= STEPS; ++step) {
        together.step(both.backward(step));
        alone.step(first.backward(step));
      }
      assertEquals(alone.report().learnedScale(), together.report().learnedScale());
      for (int i = 300; i < 500; ++i) assertEquals(start[i], both.get(i));
    }
  }

  @Test
  void gradientsOfZeroChangeNothing() {
    try (Training training = new Training(DataType.FLOAT32, 0.5, 300);
        Optimizer optimizer = plain().build(training.on(device()))) {
      final byte[] before = training.parameterBytes();
      optimizer.step();
      assertArrayEquals(before, training.parameterBytes());
      assertEquals(1e-3, optimizer.report().learnedScale());
    }
  }

  @Test
  void refusesWhatItCannotDo() {
    assertThrows(IllegalArgumentException.class, () -> Prodigy.tuning(SGD.defaults()));
    final Prodigy prodigy = plain();
    for (double bad : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY}) {
      assertThrows(IllegalArgumentException.class, () -> prodigy.initialRate(bad));
      assertThrows(IllegalArgumentException.class, () -> prodigy.coefficient(bad));
    }
    assertThrows(IllegalArgumentException.class, () -> prodigy.growthRate(0.99));
    assertThrows(IllegalArgumentException.class, () -> prodigy.growthRate(Double.NaN));
    assertThrows(IllegalArgumentException.class, () -> prodigy.maxRate(0));
    assertThrows(IllegalArgumentException.class, () -> prodigy.beta3(1));
    assertThrows(IllegalArgumentException.class, () -> prodigy.slice(0));
    try (Training training = new Training(DataType.FLOAT32, 0.5, 10)) {
      assertThrows(IllegalArgumentException.class, () -> plain().maxRate(1e-4).build(training.on(device())));
    }
  }
}
