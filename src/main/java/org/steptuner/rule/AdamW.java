// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * Adam with decoupled weight decay.
 *
 * <pre>
 * m &lt;- beta1 m + (1 - beta1) g
 * v &lt;- beta2 v + (1 - beta2) g^2
 * x &lt;- x - rate weightDecay x - rate / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
 * </pre>
 *
 * State: two words per element. Loshchilov and Hutter (2019), algorithm 2.
 *
 * <p>A schedule of the momentum multiplies beta1. The bias correction is 1 - beta1^t with the present beta1, as in PyTorch.
 *
 * @param beta1 in [0, 1)
 * @param beta2 in [0, 1)
 * @param epsilon not negative; 0 is safe, see {@link RuleStep#leastEpsilon}
 * @param weightDecay not negative
 */
public record AdamW(double beta1, double beta2, double epsilon, double weightDecay) implements Rule {
  /** Makes the rule; throws {@link IllegalArgumentException} if a value is out of its range. */
  public AdamW {
    Adam.check(beta1, beta2, epsilon, weightDecay);
  }

  /** betas 0.9 and 0.999, epsilon 1e-8, decay 0.01. */
  public static AdamW defaults() {
    return new AdamW(0.9, 0.999, 1e-8, 0.01);
  }

  /** The same with other betas, both in [0, 1). */
  public AdamW betas(double first, double second) {
    return new AdamW(first, second, epsilon, weightDecay);
  }

  /** The same with another epsilon, 0 or more. */
  public AdamW epsilon(double value) {
    return new AdamW(beta1, beta2, value, weightDecay);
  }

  /** The same with another weight decay, 0 or more. */
  public AdamW weightDecay(double value) {
    return new AdamW(beta1, beta2, epsilon, value);
  }

  @Override
  public String kernel() {
    return "adam";
  }

  @Override
  public void coefficients(RuleStep step, Coefficients to) {
    Adam.put(step, beta1, beta2, epsilon, 0, weightDecay, to);
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

  @Override
  public boolean preconditions() {
    return true;
  }

  @Override
  public void preconditioner(RuleStep step, Coefficients to) {
    Adam.putPreconditioner(step, beta1, beta2, epsilon, to);
  }
}
