// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.function.DoubleSupplier;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.SlotVector;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Rule;

/**
 * A tuner that forms the base rule's step u at the rate 1, finds a rate eta for it, and then makes the step {@code x + eta u}. Until eta is
 * known, only scratch memory is written. Trials also displace the parameters, and put them back bit for bit.
 *
 * <p>A rule whose step is a multiple of its rate makes the step itself, at the rate eta. Otherwise u is multiplied, and the rule's state
 * advances as at the rate 1: after trials, because an accepted one must be the step, and for rules whose state holds the rate.
 */
abstract class DirectedOptimizer extends TunedOptimizer {
  /** The name of the rate in checkpoints and scalars. */
  static final String RATE = "eta";

  private final boolean multiplies; // whether u is multiplied by eta; else the rule takes eta for its rate
  private final Sweep direction; // null where u itself is not needed
  private final Sweep apply;
  private final Sweep keep; // null without trials
  private final Sweep trial;
  private final Reduction sums;
  private final Reduction.Term gradientSquare; // those of the sweep that forms u; null without it
  private final Reduction.Term gradientDirection;
  private final Reduction.Term directionSquare;
  private final Reduction.Term parameterSquare;
  private SlotVector vector;
  private double applied; // the rate of the last step

  /**
   * @param directed whether u is needed at all
   * @param trials whether {@link #displace} will be called
   */
  DirectedOptimizer(Engine engine, boolean directed, boolean trials) {
    super(engine);
    multiplies = trials || !stepsAreMultiples();
    if (directed || multiplies) plan.addScratch("direction");
    if (trials) plan.addScratch("reference");
    direction = directed ? plan.bind("direction", ruleKernel()) : null;
    // A step ends where its trial was, which has rounded 16-bit parameters to the nearest.
    apply = trials
        ? plan.bindToNearest("hypergradient_apply", ruleKernel())
        : plan.bind(multiplies ? "hypergradient_apply" : "fixed_rate", ruleKernel());
    keep = trials ? plan.bind("reference", "") : null;
    trial = trials ? plan.bind("trial", "") : null;
    sums = reduction();
    gradientSquare = directed ? sums.overall(direction.sum("gradientSquare")) : null;
    gradientDirection = directed ? sums.overall(direction.sum("gradientDirection")) : null;
    directionSquare = directed ? sums.overall(direction.sum("directionSquare")) : null;
    parameterSquare = directed ? sums.overall(direction.sum("parameterSquare")) : null;
  }

  /** Lets a number of this process go over the processes with the sums of {@link #observe}; known, as their total, after it. */
  final Reduction.Term together(DoubleSupplier number) {
    return sums.overall(number);
  }

  private boolean stepsAreMultiples() {
    boolean all = true;
    for (Rule rule : rulesEverywhere()) all &= rule.stepIsMultipleOfRate();
    return all;
  }

  /** The rate that the tuner has found. */
  abstract double eta();

  /** Takes it back from a checkpoint. */
  abstract void setEta(double value);

  @Override
  protected double baseRate() {
    return 1;
  }

  /** u, for the trainer. */
  final SlotVector direction() {
    if (vector == null) vector = new SlotVector(plan, "direction");
    return vector;
  }

  /** Forms u and takes its sums. False: skip the step. */
  final boolean observe() {
    direction.put("gradientScale", sourceScale());
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int group = plan.group(segment);
      if (startsGroup(segment)) putGroupRule(direction, group, rateFactor(group));
      direction.set(segment);
    }
    direction.run();
    direction.await();
    sums.collect();
    guard.reduce(sums);
    if (!guard.reads() && !guard.accept(gradientSquare.of(0))) return false;
    return !guard.refuses(sums);
  }

  /** {@code <g, u>} with the gradient of the loss, which clipping does not change. */
  final double slope() {
    return guard.multiplier() * gradientDirection.of(0);
  }

  /** {@code |u|^2}. */
  final double directionSquare() {
    return directionSquare.of(0);
  }

  /** {@code |x|^2}. */
  final double parameterSquare() {
    return parameterSquare.of(0);
  }

  /** Keeps the parameters, so that they can be displaced. */
  final void keep() {
    keep.run();
  }

  /** Moves the parameters to what was kept plus {@code rate} u; at 0 they are what was kept, bit for bit. */
  final void displace(double rate) {
    trial.put("rate", rate);
    trial.setAll();
    trial.run();
    trial.await(); // the trainer's work may be on another stream
  }

  /**
   * A rate that keeps decoupled decay from shrinking parameters to less than nothing, where u is multiplied by it and has the decay of the
   * rate 1: lowered to 1 / decay. Rules that take the rate for their own lower the decay instead.
   */
  final double bounded(double rate) {
    if (!multiplies) return rate;
    final double largest = largestBoundedDecay();
    if (rate * largest <= 1) return rate;
    noteBoundedDecay();
    return 1 / largest;
  }

  /** Makes the step {@code x + rate u}, with the rate within its {@linkplain #bounded bound}. */
  final void apply(double wanted) {
    final double rate = bounded(wanted);
    applied = rate;
    apply.put("gradientScale", sourceScale());
    if (multiplies) apply.put("learnedRate", rate);
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int group = plan.group(segment);
      if (startsGroup(segment)) putGroupRule(apply, group, multiplies ? rateFactor(group) : rate * rateFactor(group));
      apply.set(segment);
    }
    apply.runLast();
  }

  @Override
  protected final double learnedScale(int scope) {
    return eta();
  }

  @Override
  protected double effectiveRate(int scope) {
    return applied;
  }

  /** Words of a step without u. */
  final int applyWords() {
    return apply.words();
  }

  @Override
  protected int sweepWords() {
    return (direction == null ? 0 : direction.words()) + apply.words();
  }

  /** Words of keeping the parameters. */
  final int keepWords() {
    return keep.words();
  }

  /** Words of one displacement. */
  final int trialWords() {
    return trial.words();
  }

  @Override
  protected void name(Scalars to) {
    to.one(RATE, this::eta, this::setEta);
  }
}
