// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * AdEMAMix: AdamW with a second, slow momentum, which keeps gradients of thousands of steps.
 *
 * <pre>
 * m1 &lt;- beta1 m1 + (1 - beta1) g;  m2 &lt;- b3 m2 + (1 - b3) g
 * v  &lt;- beta2 v + (1 - beta2) g^2
 * x  &lt;- x - rate ((m1 / (1 - beta1^t) + a m2) / (sqrt(v) / sqrt(1 - beta2^t) + epsilon) + weightDecay x)
 * t &lt; T = warmup:  a = alpha t/T,  b3 = min(exp(ln beta1 ln beta3 / ((1 - t/T) ln beta3 + t/T ln beta1)), beta3)
 * t &gt;= T:          a = alpha,      b3 = beta3
 * </pre>
 *
 * State: three words per element; a step alone moves 9. Pagliardini, Ablin and Grangier, "The AdEMAMix Optimizer: Better, Faster, Older"
 * (2024), algorithm 1.
 *
 * <p>A schedule of the momentum multiplies beta1, also in 1 - beta1^t, but not the beta1 from which b3 warms up.
 *
 * @param beta1 in [0, 1); with a warm-up in (0, 1)
 * @param beta2 in [0, 1)
 * @param beta3 in [0, 1); below beta1 it has no warm-up
 * @param alpha the weight of the slow momentum, not negative
 * @param warmup T, the steps until alpha and beta3 have their full values; 0 for none
 * @param epsilon not negative; 0 is safe, see {@link RuleStep#leastEpsilon}
 * @param weightDecay not negative
 */
public record AdEMAMix(double beta1, double beta2, double beta3, double alpha, long warmup, double epsilon, double weightDecay)
    implements Rule {
  /** Makes the rule; throws {@link IllegalArgumentException} if a value is out of its range. */
  public AdEMAMix {
    Adam.check(beta1, beta2, epsilon, weightDecay);
    Check.decay("beta3", beta3);
    Check.notNegative("alpha", alpha);
    if (warmup < 0) throw new IllegalArgumentException("warmup must be 0 or more, not " + warmup);
    if (warmup > 0 && beta1 == 0) throw new IllegalArgumentException("a warmup needs a positive beta1, not 0");
  }

  /** betas 0.9, 0.999 and 0.9999, alpha 5, no warm-up (the paper's lasts as long as training), epsilon 1e-8, decay 0.01. */
  public static AdEMAMix defaults() {
    return new AdEMAMix(0.9, 0.999, 0.9999, 5, 0, 1e-8, 0.01);
  }

  /** The same with other betas, each in [0, 1); with a warm-up, beta1 must be positive. */
  public AdEMAMix betas(double first, double second, double third) {
    return new AdEMAMix(first, second, third, alpha, warmup, epsilon, weightDecay);
  }

  /** The same with another weight of the slow momentum, 0 or more. */
  public AdEMAMix alpha(double value) {
    return new AdEMAMix(beta1, beta2, beta3, value, warmup, epsilon, weightDecay);
  }

  /** The same with another warm-up, in steps, 0 or more. */
  public AdEMAMix warmup(long steps) {
    return new AdEMAMix(beta1, beta2, beta3, alpha, steps, epsilon, weightDecay);
  }

  /** The same with another epsilon, 0 or more. */
  public AdEMAMix epsilon(double value) {
    return new AdEMAMix(beta1, beta2, beta3, alpha, warmup, value, weightDecay);
  }

  /** The same with another weight decay, 0 or more. */
  public AdEMAMix weightDecay(double value) {
    return new AdEMAMix(beta1, beta2, beta3, alpha, warmup, epsilon, value);
  }

  @Override
  public String kernel() {
    return "ademamix";
  }

  @Override
  public void coefficients(RuleStep step, Coefficients to) {
    final long t = step.number();
    final double b1 = beta1 * step.momentumFactor();
    final double part = t < warmup ? (double) t / warmup : 1; // half-lives, as 1 / ln b, rise evenly from beta1's to beta3's
    final double warm = t < warmup ? Math.exp(1 / ((1 - part) / Math.log(beta1) + part / Math.log(beta3))) : beta3;
    final double b3 = Math.min(warm, beta3);
    to.put("rate", step.rate()).put("shrinkage", step.rate() * step.decay(weightDecay));
    to.put("beta1", b1).put("oneMinusBeta1", 1 - b1).put("beta2", beta2).put("oneMinusBeta2", 1 - beta2);
    to.put("beta3", b3).put("oneMinusBeta3", 1 - b3).put("alpha", alpha * part);
    to.put("momentumCorrection", 1 / (1 - Math.pow(b1, t))).put("rootCorrection", 1 / Math.sqrt(1 - Math.pow(beta2, t)));
    to.put("epsilon", Math.max(epsilon, step.leastEpsilon()));
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
