// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import org.steptuner.ParameterSet;
import org.steptuner.PartedOptimizer;
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
 * <p>A step needs the loss: {@code step(loss, part)}. {@code step(loss)} takes the part with the number (steps made) mod n, which suits
 * batches that always come in the same order. An L2 penalty must be part of the loss and of the gradient. The report's learned scale is c,
 * which is negative where the loss is below the target.
 *
 * <p>State: with a momentum one word per element, and a double for each part. Words moved per element: 4, with a momentum 6, the guard
 * against non-finite gradients and clipping included; |g| is that before clipping; clipping only shortens the step. A step reads sums back
 * once. There is one rate for all tensors; in a sharded training every process must be given the loss over all of them.
 *
 * <p>Known to fail: the steps depend on the unit of the loss, because of the 1 in the denominator: a loss in small units gives short steps.
 * While the targets are still 0, this is the Polyak step with a bound of 0, but for that 1.
 */
public final class MovingTarget extends TunerBuilder<MovingTarget> {
  private static final int MOST_PARTS = 1 << 27;

  final double momentum;
  int parts = 1;
  double rate = 1;
  double target;
  double targetRate = 1e-3;

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
    rate = checkRate(value);
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

  @Override
  void check(ParameterSet parameters) {
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
  String description() {
    return "MovingTarget[parts=" + parts + ", rate=" + rate + ", target=" + target + ", targetRate=" + targetRate + common() + "]";
  }
}
