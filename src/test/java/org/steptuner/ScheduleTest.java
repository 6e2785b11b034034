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

  private static void assertFactors(Schedule schedule, double... expected) {
    for (int i = 0; i < expected.length; ++i) assertEquals(expected[i], schedule.at(i + 1), 1e-15, "step " + (i + 1));
  }

  @Test
  void warmup() {
    assertFactors(Schedule.warmup(4), 0.25, 0.5, 0.75, 1, 1, 1);
    assertFactors(Schedule.warmup(0), 1, 1);
    assertEquals(1, Schedule.warmup(4).at(Long.MAX_VALUE));
  }

  @Test
  void polynomial() {
    assertFactors(Schedule.polynomial(2, 6, 2), 0.5, 1, 9 / 16.0, 1 / 4.0, 1 / 16.0, 0, 0);
    assertFactors(Schedule.polynomial(0, 4, 0.5), Math.sqrt(0.75), Math.sqrt(0.5), 0.5, 0);
    for (long step = 1; step < 15; ++step)
      assertEquals(Schedule.linear(4, 12).at(step), Schedule.polynomial(4, 12, 1).at(step), "power 1");
  }

  @Test
  void inverseTime() {
    assertFactors(Schedule.inverseTime(0, 1), 1, 1 / 2.0, 1 / 3.0, 1 / 4.0);
    assertFactors(Schedule.inverseTime(3, 2), 1 / 3.0, 2 / 3.0, 1, 2 / 3.0, 1 / 2.0, 2 / 5.0);
    assertEquals(0.5, Schedule.inverseTime(10, 90).at(100), "after the timescale");
    assertTrue(Schedule.inverseTime(0, 1).at(Long.MAX_VALUE) > 0);
  }

  @Test
  void inverseSquareRoot() {
    assertFactors(Schedule.inverseSquareRoot(0, 1), 1, 1 / Math.sqrt(2), 1 / Math.sqrt(3), 1 / 2.0);
    assertEquals(0.5, Schedule.inverseSquareRoot(10, 30).at(100), "after three timescales");
    // Vaswani et al.: min(t / W, sqrt(W / t)) relative to the largest value.
    for (long t = 1; t < 50; ++t)
      assertEquals(Math.min(t / 8.0, Math.sqrt(8.0 / t)), Schedule.inverseSquareRoot(8, 8).at(t), 1e-15, "step " + t);
  }

  @Test
  void warmupStableDecay() {
    assertFactors(
        Schedule.warmupStableDecay(2, 4, 10, Schedule.Cooldown.LINEAR), 0.5, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0, 0);
    assertFactors(
        Schedule.warmupStableDecay(2, 4, 10, Schedule.Cooldown.ONE_MINUS_SQRT), 0.5, 1, 1, 1, 1, 1, 0.5, 1 - Math.sqrt(0.5),
        1 - Math.sqrt(0.75), 0, 0);
    assertFactors(Schedule.warmupStableDecay(2, 2, 4, Schedule.Cooldown.LINEAR), 0.5, 1, 0.5, 0, 0);
    assertFactors(Schedule.warmupStableDecay(0, 1, 2, Schedule.Cooldown.LINEAR), 1, 0);
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
      Schedule.linear(0, 1), Schedule.linear(10, 11), Schedule.cosine(0, 1), Schedule.cosine(10, 1000), Schedule.steps(3, 0, 1, 2),
      Schedule.warmup(7), Schedule.polynomial(10, 1000, 0.3), Schedule.polynomial(0, 1, 3), Schedule.inverseTime(5, 0.1),
      Schedule.inverseSquareRoot(5, 1e300), Schedule.warmupStableDecay(10, 500, 1000, Schedule.Cooldown.ONE_MINUS_SQRT),
      Schedule.warmupStableDecay(0, 1000, 1000, Schedule.Cooldown.LINEAR)
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
    assertRefused(IllegalArgumentException.class, () -> Schedule.warmup(-3), "warmupSteps", "-3");
    assertRefused(IllegalArgumentException.class, () -> Schedule.polynomial(5, 5, 1), "totalSteps", "5");
    assertRefused(IllegalArgumentException.class, () -> Schedule.inverseTime(-1, 1), "warmupSteps", "-1");
    assertRefused(IllegalArgumentException.class, () -> Schedule.inverseSquareRoot(-1, 1), "warmupSteps", "-1");
    for (double bad : new double[] {-1, 0, Double.NaN, Double.POSITIVE_INFINITY}) {
      assertRefused(IllegalArgumentException.class, () -> Schedule.polynomial(0, 5, bad), "power", "" + bad);
      assertRefused(IllegalArgumentException.class, () -> Schedule.inverseTime(0, bad), "timescale", "" + bad);
      assertRefused(IllegalArgumentException.class, () -> Schedule.inverseSquareRoot(0, bad), "timescale", "" + bad);
    }
    final Schedule.Cooldown linear = Schedule.Cooldown.LINEAR;
    assertRefused(IllegalArgumentException.class, () -> Schedule.warmupStableDecay(-1, 1, 5, linear), "warmupSteps", "-1");
    assertRefused(IllegalArgumentException.class, () -> Schedule.warmupStableDecay(5, 1, 5, linear), "totalSteps", "5");
    for (long bad : new long[] {0, -1, 4, Long.MAX_VALUE})
      assertRefused(IllegalArgumentException.class, () -> Schedule.warmupStableDecay(2, bad, 5, linear), "decaySteps", "1 to 3", "" + bad);
    assertThrows(NullPointerException.class, () -> Schedule.warmupStableDecay(0, 1, 5, null));
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
