// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * RMSProp.
 *
 * <pre>
 * d = g + weightDecay x
 * v &lt;- alpha v + (1 - alpha) d^2
 * e = d / (sqrt(v) + epsilon)      or d / sqrt(v + epsilon)
 * x &lt;- x - rate e                  momentum = 0
 * b &lt;- momentum b + e;  x &lt;- x - rate b
 * </pre>
 *
 * State: one word per element, two with momentum. Tieleman and Hinton, lecture 6.5 of "Neural Networks for Machine Learning" (2012).
 *
 * @param alpha in [0, 1)
 * @param epsilon not negative; 0 is safe, see {@link RuleStep#leastEpsilon}
 * @param weightDecay added to the gradient, not negative
 * @param momentum in [0, 1)
 * @param epsilonInsideRoot whether epsilon is inside of the root, the second form of e
 */
public record RMSProp(double alpha, double epsilon, double weightDecay, double momentum, boolean epsilonInsideRoot)
    implements Rule {
  /** Makes the rule; throws {@link IllegalArgumentException} if a value is out of its range. */
  public RMSProp {
    Check.decay("alpha", alpha);
    Check.notNegative("epsilon", epsilon);
    Check.notNegative("weightDecay", weightDecay);
    Check.decay("momentum", momentum);
  }

  /** alpha 0.99, epsilon 1e-8 outside of the root, no decay, no momentum. */
  public static RMSProp defaults() {
    return new RMSProp(0.99, 1e-8, 0, 0, false);
  }

  /** The same with another alpha, in [0, 1). */
  public RMSProp alpha(double value) {
    return new RMSProp(value, epsilon, weightDecay, momentum, epsilonInsideRoot);
  }

  /** The same with another epsilon, 0 or more. */
  public RMSProp epsilon(double value) {
    return new RMSProp(alpha, value, weightDecay, momentum, epsilonInsideRoot);
  }

  /** The same with another weight decay, 0 or more. */
  public RMSProp weightDecay(double value) {
    return new RMSProp(alpha, epsilon, value, momentum, epsilonInsideRoot);
  }

  /** The same with another momentum, in [0, 1). */
  public RMSProp momentum(double value) {
    return new RMSProp(alpha, epsilon, weightDecay, value, epsilonInsideRoot);
  }

  /** The same with epsilon inside of the root, or outside of it. */
  public RMSProp epsilonInsideRoot(boolean value) {
    return new RMSProp(alpha, epsilon, weightDecay, momentum, value);
  }

  @Override
  public String kernel() {
    return momentum == 0 ? "rmsprop" : "rmsprop_momentum";
  }

  @Override
  public void coefficients(RuleStep step, Coefficients to) {
    to.put("rate", step.rate()).put("weightDecay", weightDecay * step.decayFactor()).put("alpha", alpha).put("oneMinusAlpha", 1 - alpha);
    to.put("epsilonInside", epsilonInsideRoot ? epsilon : 0).put("epsilonOutside", outside(step));
    if (momentum != 0) to.put("momentum", momentum * step.momentumFactor());
  }

  // One that is inside of the root and too small for the state's type is as good as the least one outside.
  private double outside(RuleStep step) {
    final double least = step.leastEpsilon();
    return epsilonInsideRoot ? Math.sqrt(epsilon) < least ? least : 0 : Math.max(epsilon, least);
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
    to.put("factor", 1).put("rootCorrection", 1);
    to.put("epsilonInside", epsilonInsideRoot ? epsilon : 0).put("epsilonOutside", outside(step));
  }
}
