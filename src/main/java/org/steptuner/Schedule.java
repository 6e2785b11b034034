// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.util.Arrays;
import java.util.Objects;

/**
 * A factor on the rate of the base rule, by step. Steps count from 1; a skipped step does not count.
 *
 * <p>A schedule must always give the same value for the same step, because a resumed run asks again.
 */
@FunctionalInterface
public interface Schedule {
  /**
   * The factor of step {@code step}: finite and not negative.
   *
   * @param step the step about to be made, from 1
   */
  double at(long step);

  /** The factor 1 at every step. */
  static Schedule constant() {
    return step -> 1;
  }

  /**
   * Linear warm-up from {@code 1/warmupSteps} to 1, then linear decay to 0 at {@code totalSteps}.
   *
   * @param warmupSteps steps of warm-up, 0 or more
   * @param totalSteps steps in all, more than warmupSteps
   */
  static Schedule linear(long warmupSteps, long totalSteps) {
    checkSteps(warmupSteps, totalSteps);
    return step -> step <= warmupSteps ? (double) step / warmupSteps : remaining(step, warmupSteps, totalSteps);
  }

  /**
   * Linear warm-up from {@code 1/warmupSteps} to 1, then half a cosine from 1 to 0 at {@code totalSteps}.
   *
   * @param warmupSteps steps of warm-up, 0 or more
   * @param totalSteps steps in all, more than warmupSteps
   */
  static Schedule cosine(long warmupSteps, long totalSteps) {
    checkSteps(warmupSteps, totalSteps);
    return step -> step <= warmupSteps
        ? (double) step / warmupSteps
        : 0.5 * (1 - Math.cos(Math.PI * remaining(step, warmupSteps, totalSteps)));
  }

  /**
   * Linear warm-up from {@code 1/warmupSteps} to 1, then 1, multiplied by {@code factor} after each of {@code milestones}.
   *
   * @param warmupSteps steps of warm-up, 0 or more
   * @param factor in [0, 1]
   * @param milestones steps, increasing
   */
  static Schedule steps(long warmupSteps, double factor, long... milestones) {
    if (warmupSteps < 0) throw new IllegalArgumentException("warmupSteps must be 0 or more, not " + warmupSteps);
    if (!(factor >= 0 && factor <= 1)) throw new IllegalArgumentException("factor must be in [0, 1], not " + factor);
    final long[] at = Objects.requireNonNull(milestones, "milestones").clone();
    for (int i = 1; i < at.length; ++i)
      if (at[i] <= at[i - 1]) throw new IllegalArgumentException("milestones must increase: " + Arrays.toString(at));
    return step -> {
      double value = step <= warmupSteps ? (double) step / warmupSteps : 1;
      for (long milestone : at) if (step > milestone) value *= factor;
      return value;
    };
  }

  /**
   * The given factors for steps 1, 2, ...; later steps have the last one.
   *
   * @param factors at least one, all finite and not negative
   */
  static Schedule of(double... factors) {
    Objects.requireNonNull(factors, "factors");
    if (factors.length == 0) throw new IllegalArgumentException("factors must not be empty");
    final double[] all = factors.clone();
    for (double factor : all)
      if (!(factor >= 0 && factor <= Double.MAX_VALUE))
        throw new IllegalArgumentException("factors must be finite and not negative, not " + factor);
    return step -> all[(int) Math.min(step, all.length) - 1];
  }

  private static double remaining(long step, long warmupSteps, long totalSteps) {
    return Math.max(0, (double) (totalSteps - step) / (totalSteps - warmupSteps));
  }

  private static void checkSteps(long warmupSteps, long totalSteps) {
    if (warmupSteps < 0) throw new IllegalArgumentException("warmupSteps must be 0 or more, not " + warmupSteps);
    if (totalSteps <= warmupSteps)
      throw new IllegalArgumentException("totalSteps must be more than warmupSteps, not " + totalSteps + " and " + warmupSteps);
  }
}
