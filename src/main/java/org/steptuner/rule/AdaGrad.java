// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * AdaGrad, the diagonal form.
 *
 * <pre>
 * d = g + weightDecay x
 * v &lt;- v + d^2                     (v starts at initialAccumulator)
 * x &lt;- x - rate / (1 + (t - 1) rateDecay) d / (sqrt(v) + epsilon)
 * </pre>
 *
 * State: one word per element. Duchi, Hazan and Singer (2011), algorithm 1.
 *
 * @param rateDecay by which the rate falls as 1 / (1 + (t - 1) rateDecay), not negative
 * @param epsilon not negative; 0 is safe, see {@link RuleStep#leastEpsilon}
 * @param weightDecay added to the gradient, not negative
 * @param initialAccumulator what v starts at, not negative
 */
public record AdaGrad(double rateDecay, double epsilon, double weightDecay, double initialAccumulator) implements Rule {
  /** Makes the rule; throws {@link IllegalArgumentException} if a value is out of its range. */
  public AdaGrad {
    Check.notNegative("rateDecay", rateDecay);
    Check.notNegative("epsilon", epsilon);
    Check.notNegative("weightDecay", weightDecay);
    Check.notNegative("initialAccumulator", initialAccumulator);
  }

  /** No decay of any kind, epsilon 1e-10, accumulator from 0. */
  public static AdaGrad defaults() {
    return new AdaGrad(0, 1e-10, 0, 0);
  }

  /** The same with another rate decay, 0 or more. */
  public AdaGrad rateDecay(double value) {
    return new AdaGrad(value, epsilon, weightDecay, initialAccumulator);
  }

  /** The same with another epsilon, 0 or more. */
  public AdaGrad epsilon(double value) {
    return new AdaGrad(rateDecay, value, weightDecay, initialAccumulator);
  }

  /** The same with another weight decay, 0 or more. */
  public AdaGrad weightDecay(double value) {
    return new AdaGrad(rateDecay, epsilon, value, initialAccumulator);
  }

  /** The same with another initial accumulator, 0 or more. */
  public AdaGrad initialAccumulator(double value) {
    return new AdaGrad(rateDecay, epsilon, weightDecay, value);
  }

  @Override
  public String kernel() {
    return "adagrad";
  }

  @Override
  public void coefficients(RuleStep step, Coefficients to) {
    to.put("rate", step.rate() / (1 + (step.number() - 1) * rateDecay)).put("weightDecay", weightDecay * step.decayFactor());
    to.put("epsilon", Math.max(epsilon, step.leastEpsilon()));
  }

  @Override
  public double coupledDecay() {
    return weightDecay;
  }

  @Override
  public Rule withoutDecay() {
    return weightDecay(0);
  }

  @Override
  public double initialValue(String slot) {
    return slot.equals("square") ? initialAccumulator : 0;
  }
}
