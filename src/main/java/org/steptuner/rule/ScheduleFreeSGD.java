// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * Schedule-Free SGD: an average of the iterates takes the place of a decreasing rate, and a point between the two that of a momentum.
 *
 * <pre>
 * d = g + weightDecay y                        (g at y: the parameters in training)
 * w = t^stepPower R^ratePower;  W &lt;- W + w;  c = w / W        (R: the largest rate so far; c = 0 while W = 0)
 * z &lt;- z - rate d
 * x &lt;- (1 - c) x + c z                         (the model)
 * y &lt;- (1 - beta1) z + beta1 x                 (x = z = y at first)
 * </pre>
 *
 * The model is x: evaluate it, and save it as the model, between {@link org.steptuner.Optimizer#evaluating} and
 * {@link org.steptuner.Optimizer#training}. x is not stored: it is y + (1 - 1/beta1) (z - y). Nor is z: the state is b = z - y, one word
 * per element. With b the same formulas are
 *
 * <pre>
 * y &lt;- y + c b - rate (1 - beta1 (1 - c)) d;  b &lt;- (1 - c) b - rate beta1 (1 - c) d
 * </pre>
 *
 * So the step depends on no place, as {@link org.steptuner.tuner.Mechanic} needs it, and b keeps its digits where z - y would lose them. A
 * step alone moves 5 words per element, as SGD with momentum does.
 *
 * <p>It needs no rate that decreases: give it a constant one, or a warm-up ({@link org.steptuner.Schedule#warmup}). {@code FixedRate} and
 * {@code Mechanic} take this rule. Under Mechanic, a combination of ours, w is made of the rates of the schedule, and the learned scale
 * multiplies b where x is computed. A momentum schedule is refused: x, y and z belong together for one beta1. Scalars, for each parameter
 * group: {@code c}, {@code weight_sum} (W) and {@code lr_max} (R), named as in the release.
 *
 * <p>Known to fail: a trainer that forgets {@code evaluating()} evaluates y, which is noisier than x. Batch normalisation has the
 * statistics of y: make some forward passes in training mode between {@code evaluating()} and the evaluation. With 16-bit parameters that
 * are rounded {@linkplain org.steptuner.ParameterRounding#NEAREST to the nearest}, at a fixed rate, the steps of y, which shrink with c,
 * round to nothing in the end, and x goes astray. A beta1 that is
 * too small for a long run leaves y noisy: the release advises 0.95 or 0.98 then. The release also advises a rate 10 to 50 times that of
 * SGD with momentum.
 *
 * <p>Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky, "The Road Less Scheduled" (2024), in the form of the authors' release, whose r
 * and weight_lr_power are stepPower and ratePower here. The formulas are those of the release; z is kept in another form, as said.
 * Storing z was compared: with float32 the errors are alike, with bfloat16 those of x are larger by half.
 *
 * @param beta1 in (0, 1)
 * @param stepPower r, the power of the step's number in w; not negative
 * @param ratePower weight_lr_power, the power of the largest rate in w; not negative
 * @param weightDecay added to the gradient, not negative
 */
public record ScheduleFreeSGD(double beta1, double stepPower, double ratePower, double weightDecay) implements ScheduleFree {
  /** Makes the rule; throws {@link IllegalArgumentException} if a value is out of its range. */
  public ScheduleFreeSGD {
    ScheduleFree.check(beta1, stepPower, ratePower, weightDecay);
  }

  /** beta1 0.9, powers 0 and 2, no decay. The release's rate is 1. */
  public static ScheduleFreeSGD defaults() {
    return new ScheduleFreeSGD(0.9, 0, 2, 0);
  }

  /** The same with another beta1, in (0, 1). */
  public ScheduleFreeSGD beta1(double value) {
    return new ScheduleFreeSGD(value, stepPower, ratePower, weightDecay);
  }

  /** The same with another power of the step's number, 0 or more. */
  public ScheduleFreeSGD stepPower(double value) {
    return new ScheduleFreeSGD(beta1, value, ratePower, weightDecay);
  }

  /** The same with another power of the largest rate, 0 or more. */
  public ScheduleFreeSGD ratePower(double value) {
    return new ScheduleFreeSGD(beta1, stepPower, value, weightDecay);
  }

  /** The same with another weight decay, 0 or more. */
  public ScheduleFreeSGD weightDecay(double value) {
    return new ScheduleFreeSGD(beta1, stepPower, ratePower, value);
  }

  @Override
  public String kernel() {
    return "schedule_free_sgd";
  }

  @Override
  public void coefficients(RuleStep step, Coefficients to) {
    averageCoefficients(step, to);
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
