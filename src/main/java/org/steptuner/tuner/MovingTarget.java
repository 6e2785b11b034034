// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.steptuner.ParameterSet;
import org.steptuner.PartedOptimizer;
import org.steptuner.internal.engine.Description;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.SGD;

/**
 * The Polyak step with a moving target (MOTAPS), and with a given one (TAPS): SGD whose rate is proportional to the difference between the
 * loss of a part of the data and a target of that part. Gower, Defazio and Rabbat, "Stochastic Polyak Stepsize with a Moving Target"
 * (2021), in the form of the authors' released code.
 *
 * <p>The data has n parts: examples, or batches that stay together. Part i has a target a_i; these targets are moved towards a common one,
 * tau, after every n steps. With the loss f and the gradient g of part i at x:
 *
 * <pre>
 * r    = rate / (1 - momentum)
 * c    = r (f - a_i) / (|g|^2 + 1)
 * a_i &lt;- a_i + c;  z &lt;- z - c g;  x &lt;- momentum x + (1 - momentum) z
 * after steps n, 2n, ...                                    (A: the mean of all a_i)
 * tau &lt;- (1 - targetRate) tau + targetRate n / (n + 1) A
 * a_i &lt;- a_i + r (tau - A)   for all i
 * </pre>
 *
 * Everything starts at 0, tau at {@link #target}, z at x. With {@link #targetRate} 0 this is TAPS, which needs the least loss for its
 * target. (The paper draws a random part n + 1 for the last two lines; the released code makes them once per pass.)
 *
 * <p>Where the least loss of each part, f_i*, is known, it can be the part's target: {@link #targets}. Then no target moves, and with no
 * a_i in the step there is no 1 in its denominator. This is the stochastic Polyak step (SP) that the paper begins with, the case of TAPS in
 * which every part has a target of its own:
 *
 * <pre>
 * c    = r (f - f_i*) / |g|^2                                0 where g is 0
 * z &lt;- z - c g;  x &lt;- momentum x + (1 - momentum) z
 * </pre>
 *
 * Certainty: MOTAPS and TAPS are the released code. SP is the paper's, after its description, because the printed text could not be
 * compared; rate and momentum are put into it as the release puts them into MOTAPS.
 *
 * <p>A step needs the loss: {@code step(loss, part)}. {@code step(loss)} takes the part with the number (steps made) mod n, which suits
 * batches that always come in the same order. An L2 penalty must be part of the loss and of the gradient. The report's learned scale is c,
 * which is negative where the loss is below the target.
 *
 * <p>State: with a momentum one word per element, and a double for each part. Words moved per element: 4, with a momentum 6, the guard
 * against non-finite gradients and clipping included; |g| is that before clipping; clipping only shortens the step. A step reads sums back
 * once. There is one rate for all tensors; with several processes it goes by the mean of their losses, all of the same part.
 *
 * <p>Known to fail: the steps depend on the unit of the loss, because of the 1 in the denominator: a loss in small units gives short steps.
 * While the targets are still 0, this is the Polyak step with a bound of 0, but for that 1. Given targets have no such unit, but a target
 * above the least loss of its part drives the step back to where the loss is the target, and a small |g| makes a long step.
 *
 * <p>{@link org.steptuner.Optimizer#scalars} has alpha (all a_i), alpha_mean, tau, rate (c) and t; with given targets alpha, rate and t.
 */
public final class MovingTarget extends TunerBuilder<MovingTarget> {
  private static final int MOST_PARTS = 1 << 27;
  private static final double DEFAULT_TARGET_RATE = 1e-3;

  final double momentum;
  int parts = 1;
  double rate = 1;
  double target;
  double targetRate = DEFAULT_TARGET_RATE;
  double[] targets; // null where they are learned

  private MovingTarget(SGD rule) {
    super(rule);
    if (rule.nesterov()) throw new IllegalArgumentException("a moving target has no form with Nesterov's momentum: " + rule);
    if (rule.weightDecay() != 0)
      throw new IllegalArgumentException("a moving target needs the penalty in the loss and in the gradient, not in " + rule);
    momentum = rule.momentum();
  }

  /**
   * The Polyak step with a moving target.
   *
   * @param rule SGD, whose momentum averages the iterates; without decay
   */
  public static MovingTarget tuning(SGD rule) {
    return new MovingTarget(rule);
  }

  /** The number of parts of the data; from 1 to 2^27, 1 by default. */
  public MovingTarget parts(int value) {
    if (value < 1 || value > MOST_PARTS) throw new IllegalArgumentException("parts must be from 1 to " + MOST_PARTS + ", not " + value);
    parts = value;
    return this;
  }

  /** The rate, which a schedule multiplies; finite and not negative, 1 by default. */
  public MovingTarget baseRate(double value) {
    rate = Check.rate(value);
    return this;
  }

  /** The first target tau; finite, 0 by default. With a targetRate of 0 it should be the least loss. */
  public MovingTarget target(double value) {
    if (!Double.isFinite(value)) throw new IllegalArgumentException("target must be finite, not " + value);
    target = value;
    return this;
  }

  /** The rate at which tau moves, in [0, 1]; at 0 it stays. The default is 0.001, as in the release without a penalty. */
  public MovingTarget targetRate(double value) {
    if (!(value >= 0 && value <= 1)) throw new IllegalArgumentException("targetRate must be in [0, 1], not " + value);
    targetRate = value;
    return this;
  }

  /**
   * Gives every part its target, which stays: its least loss f_i*. Sets {@link #parts} to their number. {@link #target} and {@link
   * #targetRate} are for targets that are learned.
   *
   * @param values finite, one for each part, copied
   */
  public MovingTarget targets(double... values) {
    Objects.requireNonNull(values, "targets");
    if (values.length == 0) throw new IllegalArgumentException("targets must not be empty: parts must be 1 or more");
    final double[] copy = values.clone();
    for (int i = 0; i < copy.length; ++i)
      if (!Double.isFinite(copy[i])) throw new IllegalArgumentException("targets[" + i + "] must be finite, not " + copy[i]);
    targets = copy;
    return parts(copy.length);
  }

  @Override
  void check(ParameterSet parameters) {
    if (targets != null && targets.length != parts)
      throw new IllegalArgumentException("targets must be one for each of the " + parts + " parts, not " + targets.length);
    if (targets != null && (target != 0 || targetRate != DEFAULT_TARGET_RATE))
      throw new IllegalArgumentException("target and targetRate are for targets that are learned, and targets are given");
    groups.forEach((name, group) -> {
      if (!group.rule().equals(rule) || group.rateFactor() != 1)
        throw new IllegalArgumentException("a moving target has one rate: group '" + name + "' must not differ from " + rule);
    });
  }

  @Override
  TunedOptimizer optimizer(Engine engine) {
    return new MovingTargetOptimizer(engine, this);
  }

  @Override
  public PartedOptimizer build(ParameterSet parameters) {
    return (PartedOptimizer) super.build(parameters);
  }

  @Override
  boolean guarded() {
    return true;
  }

  @Override
  List<String> ruleSlots() {
    return momentum == 0 ? List.of() : List.of("momentum");
  }

  @Override
  Description describe() {
    return new Description("MovingTarget").form("parts", parts).form("givenTargets", targets != null).setting("rate", rate)
        .setting("target", target).setting("targetRate", targetRate).setting("targets", describe(targets));
  }

  // The checkpoint holds the targets themselves; many would make a long text.
  private static String describe(double[] targets) {
    if (targets == null) return "learned";
    return targets.length <= 8 ? Arrays.toString(targets) : "given, with the hash " + Arrays.hashCode(targets);
  }
}
