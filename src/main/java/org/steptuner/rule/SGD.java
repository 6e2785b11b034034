// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * Stochastic gradient descent, plain, with heavy-ball momentum, or with Nesterov's.
 *
 * <pre>
 * d = g + weightDecay x
 * b &lt;- momentum b + d              (b starts at 0; no dampening)
 * x &lt;- x - rate d                  momentum = 0
 * x &lt;- x - rate b                  momentum &gt; 0
 * x &lt;- x - rate (d + momentum b)   Nesterov
 * </pre>
 *
 * State: nothing, or one word per element with momentum. Sutskever, Martens, Dahl and Hinton (2013), section 2.
 *
 * @param momentum in [0, 1)
 * @param nesterov whether to use Nesterov's form, which needs a momentum above 0
 * @param weightDecay added to the gradient, not negative
 */
public record SGD(double momentum, boolean nesterov, double weightDecay) implements Rule {
  /** Makes the rule; throws {@link IllegalArgumentException} if a value is out of its range. */
  public SGD {
    Check.decay("momentum", momentum);
    Check.notNegative("weightDecay", weightDecay);
    if (nesterov && momentum == 0) throw new IllegalArgumentException("nesterov needs momentum, which is 0");
  }

  /** Plain: no momentum, no decay. */
  public static SGD defaults() {
    return new SGD(0, false, 0);
  }

  /** The same with another momentum, in [0, 1). */
  public SGD momentum(double value) {
    return new SGD(value, nesterov, weightDecay);
  }

  /** The same with or without Nesterov's momentum, which needs a momentum above 0: give that first. */
  public SGD nesterov(boolean value) {
    return new SGD(momentum, value, weightDecay);
  }

  /** The same with another weight decay, 0 or more. */
  public SGD weightDecay(double value) {
    return new SGD(momentum, nesterov, value);
  }

  @Override
  public String kernel() {
    return momentum == 0 ? "sgd" : "momentum";
  }

  @Override
  public void coefficients(RuleStep step, Coefficients to) {
    to.put("rate", step.rate()).put("weightDecay", weightDecay * step.decayFactor());
    if (momentum == 0) return;
    final double present = momentum * step.momentumFactor();
    to.put("momentum", present).put("gradientWeight", nesterov ? 1 : 0).put("bufferWeight", nesterov ? present : 1);
  }

  @Override
  public double coupledDecay() {
    return weightDecay;
  }

  @Override
  public Rule withoutDecay() {
    return weightDecay(0);
  }
}
