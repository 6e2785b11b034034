// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * The mirror-descent form of {@link MADGRAD}: old squares fade, and the point z is kept instead of a sum.
 *
 * <pre>
 * d = g + weightDecay x
 * v &lt;- sqrt((t - 1) / t) v + d^2
 * z &lt;- z - (rate + epsilon) cbrt(t) d / (cbrt(v) + epsilon)     (z starts at x; at a rate of 0 z stays)
 * x &lt;- momentum x + (1 - momentum) z
 * </pre>
 *
 * Where cbrt(v) + epsilon is 0, z stays. State: two words per element; a step alone moves 7. The form of the authors' release; the method
 * that it comes from is that of Defazio and Jelassi (2021).
 *
 * @param momentum in [0, 1)
 * @param epsilon not negative; one below {@link RuleStep#leastEpsilon} counts as 0
 * @param weightDecay added to the gradient, not negative
 */
public record MirrorMADGRAD(double momentum, double epsilon, double weightDecay) implements Rule {
  /** Makes the rule; throws {@link IllegalArgumentException} if a value is out of its range. */
  public MirrorMADGRAD {
    Check.decay("momentum", momentum);
    Check.notNegative("epsilon", epsilon);
    Check.notNegative("weightDecay", weightDecay);
  }

  /** momentum 0.9, epsilon 0, no decay. */
  public static MirrorMADGRAD defaults() {
    return new MirrorMADGRAD(0.9, 0, 0);
  }

  /** The same with another momentum, in [0, 1). */
  public MirrorMADGRAD momentum(double value) {
    return new MirrorMADGRAD(value, epsilon, weightDecay);
  }

  /** The same with another epsilon, 0 or more. */
  public MirrorMADGRAD epsilon(double value) {
    return new MirrorMADGRAD(momentum, value, weightDecay);
  }

  /** The same with another weight decay, 0 or more. */
  public MirrorMADGRAD weightDecay(double value) {
    return new MirrorMADGRAD(momentum, epsilon, value);
  }

  @Override
  public String kernel() {
    return "mirror_madgrad";
  }

  // StrictMath: the same bits wherever the JVM runs.
  @Override
  public void coefficients(RuleStep step, Coefficients to) {
    final double rate = step.rate();
    final long t = step.number();
    to.put("rate", rate == 0 ? 0 : (rate + epsilon) * StrictMath.cbrt(t)).put("weightDecay", weightDecay * step.decayFactor());
    to.put("squareRetention", Math.sqrt((t - 1.0) / t)).put("epsilon", epsilon < step.leastEpsilon() ? 0 : epsilon);
    to.put("intake", 1 - momentum * step.momentumFactor()).put("first", t == 1 ? 1 : 0);
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
    return slot.equals("point");
  }

  @Override
  public StateKind stateKind(String slot) {
    return slot.equals("point") ? StateKind.POINT : StateKind.STATISTIC;
  }

  @Override
  public boolean stepIsMultipleOfRate() {
    return false;
  }
}
