// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * MADGRAD: dual averaging of gradients, divided by the cube root of their squares. Made for deep networks, where it often generalises
 * as well as SGD with momentum.
 *
 * <pre>
 * d = g + weightDecay x
 * w = (rate + epsilon) sqrt(t)     (0 where the rate is 0)
 * v &lt;- v + w d^2
 * s &lt;- s + w d
 * z = x0 - s / (cbrt(v) + epsilon)
 * x &lt;- momentum x + (1 - momentum) z
 * </pre>
 *
 * x0 is x before the first step. Where cbrt(v) + epsilon is 0, z is x0. At a rate of 0 the sums do not change and x still moves towards z,
 * as in the release. State: three words per element; a step alone moves 9 (x0 is written at every step, because all steps of a rule have
 * one formula). Defazio and Jelassi, "Adaptivity without Compromise: A Momentumized, Adaptive, Dual Averaged Gradient Method for Stochastic
 * Optimization" (2021), algorithm 1; epsilon in w as in the authors' release.
 *
 * @param momentum in [0, 1)
 * @param epsilon not negative; one below {@link RuleStep#leastEpsilon} counts as 0
 * @param weightDecay added to the gradient, not negative; the method needs much less of it than SGD with momentum
 */
public record MADGRAD(double momentum, double epsilon, double weightDecay) implements Rule {
  /** Makes the rule; throws {@link IllegalArgumentException} if a value is out of its range. */
  public MADGRAD {
    Check.decay("momentum", momentum);
    Check.notNegative("epsilon", epsilon);
    Check.notNegative("weightDecay", weightDecay);
  }

  /** momentum 0.9, epsilon 1e-6, no decay. */
  public static MADGRAD defaults() {
    return new MADGRAD(0.9, 1e-6, 0);
  }

  /** The same with another momentum, in [0, 1). */
  public MADGRAD momentum(double value) {
    return new MADGRAD(value, epsilon, weightDecay);
  }

  /** The same with another epsilon, 0 or more. */
  public MADGRAD epsilon(double value) {
    return new MADGRAD(momentum, value, weightDecay);
  }

  /** The same with another weight decay, 0 or more. */
  public MADGRAD weightDecay(double value) {
    return new MADGRAD(momentum, epsilon, value);
  }

  @Override
  public String kernel() {
    return "madgrad";
  }

  @Override
  public void coefficients(RuleStep step, Coefficients to) {
    final double rate = step.rate();
    to.put("weight", rate == 0 ? 0 : (rate + epsilon) * Math.sqrt(step.number()));
    to.put("weightDecay", weightDecay * step.decayFactor()).put("epsilon", epsilon < step.leastEpsilon() ? 0 : epsilon);
    to.put("intake", 1 - momentum * step.momentumFactor()).put("first", step.number() == 1 ? 1 : 0);
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
  public boolean followsParameters(String slot) {
    return slot.equals("start");
  }

  @Override
  public boolean stepIsMultipleOfRate() {
    return false;
  }
}
