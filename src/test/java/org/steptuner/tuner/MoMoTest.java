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
import org.steptuner.NonFinite;
import org.steptuner.Optimizer;
import org.steptuner.Schedule;
import org.steptuner.StepReport;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.SGD;

class MoMoTest extends TunerContract {
  private static MoMo plain() {
    return MoMo.tuning(SGD.defaults().momentum(0.9).weightDecay(0.01));
  }

  private static MoMo adam() {
    return MoMo.tuning(AdamW.defaults()).maxRate(0.1);
  }

  @Override
  Map<String, Supplier<TunerBuilder<?>>> forms() {
    final Map<String, Supplier<TunerBuilder<?>>> forms = new LinkedHashMap<>();
    forms.put("MoMo", () -> plain());
    forms.put("MoMo of optax, bound estimated", () -> plain().variant(MoMo.Variant.OPTAX).estimateBound(true));
    forms.put("MoMo corrected", () -> plain().biasCorrection(true).bound(-3));
    forms.put("MoMo-Adam", () -> adam());
    forms.put("MoMo-Adam as AdamW decays", () -> adam().decay(MoMo.Decay.MULTIPLY).estimateBound(true));
    forms.put("without momentum", () -> MoMo.tuning(SGD.defaults()));
    return forms;
  }

  @Test
  void words() {
    for (MoMo momo : new MoMo[] {plain(), adam()}) {
      try (Training training = new Training(DataType.FLOAT32, 0, 10);
          Optimizer optimizer = momo.build(training.on(device()))) {
        assertEquals(momo.adam ? 11 : 8, optimizer.wordsPerElement());
      }
    }
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
    assertThrows(IllegalArgumentException.class, () -> MoMo.tuning(RMSProp.defaults()));
    assertThrows(IllegalArgumentException.class, () -> MoMo.tuning(SGD.defaults().momentum(0.9).nesterov(true)));
    assertThrows(IllegalArgumentException.class, () -> MoMo.tuning(Adam.defaults().weightDecay(0.1)));
    assertThrows(IllegalArgumentException.class, () -> MoMo.tuning(AdamW.defaults().epsilon(0)));
    for (double bad : new double[] {Double.NaN, Double.NEGATIVE_INFINITY})
      assertThrows(IllegalArgumentException.class, () -> plain().bound(bad));
    assertThrows(IllegalArgumentException.class, () -> plain().maxRate(-1));
    try (Training training = new Training(DataType.FLOAT32, 0.5, 10, 10)) {
      assertThrows(IllegalArgumentException.class, () -> plain().decay(MoMo.Decay.MULTIPLY).build(training.on(device())));
      assertThrows(
          IllegalArgumentException.class,
          () -> adam().variant(MoMo.Variant.OPTAX).decay(MoMo.Decay.MULTIPLY).build(training.on(device())));
      assertThrows(
          IllegalArgumentException.class, () -> adam().group("second", AdamW.defaults().weightDecay(0)).build(training.on(device())));
    }
  }
}
