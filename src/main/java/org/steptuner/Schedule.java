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
   * Linear warm-up: {@code step / warmupSteps} until it is 1, then 1. Goyal et al., "Accurate, Large Minibatch SGD" (2017), section 2.2.
   *
   * @param warmupSteps steps of warm-up, 0 or more
   */
  static Schedule warmup(long warmupSteps) {
    return warmedUp(warmupSteps, constant());
  }

  /**
   * Linear warm-up from {@code 1/warmupSteps} to 1, then linear decay to 0 at {@code totalSteps}.
   *
   * @param warmupSteps steps of warm-up, 0 or more
   * @param totalSteps steps in all, more than warmupSteps
   */
  static Schedule linear(long warmupSteps, long totalSteps) {
    checkSteps(warmupSteps, totalSteps);
    return warmedUp(warmupSteps, step -> remaining(step, warmupSteps, totalSteps));
  }

  /**
   * Linear warm-up from {@code 1/warmupSteps} to 1, then half a cosine from 1 to 0 at {@code totalSteps}.
   *
   * @param warmupSteps steps of warm-up, 0 or more
   * @param totalSteps steps in all, more than warmupSteps
   */
  static Schedule cosine(long warmupSteps, long totalSteps) {
    checkSteps(warmupSteps, totalSteps);
    return warmedUp(warmupSteps, step -> 0.5 * (1 - Math.cos(Math.PI * remaining(step, warmupSteps, totalSteps))));
  }

  /**
   * Linear warm-up from {@code 1/warmupSteps} to 1, then polynomial decay to 0 at {@code totalSteps}:
   *
   * <pre>
   * ((totalSteps - step) / (totalSteps - warmupSteps))^power
   * </pre>
   *
   * @param warmupSteps steps of warm-up, 0 or more
   * @param totalSteps steps in all, more than warmupSteps
   * @param power finite and positive; 1 is {@link #linear}
   */
  static Schedule polynomial(long warmupSteps, long totalSteps, double power) {
    checkSteps(warmupSteps, totalSteps);
    if (!(power > 0 && power <= Double.MAX_VALUE))
      throw new IllegalArgumentException("power must be finite and positive, not " + power);
    return warmedUp(warmupSteps, step -> Math.pow(remaining(step, warmupSteps, totalSteps), power));
  }

  /**
   * Linear warm-up from {@code 1/warmupSteps} to 1, then 1/t decay, without an end:
   *
   * <pre>
   * 1 / (1 + s / timescale),     s = step - max(1, warmupSteps)
   * </pre>
   *
   * {@code inverseTime(0, 1)} is 1/t itself, the classical example for the conditions of Robbins and Monro, "A Stochastic Approximation
   * Method" (1951).
   *
   * @param warmupSteps steps of warm-up, 0 or more
   * @param timescale the steps in which the factor falls to 1/2; finite and positive
   */
  static Schedule inverseTime(long warmupSteps, double timescale) {
    final long first = Math.max(1, warmupSteps);
    checkTimescale(timescale);
    return warmedUp(warmupSteps, step -> 1 / (1 + (step - first) / timescale));
  }

  /**
   * Linear warm-up from {@code 1/warmupSteps} to 1, then 1/sqrt(t) decay, without an end:
   *
   * <pre>
   * 1 / sqrt(1 + s / timescale),     s = step - max(1, warmupSteps)
   * </pre>
   *
   * {@code inverseSquareRoot(0, 1)} is 1/sqrt(t) itself. With the warm-up as timescale it is {@code sqrt(warmupSteps / step)}, the schedule
   * of Vaswani et al., "Attention Is All You Need" (2017), section 5.3.
   *
   * @param warmupSteps steps of warm-up, 0 or more
   * @param timescale a third of the steps in which the factor falls to 1/2; finite and positive
   */
  static Schedule inverseSquareRoot(long warmupSteps, double timescale) {
    final long first = Math.max(1, warmupSteps);
    checkTimescale(timescale);
    return warmedUp(warmupSteps, step -> 1 / Math.sqrt(1 + (step - first) / timescale));
  }

  /** How the last phase of {@link #warmupStableDecay} goes from 1 to 0. In it p rises evenly from 0 to 1. */
  enum Cooldown {
    /** {@code 1 - p}. */
    LINEAR,
    /** {@code 1 - sqrt(p)}: falls fast at first. H&auml;gele et al. (2024), who found it a little better than LINEAR. */
    ONE_MINUS_SQRT
  }

  /**
   * WSD, warm-up, stable, decay: linear warm-up from {@code 1/warmupSteps} to 1, then 1, then a decay to 0 in the last {@code decaySteps}.
   * A run can be prolonged: until the decay begins, the factors do not depend on {@code totalSteps}. Hu et al., "MiniCPM" (2024), section
   * 4; for the forms of the decay, H&auml;gele et al., "Scaling Laws and Compute-Optimal Training Beyond Fixed Training Durations" (2024).
   * Those papers decay in the last 10 to 20 % of the steps.
   *
   * @param warmupSteps steps of warm-up, 0 or more
   * @param decaySteps steps of decay, 1 or more
   * @param totalSteps steps in all, at least warmupSteps and decaySteps together
   * @param cooldown the form of the decay
   */
  static Schedule warmupStableDecay(long warmupSteps, long decaySteps, long totalSteps, Cooldown cooldown) {
    checkSteps(warmupSteps, totalSteps);
    Objects.requireNonNull(cooldown, "cooldown");
    if (!(decaySteps >= 1 && decaySteps <= totalSteps - warmupSteps))
      throw new IllegalArgumentException(
          "decaySteps must be from 1 to " + (totalSteps - warmupSteps) + ", which the warm-up leaves, not " + decaySteps);
    final long stableUntil = totalSteps - decaySteps;
    return warmedUp(
        warmupSteps,
        step -> {
          if (step <= stableUntil) return 1;
          final double left = remaining(step, stableUntil, totalSteps);
          return cooldown == Cooldown.LINEAR ? left : 1 - Math.sqrt(1 - left);
        });
  }

  /**
   * Stage-wise (step) decay: linear warm-up from {@code 1/warmupSteps} to 1, then 1, multiplied by {@code factor} after each of {@code
   * milestones}. A milestone within the warm-up counts as well. He et al., "Deep Residual Learning for Image Recognition" (2016), with 0.1.
   *
   * @param warmupSteps steps of warm-up, 0 or more
   * @param factor in [0, 1]
   * @param milestones steps, increasing
   */
  static Schedule steps(long warmupSteps, double factor, long... milestones) {
    checkWarmup(warmupSteps);
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

  private static Schedule warmedUp(long warmupSteps, Schedule then) {
    checkWarmup(warmupSteps);
    return step -> step <= warmupSteps ? (double) step / warmupSteps : then.at(step);
  }

  private static double remaining(long step, long warmupSteps, long totalSteps) {
    return Math.max(0, (double) (totalSteps - step) / (totalSteps - warmupSteps));
  }

  private static void checkWarmup(long warmupSteps) {
    if (warmupSteps < 0) throw new IllegalArgumentException("warmupSteps must be 0 or more, not " + warmupSteps);
  }

  private static void checkTimescale(double timescale) {
    if (!(timescale > 0 && timescale <= Double.MAX_VALUE))
      throw new IllegalArgumentException("timescale must be finite and positive, not " + timescale);
  }

  private static void checkSteps(long warmupSteps, long totalSteps) {
    checkWarmup(warmupSteps);
    if (totalSteps <= warmupSteps)
      throw new IllegalArgumentException("totalSteps must be more than warmupSteps, not " + totalSteps + " and " + warmupSteps);
  }
}
