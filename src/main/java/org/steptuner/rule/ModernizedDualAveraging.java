// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * MDA, modernized dual averaging: gradient descent that returns to its start, less and less, with momentum. It takes no squares of
 * gradients: an alternative to SGD with momentum. {@link MADGRAD} is this with a divisor.
 *
 * <pre>
 * d = g + weightDecay x
 * s &lt;- s + rate sqrt(t) d                        (s starts at 0)
 * z = x0 - s / sqrt(t)
 * x &lt;- momentum x + (1 - momentum) z
 * </pre>
 *
 * x0 is x before the first step. In other words {@code z <- a z + (1 - a) x0 - rate d} with {@code a = sqrt((t - 1) / t)}: plain descent of
 * z with a pull towards x0, which is like a weight decay around x0 and fades as 1 / (2 t). At a constant rate with a momentum of 0.9 the
 * steps are about those of SGD with momentum 0.9 at a tenth of the rate.
 *
 * <p>State: two words per element, {@code sum} and {@code start}; a step alone moves 7 (x0 is written at every step, because all steps of a
 * rule have one formula). x follows z, which is kept in the type of the state, so what is lost when a 16-bit x is rounded comes back.
 *
 * <p>Known to fail: as SGD does, where gradients differ much in size between layers, for there is no divisor. While gradients stay the
 * same, z goes only two thirds as far as plain descent at this rate would.
 *
 * <p>Jelassi and Defazio, "Dual Averaging is Surprisingly Effective for Deep Learning Optimization" (2020). The formula is that of MADGRAD
 * without the divisor, and that of a public implementation of the regularized method without its regularizer; the paper's own text could
 * not be compared.
 *
 * @param momentum in [0, 1)
 * @param weightDecay added to the gradient, not negative
 */
public record ModernizedDualAveraging(double momentum, double weightDecay) implements Rule {
  /** Makes the rule; throws {@link IllegalArgumentException} if a value is out of its range. */
  public ModernizedDualAveraging {
    Check.decay("momentum", momentum);
    Check.notNegative("weightDecay", weightDecay);
  }

  /** momentum 0.9, no decay. */
  public static ModernizedDualAveraging defaults() {
    return new ModernizedDualAveraging(0.9, 0);
  }

  /** The same with another momentum, in [0, 1). */
  public ModernizedDualAveraging momentum(double value) {
    return new ModernizedDualAveraging(value, weightDecay);
  }

  /** The same with another weight decay, 0 or more. */
  public ModernizedDualAveraging weightDecay(double value) {
    return new ModernizedDualAveraging(momentum, value);
  }

  @Override
  public String kernel() {
    return "mda";
  }

  @Override
  public void coefficients(RuleStep step, Coefficients to) {
    final double root = Math.sqrt(step.number());
    to.put("weight", step.rate() * root).put("weightDecay", weightDecay * step.decayFactor()).put("inverseRoot", 1 / root);
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
