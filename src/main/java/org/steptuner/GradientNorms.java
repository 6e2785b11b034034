// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.util.Arrays;

/**
 * The gradient norms of a run, step by step, for {@link ScheduleRefinement}. Skipped steps are left out, because schedules do not count
 * them.
 *
 * <pre>{@code
 * GradientNorms norms = new GradientNorms();
 * try (Optimizer optimizer = FixedRate.of(1e-3, AdamW.defaults()).gradientL1(true).build(parameters)) {
 *   for (...) { trainer.backward(); norms.add(optimizer.step()); }
 * }
 * Schedule next = ScheduleRefinement.forAdam(norms.l1()).smoothed().schedule();
 * }</pre>
 */
public final class GradientNorms {
  private double[] l2 = new double[1024];
  private double[] l1 = new double[1024];
  private int count;

  /** Begins with no steps. */
  public GradientNorms() {}

  /**
   * Adds the norms of a step, unless it was skipped.
   *
   * @param report of the step that was just made
   */
  public void add(StepReport report) {
    if (report.skipped()) return;
    if (count == l2.length) {
      l2 = Arrays.copyOf(l2, 2 * count);
      l1 = Arrays.copyOf(l1, 2 * count);
    }
    l2[count] = report.gradientNorm();
    l1[count++] = report.gradientL1();
  }

  /** The number of steps added. */
  public int count() {
    return count;
  }

  /**
   * |g| of every step, a copy.
   *
   * @throws IllegalStateException if a report had none, because nothing computed it
   */
  public double[] l2() {
    return known(l2, "no |g|: build the optimizer with a guard against non-finite gradients, which is the default, or gradientL1(true)");
  }

  /**
   * |g|_1 of every step, a copy.
   *
   * @throws IllegalStateException if a report had none, because the optimizer was not built with {@code gradientL1(true)}
   */
  public double[] l1() {
    return known(l1, "no |g|_1: build the optimizer with gradientL1(true)");
  }

  private double[] known(double[] norms, String message) {
    final double[] copy = Arrays.copyOf(norms, count);
    for (int i = 0; i < count; ++i)
      if (Double.isNaN(copy[i])) throw new IllegalStateException("the report of step " + (i + 1) + " has " + message);
    return copy;
  }
}
