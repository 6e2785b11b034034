// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.Schedule;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.MirrorMADGRAD;
import org.steptuner.rule.Rule;

class MadgradTest extends TunerContract {
  private static final MADGRAD PLAIN = MADGRAD.defaults();
  private static final MirrorMADGRAD MIRROR = MirrorMADGRAD.defaults();

  @Override
  Map<String, Supplier<TunerBuilder<?>>> forms() {
    final Map<String, Supplier<TunerBuilder<?>>> forms = new LinkedHashMap<>();
    forms.put("MADGRAD", () -> FixedRate.of(0.01, PLAIN.weightDecay(0.01)));
    forms.put("mirror MADGRAD", () -> FixedRate.of(0.01, MIRROR.epsilon(1e-6)));
    forms.put("Mechanic over MADGRAD", () -> Mechanic.tuning(PLAIN).baseRate(0.01).initialScale(0.1));
    forms.put("Mechanic over mirror MADGRAD",
        () -> Mechanic.tuning(MIRROR).variant(Mechanic.Variant.TORCH).baseRate(0.01).initialScale(0.1));
    return forms;
  }

  @Test
  void words() {
    final Map<Rule, Integer> expected = Map.of(PLAIN, 10, MIRROR, 8);
    expected.forEach((rule, words) -> {
      try (Training training = new Training(DataType.FLOAT32, 0, 10);
          Optimizer optimizer = FixedRate.of(1, rule).build(training.on(device()))) {
        assertEquals(words.intValue(), optimizer.wordsPerElement(), "with the guard");
      }
    });
  }

  @Test
  void areTheirFormulas() {
    final double rate = 0.05, momentum = 0.7, epsilon = 1e-4, decay = 0.1;
    for (boolean mirror : new boolean[] {false, true}) {
      final Rule rule = mirror ? new MirrorMADGRAD(momentum, epsilon, decay) : new MADGRAD(momentum, epsilon, decay);
      for (Device device : devices()) {
        try (Training training = new Training(DataType.FLOAT64, 0.5, 700);
            Optimizer optimizer = FixedRate.of(rate, rule).schedule(Schedule.of(1, 1, 0, 0.5, 1)).build(training.on(device))) {
          final int n = training.count();
          final double[] factors = {1, 1, 0, 0.5, 1};
          final double[] x0 = training.values();
          final double[] z = training.values();
          final double[] x = training.values();
          final double[] v = new double[n];
          final double[] s = new double[n];
          for (int t = 1; t <= 5; ++t) {
            optimizer.step(training.backward(t));
            final double lr = factors[t - 1] == 0 ? 0 : rate * factors[t - 1] + epsilon;
            for (int i = 0; i < n; ++i) {
              final double g = training.gradient(i) + decay * x[i];
              if (mirror) {
                v[i] = Math.sqrt((t - 1.0) / t) * v[i] + g * g;
                z[i] -= lr * Math.cbrt(t) * g / (Math.cbrt(v[i]) + epsilon);
              } else {
                v[i] += lr * Math.sqrt(t) * g * g;
                s[i] += lr * Math.sqrt(t) * g;
                z[i] = x0[i] - s[i] / (Math.cbrt(v[i]) + epsilon);
              }
              x[i] = momentum * x[i] + (1 - momentum) * z[i];
            }
            assertArrayEquals(x, training.values(), 1e-13, rule + ", step " + t);
          }
        }
      }
    }
  }

  /** Gradients over the whole range: x = -g / cbrt(g^2) is a cube root by itself. */
  @Test
  void theCubeRootHoldsOverTheWholeRange() {
    final Rule rule = MIRROR.momentum(0);
    for (DataType type : new DataType[] {DataType.FLOAT32, DataType.FLOAT64})
      for (Device device : devices()) {
        try (Training training = new Training(type, 0, 3001);
            Optimizer optimizer = FixedRate.of(1, rule).build(training.on(device))) {
          final int reach = type == DataType.FLOAT32 ? 60 : 500; // |g|^2 over all elements must not overflow
          for (int i = 0; i < training.count(); ++i) {
            training.set(i, 0);
            training.setGradient(i, i == 0 ? 0 : Math.scalb(1 + i / 3001.0, i * 2 * reach / 3001 - reach) * (i % 2 == 0 ? 1 : -1));
          }
          optimizer.step();
          for (int i = 0; i < training.count(); ++i) {
            final double wanted = -Math.cbrt(training.gradient(i));
            assertEquals(wanted, training.get(i), Math.abs(wanted) * (type == DataType.FLOAT32 ? 3e-7 : 6e-16),
                "g = " + training.gradient(i));
          }
        }
      }
  }

  @Test
  void zeroGradientsDoNotDivideByZero() {
    for (Rule rule : new Rule[] {PLAIN.epsilon(0), MIRROR}) {
      try (Training training = new Training(DataType.FLOAT32, 0.5, 100);
          Optimizer optimizer = FixedRate.of(0.1, rule).build(training.on(device()))) {
        final byte[] before = training.parameterBytes();
        optimizer.step();
        assertArrayEquals(before, training.parameterBytes(), rule.toString());
        optimizer.step(training.backward(1));
        for (double value : training.values()) assertTrue(Double.isFinite(value));
      }
    }
  }

  @Test
  void refuseWhatTheyCannotDo() {
    for (double bad : new double[] {-0.1, 1, Double.NaN}) {
      assertThrows(IllegalArgumentException.class, () -> PLAIN.momentum(bad));
      assertThrows(IllegalArgumentException.class, () -> MIRROR.momentum(bad));
    }
    for (double bad : new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY}) {
      assertThrows(IllegalArgumentException.class, () -> PLAIN.epsilon(bad));
      assertThrows(IllegalArgumentException.class, () -> PLAIN.weightDecay(bad));
      assertThrows(IllegalArgumentException.class, () -> MIRROR.epsilon(bad));
      assertThrows(IllegalArgumentException.class, () -> MIRROR.weightDecay(bad));
    }
  }
}
