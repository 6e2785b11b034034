// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/** What the Schedule-Free rules have in common. */
final class ScheduleFree {
  /** The slot of z - y. */
  static final String OFFSET = "offset";

  private ScheduleFree() {}

  static void check(double beta1, double stepPower, double ratePower, double weightDecay) {
    if (!(beta1 > 0 && beta1 < 1))
      throw new IllegalArgumentException(
          "beta1 must be in (0, 1), not " + beta1 + ": with 0 the parameters would be z, from which the average cannot be computed");
    Check.notNegative("stepPower", stepPower);
    Check.notNegative("ratePower", ratePower);
    Check.notNegative("weightDecay", weightDecay);
  }

  static double weight(double stepPower, double ratePower, long number, double largestRate) {
    return Math.pow(number, stepPower) * Math.pow(largestRate, ratePower);
  }

  /** x = y + (1 - 1 / beta1) (z - y). */
  static double averageFactor(double beta1) {
    return 1 - 1 / beta1;
  }

  static void put(RuleStep step, double beta1, double weightDecay, Coefficients to) {
    final double c = step.averagingWeight();
    final double kept = beta1 * (1 - c);
    to.put("averaging", c).put("offsetRetention", 1 - c).put("offsetRate", step.rate() * kept);
    to.put("parameterRate", step.rate() * (1 - kept)).put("weightDecay", weightDecay * step.decayFactor());
  }
}
