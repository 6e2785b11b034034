// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * Adan, adaptive Nesterov momentum: Adam with an average of the differences between gradients, which stands for the gradient at a point
 * ahead.
 *
 * <pre>
 * d = g - g'                                     (g' is the gradient of the step before; d is 0 at the first step)
 * m &lt;- beta1 m + (1 - beta1) g
 * q &lt;- beta2 q + (1 - beta2) d
 * v &lt;- beta3 v + (1 - beta3) (g + beta2 d)^2
 * u = -rate (m / (1 - beta1^t) + beta2 q / (1 - beta2^t)) / (sqrt(v) / sqrt(1 - beta3^t) + epsilon)
 * x &lt;- (x + u) / (1 + rate weightDecay)          or, with noProx,  x &lt;- x - rate weightDecay x + u
 * </pre>
 *
 * g' is the gradient after clipping and scaling. Its betas are those of the release; the paper's are 1 minus them.
 *
 * <p>State: four words per element, {@code momentum} (m), {@code difference} (q), {@code square} (v) and {@code previous} (g'); a step
 * alone moves 11.
 *
 * <p>A schedule of the momentum multiplies beta1. The bias correction is 1 - beta1^t with the present beta1.
 *
 * <p>Known to fail: small batches. Where gradients are mostly noise, the differences are too: v is (1 + beta2)^2 + beta2^2 times the square
 * of the noise, 4.5 times by default, which makes the steps half as long.
 *
 * <p>Xie, Zhou, Li, Lin and Yan, "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models" (2022), in the form of the
 * authors' release, without its restarts. (Clipping there divides by |g| + epsilon, and is {@link
 * org.steptuner.tuner.TunerBuilder#clipNorm} here.)
 *
 * @param beta1 in [0, 1)
 * @param beta2 in [0, 1)
 * @param beta3 in [0, 1)
 * @param epsilon not negative; 0 is safe, see {@link RuleStep#leastEpsilon}
 * @param weightDecay not negative
 * @param noProx whether decay shrinks x as AdamW's does, before the step, and not by the division, which is the proximal step
 */
public record Adan(double beta1, double beta2, double beta3, double epsilon, double weightDecay, boolean noProx) implements Rule {
  /** Makes the rule; throws {@link IllegalArgumentException} if a value is out of its range. */
  public Adan {
    Adam.check(beta1, beta2, epsilon, weightDecay);
    Check.decay("beta3", beta3);
  }

  /** betas 0.98, 0.92 and 0.99, epsilon 1e-8, no decay; a decay would be proximal. */
  public static Adan defaults() {
    return new Adan(0.98, 0.92, 0.99, 1e-8, 0, false);
  }

  /** The same with other betas, each in [0, 1). */
  public Adan betas(double first, double second, double third) {
    return new Adan(first, second, third, epsilon, weightDecay, noProx);
  }

  /** The same with another epsilon, 0 or more. */
  public Adan epsilon(double value) {
    return new Adan(beta1, beta2, beta3, value, weightDecay, noProx);
  }

  /** The same with another weight decay, 0 or more. */
  public Adan weightDecay(double value) {
    return new Adan(beta1, beta2, beta3, epsilon, value, noProx);
  }

  /** The same with AdamW's decay instead of the proximal one, or with the proximal one. */
  public Adan noProx(boolean value) {
    return new Adan(beta1, beta2, beta3, epsilon, weightDecay, value);
  }

  @Override
  public String kernel() {
    return "adan";
  }

  @Override
  public void coefficients(RuleStep step, Coefficients to) {
    final long t = step.number();
    final double b1 = beta1 * step.momentumFactor();
    final double shrinkage = step.rate() * (noProx ? step.decay(weightDecay) : step.proximalDecay(weightDecay));
    final double divisor = noProx ? 1 : 1 + shrinkage;
    final double rate = step.rate() / divisor;
    to.put("stepSize", rate / (1 - Math.pow(b1, t))).put("differenceStepSize", rate * beta2 / (1 - Math.pow(beta2, t)));
    to.put("shrinkage", shrinkage / divisor);
    to.put("beta1", b1).put("oneMinusBeta1", 1 - b1).put("beta2", beta2).put("oneMinusBeta2", 1 - beta2);
    to.put("beta3", beta3).put("oneMinusBeta3", 1 - beta3).put("rootCorrection", Adam.rootCorrection(beta3, t));
    to.put("epsilon", Math.max(epsilon, step.leastEpsilon())).put("first", t == 1 ? 1 : 0);
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
  public boolean stepIsMultipleOfRate() {
    return noProx || weightDecay == 0;
  }
}
