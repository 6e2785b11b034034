// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.steptuner.DataType;
import org.steptuner.NonFinite;
import org.steptuner.Optimizer;
import org.steptuner.Schedule;
import org.steptuner.StepReport;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;

class MoMoTest extends TunerContract {
  private static MoMo plain() {
    return MoMo.tuning(SGD.defaults().momentum(0.9).weightDecay(0.01));
  }

  private static MoMo adam() {
    return MoMo.tuning(AdamW.defaults()).maxRate(0.1);
  }

  private static MoMo rmsProp() {
    return MoMo.tuning(RMSProp.defaults().momentum(0.9).weightDecay(0.01)).maxRate(0.1);
  }

  private static MoMo adaGrad() {
    return MoMo.tuning(AdaGrad.defaults().epsilon(1e-8)).maxRate(0.5);
  }

  @Override
  Map<String, Supplier<TunerBuilder<?>>> forms() {
    final Map<String, Supplier<TunerBuilder<?>>> forms = new LinkedHashMap<>();
    forms.put("MoMo", () -> plain());
    forms.put("MoMo of optax, bound estimated", () -> plain().variant(MoMo.Variant.OPTAX).estimateBound(true));
    forms.put("MoMo corrected", () -> plain().biasCorrection(true).bound(-3));
    forms.put("MoMo-Adam", () -> adam());
    forms.put("MoMo-Adam as AdamW decays", () -> adam().decay(MoMo.Decay.MULTIPLY).estimateBound(true));
    forms.put("MoMo over RMSProp", () -> rmsProp());
    forms.put("MoMo over RMSProp corrected", () -> rmsProp().biasCorrection(true).variant(MoMo.Variant.OPTAX));
    forms.put(
        "MoMo with epsilon inside",
        () -> MoMo.tuning(RMSProp.defaults().epsilon(1e-6).epsilonInsideRoot(true)).maxRate(0.1).estimateBound(true));
    forms.put("MoMo over AdaGrad", () -> adaGrad().beta(0.8));
    forms.put("without momentum", () -> MoMo.tuning(SGD.defaults()));
    return forms;
  }

  @Test
  void words() {
    final MoMo[] forms = {plain(), adam(), rmsProp(), adaGrad()};
    final int[] expected = {8, 11, 11, 11}; // g, x, m and v read; then g read, x, m and v read and written
    for (int i = 0; i < forms.length; ++i) {
      try (Training training = new Training(DataType.FLOAT32, 0, 10);
          Optimizer optimizer = forms[i].build(training.on(device()))) {
        assertEquals(expected[i], optimizer.wordsPerElement());
      }
    }
  }

  /** The model's formulas with the D of RMSProp and of AdaGrad, in double. */
  @Test
  void formulaWithAnotherD() {
    for (boolean ada : new boolean[] {false, true})
      for (boolean inside : new boolean[] {false, true}) {
        if (ada && inside) continue;
        final double beta = 0.7, alpha = 0.9, epsilon = 1e-3, decay = 0.1, rate = 0.4, bound = 3;
        final Rule rule =
            ada
                ? new AdaGrad(0, epsilon, decay, 0.5)
                : new RMSProp(alpha, epsilon, decay, beta, inside);
        final MoMo builder = MoMo.tuning(rule).maxRate(rate).bound(bound);
        if (ada) builder.beta(beta);
        try (Training training = new Training(DataType.FLOAT64, 0.5, 60, 30);
            Optimizer optimizer = builder.build(training.on(device()))) {
          final int n = training.count();
          final double[] m = new double[n], v = new double[n], x = training.values();
          if (ada) Arrays.fill(v, 0.5);
          double f = 0, gamma = 0;
          boolean limited = false, free = false;
          for (int step = 1; step <= 20; ++step) {
            final double loss = training.backward(step);
            final double old = step == 1 ? 0 : beta;
            double product = 0, average = 0, length = 0;
            for (int i = 0; i < n; ++i) {
              final double g = training.gradient(i);
              m[i] = old * m[i] + (1 - old) * g;
              v[i] = ada ? v[i] + g * g : alpha * v[i] + (1 - alpha) * g * g;
              product += x[i] * g;
              average += x[i] * m[i];
              length += m[i] * m[i] / d(v[i], epsilon, inside);
            }
            f = old * f + (1 - old) * loss;
            gamma = old * gamma + (1 - old) * product;
            final double k = 1 + rate * decay;
            final double tau = Math.min(rate, Math.max(k * (f - bound) + average - k * gamma, 0) / length);
            for (int i = 0; i < n; ++i) x[i] = (x[i] - tau * m[i] / d(v[i], epsilon, inside)) / k;
            assertEquals(tau, optimizer.step(loss).learnedScale(), 1e-11, rule + ", step " + step);
            assertArrayEquals(x, training.values(), 1e-11, rule + ", step " + step);
            limited |= tau == rate;
            free |= tau < rate;
          }
          assertTrue(limited || free);
        }
      }
  }

