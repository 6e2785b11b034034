// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * Schedule-Free AdamW: as {@link ScheduleFreeSGD}, with Adam's denominator. The averages of iterates take the place of its momentum.
 *
 * <pre>
 * v &lt;- beta2 v + (1 - beta2) g^2
 * d = g / (sqrt(v) / sqrt(1 - beta2^t) + epsilon) + weightDecay y        (g at y: the parameters in training)
 * z, x, y, c: as in {@link ScheduleFreeSGD}; the model is x
 * </pre>
 *
 * State: b = z - y and v, two words per element; a step alone moves 7, as AdamW does. What {@link ScheduleFreeSGD} says of evaluating, of
 * tuners and of known failures is true of this rule as well; the release advises a rate 1 to 10 times that of AdamW. {@code Prodigy} takes
 * this rule too.
 *
 * <p>Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky, "The Road Less Scheduled" (2024), algorithm 1, in the form of the
 * authors' release. The release's warm-up is {@link org.steptuner.Schedule#warmup} here.
 *
 * @param beta1 in (0, 1)
 * @param beta2 in [0, 1)
 * @param epsilon not negative; 0 is safe, see {@link RuleStep#leastEpsilon}
 * @param stepPower r, the power of the step's number in the weight of an iterate; not negative
 * @param ratePower weight_lr_power, the power of the largest rate in it; not negative
 * @param weightDecay not negative
 */
public record ScheduleFreeAdamW(double beta1, double beta2, double epsilon, double stepPower, double ratePower, double weightDecay)
    implements ScheduleFree {
  /** Makes the rule; throws {@link IllegalArgumentException} if a value is out of its range. */
  public ScheduleFreeAdamW {
    ScheduleFree.check(beta1, stepPower, ratePower, weightDecay);
    Check.decay("beta2", beta2);
    Check.notNegative("epsilon", epsilon);
  }

  /** betas 0.9 and 0.999, epsilon 1e-8, powers 0 and 2, no decay. The release's rate is 0.0025. */
  public static ScheduleFreeAdamW defaults() {
    return new ScheduleFreeAdamW(0.9, 0.999, 1e-8, 0, 2, 0);
  }

  /** The same with other betas, in (0, 1) and in [0, 1). */
  public ScheduleFreeAdamW betas(double first, double second) {
    return new ScheduleFreeAdamW(first, second, epsilon, stepPower, ratePower, weightDecay);
  }

  /** The same with another epsilon, 0 or more. */
  public ScheduleFreeAdamW epsilon(double value) {
    return new ScheduleFreeAdamW(beta1, beta2, value, stepPower, ratePower, weightDecay);
  }

  /** The same with another power of the step's number, 0 or more. */
  public ScheduleFreeAdamW stepPower(double value) {
    return new ScheduleFreeAdamW(beta1, beta2, epsilon, value, ratePower, weightDecay);
  }

  /** The same with another power of the largest rate, 0 or more. */
  public ScheduleFreeAdamW ratePower(double value) {
    return new ScheduleFreeAdamW(beta1, beta2, epsilon, stepPower, value, weightDecay);
  }

  /** The same with another weight decay, 0 or more. */
  public ScheduleFreeAdamW weightDecay(double value) {
    return new ScheduleFreeAdamW(beta1, beta2, epsilon, stepPower, ratePower, value);
  }

  @Override
  public String kernel() {
    return "schedule_free_adamw";
  }

  @Override
  public void coefficients(RuleStep step, Coefficients to) {
    averageCoefficients(step, to);
    to.put("beta2", beta2).put("oneMinusBeta2", 1 - beta2);
    to.put("rootCorrection", Adam.rootCorrection(beta2, step.number())).put("epsilon", Math.max(epsilon, step.leastEpsilon()));
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
    to.put("factor", 1).put("rootCorrection", Adam.rootCorrection(beta2, step.number()));
    to.put("epsilonInside", 0).put("epsilonOutside", Math.max(epsilon, step.leastEpsilon()));
  }
}
