// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/** What a step did. An optimizer has one report and overwrites it at the next step; {@link #copy} makes one that stays. */
public interface StepReport {
  /** Why a step was skipped: it then changed nothing. */
  enum Skip {
    /** The step was made. */
    NONE,
    /** A gradient is infinite or not a number, or a sum that the tuner needs (its squared norm first) overflows the state's type. */
    NON_FINITE_GRADIENT,
    /** The loss, or the loss at the last trial parameters, is infinite or not a number. */
    NON_FINITE_LOSS,
    /** The curvature that a tuner asked for, or the rate computed from it, is infinite or not a number. */
    NON_FINITE_CURVATURE
  }

  /** Steps made so far, this one included unless it was skipped. */
  long step();

  /** Steps skipped so far, this one included if it was. */
  long skippedSteps();

  /** Why this step was skipped, or NONE. */
  Skip skip();

  /** Whether this step was skipped: parameters and state are untouched. */
  default boolean skipped() {
    return skip() != Skip.NONE;
  }

  /** The loss given to the step, or NaN. */
  double loss();

  /**
   * |g| over all tensors that do not {@linkplain Optimizer#sitOut sit out}, after the gradient multiplier and before clipping; NaN if nothing computed it: no guard, no clipping, and no
   * tuner that needs it.
   */
  double gradientNorm();

  /**
   * |g|_1 over all tensors, after the gradient multiplier and before clipping; NaN unless the tuner was built with {@code
   * gradientL1(true)}.
   */
  double gradientL1();

  /** The factor by which clipping multiplied the gradient; 1 if it did not act. */
  double clipFactor();

  /** The base rate times the schedule, before the learned scale and the factor of a group. */
  double rate();

  /** The number of learned scales: one for all tensors, or one per group or tensor. */
  int scopes();

  /**
   * The learned scale after this step; 1 for a fixed rate.
   *
   * @param scope from 0: groups and tensors in the order in which they were added
   */
  double learnedScale(int scope);

  /** The learned scale of the first scope, which is the only one unless scales are per group or per tensor. */
  default double learnedScale() {
    return learnedScale(0);
  }

  /**
   * What this step multiplied the base rule's direction by, before the factor of a group: {@link #rate} times what the tuner has learned.
   * It means the same for every tuner, so that runs of different tuners can be compared: a fixed rate of this size would have made a step
   * of the same length in the same direction. The learned scale may differ from it: some tuners learn after the step, and some learn a
   * distance or an estimate from which the rate is computed. Under Mechanic a step also moves by what a change of the scale makes of all
   * steps before it.
   *
   * <p>A schedule and a bound of the rate are in it. What a rule does to its own direction, such as the bias correction of Adam, is not.
   * NaN before the first step, and after a restore until a step is made; after a skipped step it is that of the last one that was made.
   * 0 for a scope whose tensors all {@linkplain Optimizer#sitOut sit out}.
   *
   * @param scope as in {@link #learnedScale(int)}
   */
  double effectiveRate(int scope);

  /** The effective rate of the first scope, which is the only one unless scales are per group or per tensor. */
  default double effectiveRate() {
    return effectiveRate(0);
  }

  /** A copy that later steps do not change. */
  StepReport copy();
}
