// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/** What the Schedule-Free rules have in common. */
sealed interface ScheduleFree extends Rule permits ScheduleFreeSGD, ScheduleFreeAdamW {
  /** The interpolation of z and x, in (0, 1). */
  double beta1();

  /** The power of the step's number in the weight of an iterate. */
  double stepPower();

  /** The power of the largest rate in it. */
  double ratePower();

  /** The weight decay, at y. */
  double weightDecay();

  /** The slot of z - y. */
  @Override
  default String averageSlot() {
    return "offset";
  }

  // z - y stands for the point z, from which the model is computed.
  @Override
  default StateKind stateKind(String slot) {
    return slot.equals("offset") ? StateKind.POINT : StateKind.STATISTIC;
  }

  /** x = y + (1 - 1 / beta1) (z - y). */
  @Override
  default double averageFactor() {
    return 1 - 1 / beta1();
  }

  // The slot is z - y, and x is found from it by beta1: with another beta1 the average would be another point.
  @Override
  default boolean fixesState(String component) {
    return component.equals("beta1");
  }

  @Override
  default double iterateWeight(long number, double largestRate) {
    return Math.pow(number, stepPower()) * Math.pow(largestRate, ratePower());
  }

  @Override
  default void averageCoefficients(RuleStep step, Coefficients to) {
    final double c = step.averagingWeight();
    final double kept = beta1() * (1 - c);
    to.put("averaging", c).put("offsetRetention", 1 - c).put("offsetRate", step.rate() * kept);
    to.put("parameterRate", step.rate() * (1 - kept)).put("weightDecay", step.decay(weightDecay()));
  }

  @Override
  default boolean stepIsMultipleOfRate() {
    return false;
  }

  /** @throws IllegalArgumentException if a value is out of its range */
  static void check(double beta1, double stepPower, double ratePower, double weightDecay) {
    if (!(beta1 > 0 && beta1 < 1))
      throw new IllegalArgumentException(
          "beta1 must be in (0, 1), not " + beta1 + ": with 0 the parameters would be z, from which the average cannot be computed");
    Check.notNegative("stepPower", stepPower);
    Check.notNegative("ratePower", ratePower);
    Check.notNegative("weightDecay", weightDecay);
  }
}