  private static double d(double square, double epsilon, boolean inside) {
    return inside ? Math.sqrt(square + epsilon) : Math.sqrt(square) + epsilon;
  }

  @Test
  void aStepWithoutALossIsRefused() {
    for (NonFinite nonFinite : NonFinite.values())
      for (MoMo momo : new MoMo[] {plain(), adam()}) {
        try (Training training = new Training(DataType.FLOAT32, 0.5, 100);
            Optimizer optimizer = momo.nonFinite(nonFinite).build(training.on(device()))) {
          final double loss = training.backward(1);
          final byte[] before = training.parameterBytes();
          final IllegalStateException e = assertThrows(IllegalStateException.class, optimizer::step);
          assertTrue(e.getMessage().contains("step(loss)"), e.getMessage());
          assertArrayEquals(before, training.parameterBytes());
          assertEquals(0, optimizer.steps());
          assertEquals(0, optimizer.report().skippedSteps());
          optimizer.step(loss);
          assertEquals(1, optimizer.steps());
        }
      }
  }

  /** Without momentum, decay and noise: the Polyak step (loss - bound) / |g|^2, at most maxRate. */
  @Test
  void withoutMomentumItIsThePolyakStep() {
    try (Training training = new Training(DataType.FLOAT64, 0, 500);
        Optimizer optimizer = MoMo.tuning(SGD.defaults()).maxRate(0.45).bound(20).build(training.on(device()))) {
      boolean limited = false, free = false;
      for (int step = 1; step <= 8; ++step) {
        final double loss = training.backward(step);
        double square = 0;
        for (int i = 0; i < training.count(); ++i) square += training.gradient(i) * training.gradient(i);
        final double wanted = Math.min(0.45, Math.max(0, loss - 20) / square);
        final StepReport report = optimizer.step(loss);
        // <x, g> is added and taken away again.
        assertEquals(wanted, report.learnedScale(), 1e-10, "step " + step);
        limited |= wanted == 0.45;
        free |= wanted < 0.45 && wanted > 0;
      }
      assertTrue(limited && free);
    }
  }

  @Test
  void lossesBelowTheBoundStopIt() {
    try (Training training = new Training(DataType.FLOAT64, 0, 500);
        Optimizer optimizer = MoMo.tuning(SGD.defaults().momentum(0.9)).bound(1e9).build(training.on(device()))) {
      final byte[] before = training.parameterBytes();
      assertEquals(0, optimizer.step(training.backward(1)).learnedScale());
      assertArrayEquals(before, training.parameterBytes());
    }
  }

  @Test
  void zeroGradientsAndRatesMoveNothing() {
    for (MoMo momo : new MoMo[] {MoMo.tuning(SGD.defaults().momentum(0.9)), MoMo.tuning(AdamW.defaults().weightDecay(0))}) {
      try (Training training = new Training(DataType.FLOAT32, 0.5, 300);
          Optimizer optimizer = momo.schedule(Schedule.of(1, 0, 1)).build(training.on(device()))) {
        final byte[] before = training.parameterBytes();
        optimizer.step(1);
        assertArrayEquals(before, training.parameterBytes(), "no gradient");
        optimizer.step(training.backward(2));
        assertEquals(0, optimizer.report().learnedScale());
        assertArrayEquals(before, training.parameterBytes(), "no rate");
      }
    }
  }

  @Test
  void refusesWhatItCannotDo() {
    assertThrows(IllegalArgumentException.class, () -> MoMo.tuning(Lion.defaults()));
    assertThrows(IllegalArgumentException.class, () -> MoMo.tuning(AdaGrad.defaults().rateDecay(0.1)));
    assertThrows(IllegalArgumentException.class, () -> adaGrad().beta(1));
    assertThrows(IllegalArgumentException.class, () -> adam().beta(0.5));
    assertThrows(IllegalArgumentException.class, () -> MoMo.tuning(SGD.defaults().momentum(0.9).nesterov(true)));
    assertThrows(IllegalArgumentException.class, () -> MoMo.tuning(Adam.defaults().weightDecay(0.1)));
    for (double bad : new double[] {Double.NaN, Double.NEGATIVE_INFINITY})
      assertThrows(IllegalArgumentException.class, () -> plain().bound(bad));
    assertThrows(IllegalArgumentException.class, () -> plain().maxRate(-1));
    try (Training training = new Training(DataType.FLOAT32, 0.5, 10, 10)) {
      assertThrows(IllegalArgumentException.class, () -> rmsProp().decay(MoMo.Decay.MULTIPLY).build(training.on(device())));
      assertThrows(IllegalArgumentException.class, () -> plain().decay(MoMo.Decay.MULTIPLY).build(training.on(device())));
      assertThrows(
          IllegalArgumentException.class,
          () -> adam().variant(MoMo.Variant.OPTAX).decay(MoMo.Decay.MULTIPLY).build(training.on(device())));
      assertThrows(
          IllegalArgumentException.class, () -> adam().group("second", AdamW.defaults().weightDecay(0)).build(training.on(device())));
    }
  }
}
