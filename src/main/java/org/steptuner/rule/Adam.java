// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * Adam, with weight decay added to the gradient.
 *
 * <pre>
 * d = g + weightDecay x
 * m &lt;- beta1 m + (1 - beta1) d
 * v &lt;- beta2 v + (1 - beta2) d^2
 * x &lt;- x - rate / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
 * </pre>
 *
 * State: two words per element. Kingma and Ba (2015), algorithm 1.
 *
 * <p>A schedule of the momentum multiplies beta1. The bias correction is 1 - beta1^t with the present beta1, as in PyTorch.
 *
 * @param beta1 in [0, 1)
 * @param beta2 in [0, 1)
 * @param epsilon not negative; 0 is safe, see {@link RuleStep#leastEpsilon}
 * @param weightDecay not negative
 */
public record Adam(double beta1, double beta2, double epsilon, double weightDecay) implements Rule {
  /** Makes the rule; throws {@link IllegalArgumentException} if a value is out of its range. */
  public Adam {
    check(beta1, beta2, epsilon, weightDecay);
  }

  /** betas 0.9 and 0.999, epsilon 1e-8, no decay. */
  public static Adam defaults() {
    return new Adam(0.9, 0.999, 1e-8, 0);
  }

  /** The same with other betas, both in [0, 1). */
  public Adam betas(double first, double second) {
    return new Adam(first, second, epsilon, weightDecay);
  }

  /** The same with another epsilon, 0 or more. */
  public Adam epsilon(double value) {
    return new Adam(beta1, beta2, value, weightDecay);
  }

  /** The same with another weight decay, 0 or more. */
  public Adam weightDecay(double value) {
    return new Adam(beta1, beta2, epsilon, value);
  }

  @Override
  public String kernel() {
    return "adam";
  }

  @Override
  public void coefficients(RuleStep step, Coefficients to) {
    put(step, beta1, beta2, epsilon, weightDecay, 0, to);
  }

  @Override
  public double momentum() {
    return beta1;
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
  public boolean preconditions() {
    return true;
  }

  @Override
  public void preconditioner(RuleStep step, Coefficients to) {
    putPreconditioner(step, beta1, beta2, epsilon, to);
  }

  static void check(double beta1, double beta2, double epsilon, double weightDecay) {
    Check.decay("beta1", beta1);
    Check.decay("beta2", beta2);
    Check.notNegative("epsilon", epsilon);
    Check.notNegative("weightDecay", weightDecay);
  }

  static void put(
      RuleStep step, double beta1, double beta2, double epsilon, double coupled, double decoupled, Coefficients to) {
    final double b1 = beta1 * step.momentumFactor();
    to.put("stepSize", stepSize(step.rate(), b1, step.number()));
    to.put("shrinkage", step.rate() * step.decay(decoupled)).put("coupledDecay", coupled * step.decayFactor());
    to.put("beta1", b1).put("oneMinusBeta1", 1 - b1).put("beta2", beta2).put("oneMinusBeta2", 1 - beta2);
    to.put("rootCorrection", rootCorrection(beta2, step.number())).put("epsilon", Math.max(epsilon, step.leastEpsilon()));
  }

  static void putPreconditioner(RuleStep step, double beta1, double beta2, double epsilon, Coefficients to) {
    to.put("factor", 1 / stepSize(1, beta1 * step.momentumFactor(), step.number()));
    to.put("rootCorrection", rootCorrection(beta2, step.number()));
    to.put("epsilonInside", 0).put("epsilonOutside", Math.max(epsilon, step.leastEpsilon()));
  }

  private static double stepSize(double rate, double beta1, long step) {
    return rate / (1 - Math.pow(beta1, step));
  }

  /** {@code 1 / sqrt(1 - beta2^t)}. */
  static double rootCorrection(double beta2, long step) {
    return 1 / Math.sqrt(1 - Math.pow(beta2, step));
  }
}
