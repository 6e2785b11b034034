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
