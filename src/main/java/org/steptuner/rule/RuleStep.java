// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * A step as a rule sees it: its number, its rate, and the factors that schedules put on momentum and weight decay.
 *
 * <p>The object is only good during the call that it was given to: an optimizer uses the same one for every step.
 */
public interface RuleStep {
  /** The rate of this step, 0 or more. */
  double rate();

  /** The number of this step, from 1. */
  long number();

  /** The factor on the rule's {@linkplain Rule#momentum() momentum}; 1 without a schedule of it. */
  default double momentumFactor() {
    return 1;
  }

  /** The factor on the rule's weight decay of either kind; 1 without a schedule of it. */
  default double decayFactor() {
    return 1;
  }

  /**
   * The least number that a rule may add to a root of squares, and so the least that its epsilon means in this step; 0 for no limit. An
   * optimizer gives the root of the least positive number of the state's type: a root that is not 0 is at least as large, and where all
   * squares are 0, or have become 0 by underflow, the quotient stays finite. It is 3.7e-23 for float32, 2.2e-162 for float64 and
   * 9.6e-21 for squares that are stored in bfloat16.
   */
  default double leastEpsilon() {
    return 0;
  }

  /**
   * The decoupled weight decay of this step: that of the rule times {@link #decayFactor}. An optimizer lowers it where it would shrink a
   * parameter to less than nothing: what the rate, and whatever a tuner multiplies the rule's step by, make of it is at most 1.
   *
   * @param weightDecay of the rule, 0 or more
   */
  default double decay(double weightDecay) {
    return weightDecay * decayFactor();
  }

  /**
   * The same for a decay that divides the parameter by 1 + rate x decay, which cannot turn it around: it is lowered only where a tuner
   * multiplies the step.
   *
   * @param weightDecay of the rule, 0 or more
   */
  default double proximalDecay(double weightDecay) {
    return weightDecay * decayFactor();
  }

  /**
   * The weight c of this step's iterate in the average that the rule keeps: {@link Rule#iterateWeight} relative to the sum of these weights
   * over all steps so far, this one included. 0 for rules that keep none, and while that sum is 0.
   */
  default double averagingWeight() {
    return 0;
  }

  /** A step whose momentum and weight decay are those of the rule. */
  static RuleStep of(double rate, long number) {
    return new Unscheduled(rate, number);
  }
}
