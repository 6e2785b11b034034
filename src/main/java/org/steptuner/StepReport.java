// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/**
 * What a step did. An optimizer has one report and overwrites it at the next step; {@link #copy} makes one that stays. Any thread may read
 * it at any time, and disturbs nothing. What it reads during a step may be in part of that step and in part of the one before.
 *
 * <p>Before the first step, and after a restore until a step is made, there are only the numbers of steps and the learned scales. {@link
 * Optimizer#freeze} and a change of settings leave the report of the last step, but for learned scales within new limits.
 */
public interface StepReport {
  /** Why a step that was made has moved nothing by the rule's direction, though the schedule gave it a rate. */
  enum Hold {
    /** It has a rate that is not 0, in some scope; or it was skipped, or the base rate and the schedule are 0. */
    NONE,
    /** Every gradient is 0. */
    NO_GRADIENT,
    /** The loss, or the tuner's model of it, is not above the lower bound or the target that the tuner was given. */
    LOSS_AT_BOUND,
    /** The tuner's own rate is 0 for another reason: it has learned nothing yet, or its rate has fallen to a limit of 0. */
    RATE_IS_ZERO
  }

  /** Why a step was skipped: it then changed nothing. */
  enum Skip {
    /** The step was made. */
    NONE,
    /**
     * A gradient is infinite or not a number; or a sum that the tuner needs (the squared norm first), or a rate made of it, is too large
     * for the state's type.
     */
    NON_FINITE_GRADIENT,
    /** The loss, or the loss at the last trial parameters, is infinite or not a number. */
    NON_FINITE_LOSS,
    /** The curvature that a tuner asked for, or the rate computed from it, is infinite or not a number. */
    NON_FINITE_CURVATURE,
    /**
     * A parameter is infinite or not a number, whether or not the gradients are too: smaller steps or another batch do not help. Noticed
     * where a sum of the step has the parameters or the gradients in it. A {@code FixedRate} whose gradients are finite does not look at
     * parameters: there such a parameter stays what it is, and harms no other.
     */
    NON_FINITE_PARAMETER,
    /** An element of the optimizer's state is infinite or not a number, and the parameters and gradients are finite. */
    NON_FINITE_STATE,
    /** The step is one of {@link CapturableSteps}, and was not prepared. */
    NOT_PREPARED
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

  /** The loss given to the step, or NaN. Where several processes train together it is that of this process; tuners use their mean. */
  double loss();

  /**
   * |g| over all tensors that do not {@linkplain Optimizer#sitOut sit out}, after the gradient multiplier and loss scale and before
   * clipping; NaN if nothing computed it: no guard, no clipping, and no tuner that needs it.
   */
  double gradientNorm();

  /**
   * |g|_1 over the same tensors, after the gradient multiplier and loss scale and before clipping; NaN unless the tuner was built with
   * {@code gradientL1(true)}.
   */
  double gradientL1();

  /** The factor by which clipping multiplied the gradient; 1 if it did not act. */
  double clipFactor();

  /** The base rate times the schedule, before the learned scale and the factor of a group. */
  double rate();

  /**
   * Why this step stood still: it was made, and its effective rate is 0 in every scope. A run whose every step does is at its end, or has a
   * wrong lower bound. Decoupled weight decay may still act. A rate of 0 by the schedule, the base rate or a group's factor is not meant.
   */
  Hold hold();

  /** Whether this step stood still, see {@link #hold}. */
  default boolean standsStill() {
    return hold() != Hold.NONE;
  }

  /** The loss scale that the gradients of this step had been multiplied by; 1 without a {@link LossScale}. */
  double lossScale();

  /**
   * Whether this step was skipped for its gradients though the {@link LossScale} was at its smallest already: making it smaller cannot help
   * any more.
   */
  boolean lossScaleExhausted();

  /**
   * Whether the decoupled weight decay of this step was lowered, in any group or scope, because the rate times the decay was more than 1:
   * it would have turned parameters around and not only shrunk them. See {@code TunerBuilder.boundedDecay}. False if the step was skipped.
   */
  boolean decayBounded();

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
