// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/** What a step did. An optimizer reuses one report and overwrites it at the next step; {@link #copy} keeps it. */
public interface StepReport {
  /** Why a step changed nothing. */
  enum Skip {
    /** It was made. */
    NONE,
    /** A gradient is infinite or not a number, or a sum that the tuner needs (its squared norm first) overflows the state's type. */
    NON_FINITE_GRADIENT,
    /** The loss, or the loss at all parameters on trial, is infinite or not a number. */
    NON_FINITE_LOSS,
    /** The curvature that a tuner asked for is infinite or not a number, or the rate that it makes of it. */
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
   * |g| over all tensors, after the gradient multiplier and before clipping; NaN where nothing asked for it (no guard, no clipping,
   * no tuner that needs it).
   */
  double gradientNorm();

  /**
   * |g|_1 over all tensors, after the gradient multiplier and before clipping; NaN unless the tuner was told to sum it ({@code
   * gradientL1(true)}).
   */
  double gradientL1();

  /** What clipping multiplied the gradient by: 1 where it did not act. */
  double clipFactor();

  /** The rate given to the base rule: base rate times schedule, before the factor of a group. */
  double rate();

  /** How many learned scales there are: one for all tensors, or one per group or tensor. */
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

  /** A report that later steps leave alone. */
  StepReport copy();
}
