// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * Lion: the sign of an interpolated momentum, with decoupled weight decay.
 *
 * <pre>
 * x &lt;- x - rate weightDecay x - rate sign(beta1 m + (1 - beta1) g)
 * m &lt;- beta2 m + (1 - beta2) g
 * </pre>
 *
 * The sign of 0 is 0 and that of NaN is NaN. State: one word per element. Chen et al., "Symbolic Discovery of Optimization
 * Algorithms" (2023), algorithm 2.
 *
 * <p>A schedule of the momentum multiplies beta1, the weight of m in the step, as PyTorch's schedulers do; beta2 stays.
 *
 * @param beta1 in [0, 1)
 * @param beta2 in [0, 1)
 * @param weightDecay not negative
 */
public record Lion(double beta1, double beta2, double weightDecay) implements Rule {
  /** Makes the rule; throws {@link IllegalArgumentException} if a value is out of its range. */
  public Lion {
    Check.decay("beta1", beta1);
    Check.decay("beta2", beta2);
    Check.notNegative("weightDecay", weightDecay);
  }

  /** betas 0.9 and 0.99, no decay. */
  public static Lion defaults() {
    return new Lion(0.9, 0.99, 0);
  }

  /** The same with other betas, both in [0, 1). */
  public Lion betas(double first, double second) {
    return new Lion(first, second, weightDecay);
  }

  /** The same with another weight decay, 0 or more. */
  public Lion weightDecay(double value) {
    return new Lion(beta1, beta2, value);
  }

  @Override
  public String kernel() {
    return "lion";
  }

  @Override
  public void coefficients(RuleStep step, Coefficients to) {
    final double b1 = beta1 * step.momentumFactor();
    to.put("rate", step.rate()).put("shrinkage", step.rate() * step.decay(weightDecay));
    to.put("beta1", b1).put("oneMinusBeta1", 1 - b1).put("beta2", beta2).put("oneMinusBeta2", 1 - beta2);
  }

  @Override
  public double momentum() {
    return beta1;
  }

  @Override
  public double decoupledDecay() {
    return weightDecay;
  }

  @Override
  public Rule withoutDecay() {
    return weightDecay(0);
  }
}
