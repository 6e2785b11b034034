// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * SPA, stochastic primal averaging: SGD with momentum in another form, in which a point z makes plain gradient steps and x averages the z.
 * Gradients are taken at x.
 *
 * <pre>
 * d = g + weightDecay x
 * z &lt;- z - rate d                                (z starts at x)
 * x &lt;- (1 - c) x + c z                           c = averaging
 * </pre>
 *
 * <p>Heavy-ball SGD, {@code m <- beta_t m + d; x <- x - alpha_t m}, makes the same x where
 *
 * <pre>
 * c_t = alpha_t / rate_t,     rate_(t+1) = (rate_t - alpha_t) / beta_(t+1)
 * </pre>
 *
 * With constant values c = 1 - beta and rate = alpha / (1 - beta): the default c of 0.1 at the rate 1 is SGD with momentum 0.9 at 0.1.
 *
 * <p><b>Lower c instead of the rate.</b> The paper's advice is to keep the rate of z and to lower c as training goes on, smoothly rather
 * than in jumps. A {@linkplain org.steptuner.tuner.TunerBuilder#momentumSchedule momentum schedule} does that: it multiplies c, which may
 * become anything from 0 to 1. For example
 *
 * <pre>{@code
 * FixedRate.of(1, PrimalAveraging.defaults()).momentumSchedule(Schedule.inverseSquareRoot(0, 1000))
 * }</pre>
 *
 * In SGD's terms, a lower c at the same rate of z is a lower rate and a higher momentum at once: alpha_t = rate c_t, beta_(t+1) = 1 - c_t.
 * Lowering SGD's rate alone would lower c and then let the rate of z grow.
 *
 * <p>State: one word per element, {@code displacement}, which holds x - z; a step alone moves 5. x - z is kept rather than z because a step
 * then depends on gradients only, as that of SGD does, and a tuner may scale it: z would be left behind by an x that a tuner moves. What
 * a 16-bit x loses when it is rounded does not come back, as with SGD.
 *
 * <p>Known to fail: as SGD does, where gradients differ much in size between layers, for there is no divisor.
 *
 * <p>Defazio, "Momentum via Primal Averaging: Theoretical Insights and Learning Rate Schedules for Non-Convex Optimization" (2020). The
 * form is that of public implementations, and the equality with SGD is tested; the paper's own text could not be compared.
 *
 * @param averaging c, the weight of z in x: in (0, 1]; 1 is plain SGD
 * @param weightDecay added to the gradient, not negative
 */
public record PrimalAveraging(double averaging, double weightDecay) implements Rule {
  /** Makes the rule; throws {@link IllegalArgumentException} if a value is out of its range. */
  public PrimalAveraging {
    if (!(averaging > 0 && averaging <= 1)) throw new IllegalArgumentException("averaging must be in (0, 1], not " + averaging);
    Check.notNegative("weightDecay", weightDecay);
  }

  /** c 0.1, as momentum 0.9; no decay. */
  public static PrimalAveraging defaults() {
    return new PrimalAveraging(0.1, 0);
  }

  /** The same with another weight of z, in (0, 1]. */
  public PrimalAveraging averaging(double value) {
    return new PrimalAveraging(value, weightDecay);
  }

  /** The same with another weight decay, 0 or more. */
  public PrimalAveraging weightDecay(double value) {
    return new PrimalAveraging(averaging, value);
  }

  @Override
  public String kernel() {
    return "spa";
  }

  @Override
  public void coefficients(RuleStep step, Coefficients to) {
    final double c = averaging * step.momentumFactor();
    to.put("rate", step.rate()).put("weightDecay", weightDecay * step.decayFactor()).put("weight", c).put("oneMinusWeight", 1 - c);
  }

  @Override
  public double momentum() {
    return averaging;
  }

  @Override
  public boolean allowsMomentum(double value) {
    return value >= 0 && value <= 1;
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
  public boolean stepIsMultipleOfRate() {
    return false;
  }
}
