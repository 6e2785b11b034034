// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.Refusal.assertRefused;

import org.junit.jupiter.api.Test;

/** The schedules' values at the steps where something happens, and at the first and last. */
class ScheduleTest {
  @Test
  void constant() {
    for (long step : new long[] {1, 2, 1L << 40}) assertEquals(1, Schedule.constant().at(step));
  }

  @Test
  void linear() {
    final Schedule schedule = Schedule.linear(4, 12);
    final double[] expected = {0.25, 0.5, 0.75, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0, 0};
    for (int i = 0; i < expected.length; ++i) assertEquals(expected[i], schedule.at(i + 1), "step " + (i + 1));
    assertEquals(0, schedule.at(Long.MAX_VALUE));
  }

  @Test
  void linearWithoutWarmup() {
    final Schedule schedule = Schedule.linear(0, 4);
    assertEquals(0.75, schedule.at(1));
    assertEquals(0, schedule.at(4));
  }

  @Test
  void cosine() {
    final Schedule schedule = Schedule.cosine(2, 6);
    assertEquals(0.5, schedule.at(1));
    assertEquals(1, schedule.at(2));
    assertEquals((1 + Math.sqrt(0.5)) / 2, schedule.at(3), 1e-15);
    assertEquals(0.5, schedule.at(4), 1e-15);
    assertEquals((1 - Math.sqrt(0.5)) / 2, schedule.at(5), 1e-15);
    assertEquals(0, schedule.at(6));
    assertEquals(0, schedule.at(7));
  }

  @Test
  void steps() {
    final long[] milestones = {3, 5};
    final Schedule schedule = Schedule.steps(2, 0.1, milestones);
    milestones[0] = 100; // the schedule has its own
    final double[] expected = {0.5, 1, 1, 0.1, 0.1, 0.1 * 0.1, 0.1 * 0.1};
    for (int i = 0; i < expected.length; ++i) assertEquals(expected[i], schedule.at(i + 1), "step " + (i + 1));
    assertEquals(1, Schedule.steps(0, 0.5).at(1000));
  }

  @Test
  void of() {
    final double[] factors = {1, 0.5, 0.25};
    final Schedule schedule = Schedule.of(factors);
    factors[0] = 7;
    assertEquals(1, schedule.at(1));
    assertEquals(0.5, schedule.at(2));
    for (long step : new long[] {3, 4, Long.MAX_VALUE}) assertEquals(0.25, schedule.at(step));
  }

  /** Every schedule is a factor that a step accepts, at every step. */
  @Test
  void valuesAreFiniteAndNotNegative() {
    for (Schedule schedule : new Schedule[] {
      Schedule.linear(0, 1), Schedule.linear(10, 11), Schedule.cosine(0, 1), Schedule.cosine(10, 1000), Schedule.steps(3, 0, 1, 2)
    })
      for (long step = 1; step < 2000; ++step) {
        final double value = schedule.at(step);
        assertTrue(value >= 0 && value <= 1, "step " + step + ": " + value);
      }
  }

  @Test
  void badArguments() {
    assertRefused(IllegalArgumentException.class, () -> Schedule.linear(-1, 5), "warmupSteps", "-1");
    assertRefused(IllegalArgumentException.class, () -> Schedule.linear(5, 5), "totalSteps", "5");
    assertRefused(IllegalArgumentException.class, () -> Schedule.cosine(-1, 5), "warmupSteps", "-1");
    assertRefused(IllegalArgumentException.class, () -> Schedule.cosine(0, 0), "totalSteps", "0");
    assertRefused(IllegalArgumentException.class, () -> Schedule.steps(-2, 0.5, 1), "warmupSteps", "-2");
    for (double bad : new double[] {-0.1, 1.1, Double.NaN})
      assertRefused(IllegalArgumentException.class, () -> Schedule.steps(0, bad, 1), "factor", "" + bad);
    assertRefused(IllegalArgumentException.class, () -> Schedule.steps(0, 0.5, 3, 3), "milestones", "[3, 3]");
    assertRefused(IllegalArgumentException.class, Schedule::of, "factors", "empty");
    for (double bad : new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY})
      assertRefused(IllegalArgumentException.class, () -> Schedule.of(1, bad), "factors", "" + bad);
    assertThrows(NullPointerException.class, () -> Schedule.of((double[]) null));
    assertThrows(NullPointerException.class, () -> Schedule.steps(0, 0.5, (long[]) null));
  }
}
