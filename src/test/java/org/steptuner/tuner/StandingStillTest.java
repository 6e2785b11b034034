// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.Schedule;
import org.steptuner.StepReport;
import org.steptuner.StepReport.Hold;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.TestTensors;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;

/** A step that a tuner makes at the rate 0 says so, and why. */
class StandingStillTest {
  private static final Device CPU = Device.cpu(1);

  private static Hold hold(TunerBuilder<?> builder, double loss, double gradient, int steps) {
    try (TestTensors tensors = TestTensors.of(DataType.FLOAT64, 10).parameters(i -> 1 + i).gradients(i -> gradient);
        Optimizer optimizer = builder.build(tensors.on(CPU))) {
      final double[] before = tensors.values();
      for (int step = 0; step < steps; ++step) optimizer.step(loss);
      final StepReport report = optimizer.report();
      assertEquals(steps, report.step());
      assertEquals(report.hold() != Hold.NONE, report.standsStill());
      assertEquals(report.hold(), report.copy().hold());
      if (report.standsStill()) {
        assertTrue(report.toString().contains("stands still (" + report.hold() + ")"), report.toString());
        final double[] now = tensors.values();
        for (int i = 0; i < now.length; ++i) assertEquals(before[i], now[i], report.toString());
      }
      return report.hold();
    }
  }

  @Test
  void aLossBelowTheBoundIsReported() {
    final SGD plain = SGD.defaults();
    for (int steps : new int[] {1, 30}) {
      assertEquals(Hold.LOSS_AT_BOUND, hold(MoMo.tuning(plain).bound(2), 1, 1, steps));
      assertEquals(Hold.LOSS_AT_BOUND, hold(MoMo.tuning(AdamW.defaults().weightDecay(0)).bound(2), 1, 1, steps));
      assertEquals(Hold.LOSS_AT_BOUND, hold(Polyak.tuning(plain).bound(2), 1, 1, steps));
      assertEquals(Hold.LOSS_AT_BOUND, hold(Polyak.tuning(plain).bound(2), 2, 1, steps));
      assertEquals(Hold.LOSS_AT_BOUND, hold(Polyak.tuning(plain).bound(2).alongUpdate(), 1, 1, steps));
      assertEquals(Hold.LOSS_AT_BOUND, hold(Polyak.spsMax(plain, 0.5, 1).bound(2), 1, 1, steps));
      assertEquals(Hold.LOSS_AT_BOUND, hold(Polyak.spsMax(plain, 0.5, 1).smoothing(2, 10).bound(2), 1, 1, steps));
      assertEquals(Hold.LOSS_AT_BOUND, hold(MovingTarget.tuning(plain).targets(1), 1, 1, steps));
    }
    assertEquals(Hold.NONE, hold(MoMo.tuning(plain).bound(0.5), 1, 1, 1));
    assertEquals(Hold.NONE, hold(Polyak.tuning(plain).bound(0.5), 1, 1, 1));
    assertEquals(Hold.NONE, hold(Polyak.tuning(plain).bound(0.5).alongUpdate(), 1, 1, 1));
    assertEquals(Hold.NONE, hold(MovingTarget.tuning(plain).targets(0.5), 1, 1, 1));
  }

  @Test
  void otherRatesOfZeroAreReported() {
    assertEquals(Hold.NO_GRADIENT, hold(Polyak.tuning(SGD.defaults()), 1, 0, 1));
    assertEquals(Hold.NO_GRADIENT, hold(MoMo.tuning(SGD.defaults()), 1, 0, 1));
    assertEquals(Hold.NO_GRADIENT, hold(DAdaptation.tuning(SGD.defaults()), 1, 0, 3));
    assertEquals(Hold.NO_GRADIENT, hold(Prodigy.tuning(AdamW.defaults().weightDecay(0)), 1, 0, 3));
    assertEquals(Hold.NO_GRADIENT, hold(DAdaptation.dualAveraging(), 1, 0, 3));
    assertEquals(Hold.RATE_IS_ZERO, hold(Hypergradient.tuning(SGD.defaults(), 0, 0).rateBounds(0, 1), 1, 1, 2));
    assertEquals(Hold.RATE_IS_ZERO, hold(Mechanic.tuning(SGD.defaults()).variant(Mechanic.Variant.THEORETICAL), 1, 1, 1));
  }

  @Test
  void aScheduleOrABaseRateOfZeroIsNotTheTuners() {
    assertEquals(Hold.NONE, hold(FixedRate.of(0, SGD.defaults()), 1, 1, 1));
    assertEquals(Hold.NONE, hold(Polyak.tuning(SGD.defaults()).bound(2).schedule(Schedule.of(0, 0)), 1, 1, 1));
    assertEquals(Hold.NONE, hold(FixedRate.of(1, SGD.defaults()), 1, 0, 1));
  }

  @ParameterizedTest
  @MethodSource("org.steptuner.TestOptimizers#all")
  void ordinaryStepsDoNotStandStill(Configuration configuration) {
    try (TestTensors tensors = TestTensors.of(DataType.FLOAT32, 10).parameters(i -> 1 + i).gradients(i -> 1 + i);
        Optimizer optimizer = configuration.build(tensors.on(CPU))) {
      for (int step = 1; step <= 5; ++step) {
        final StepReport report = optimizer.step(1);
        assertEquals(report.effectiveRate() == 0, report.standsStill(), configuration + ": " + report);
      }
    }
  }
}
