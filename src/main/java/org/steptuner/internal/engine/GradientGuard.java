// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Map;
import java.util.function.DoubleSupplier;
import org.steptuner.NonFinite;
import org.steptuner.StepReport.Skip;

/**
 * Handles the gradients of a step as a whole: refuses them before anything is written if they are not finite, clips their norm, sums |g|_1
 * if the optimizer was built with it, and gives the factor by which sweeps multiply them.
 *
 * <p>The norm comes from a sweep of the guard's own ({@link #guard}), or from the tuner's first sweep if that writes neither parameters nor
 * state ({@link #accept}).
 */
public final class GradientGuard {
  private static final double CLIP_EPSILON = 1e-6;

  private final NonFinite nonFinite;
  private final double clipNorm;
  private final boolean wantsL1;
  private final Plan plan;
  private final Report report;
  private final Sweep sweep; // null: the tuner's own sweep is the guard
  private final Processes processes; // null: one process
  private final Reduction reduction;
  private final Reduction.Term square;
  private Sweep companion; // runs with it; mostly null
  private Reduction.Term l1; // null if it is not summed
  private final LossScaling scaling; // null: none
  private double multiplier; // the trainer's, over the loss scale
  private double given; // the trainer's
  private boolean badLoss;
  private boolean rateRefused;

  GradientGuard(Settings settings, Plan plan, Report report, Processes processes, LossScaling scaling) {
    this.plan = plan;
    this.report = report;
    this.processes = processes;
    reduction = new Reduction(plan, processes);
    nonFinite = settings.nonFinite();
    clipNorm = settings.clipNorm();
    wantsL1 = settings.gradientL1();
    this.scaling = scaling;
    given = settings.gradientMultiplier();
    multiplier = given;
    final boolean reads = settings.guarded() || wantsL1 && !settings.observesL1();
    sweep = reads ? plan.bind(wantsL1 ? "gradient_norm_l1" : "gradient_norm", "") : null;
    square = reads ? reduction.overall(sweep.sum("gradientSquare")) : null;
    if (reads && wantsL1) l1 = reduction.overall(sweep.sum("gradientL1"));
  }

  /**
   * Begins a step.
   *
   * @param badLossOfStep whether the step must be skipped because of its loss
   */
  void begin(boolean badLossOfStep) {
    badLoss = badLossOfStep;
    rateRefused = false;
    report.lossScale = lossScale();
    multiplier = given / report.lossScale;
    report.gradientNorm = Double.NaN;
    report.gradientL1 = Double.NaN;
    report.clipFactor = 1;
  }

  /**
   * Lets another sweep that only reads run with the guard's own, which there must be: both sums go over the processes in one call.
   *
   * @param other the sweep
   * @param sum the name of its sum
   * @return the sum, known after {@link #guard}
   */
  public Reduction.Term together(Sweep other, String sum) {
    companion = other;
    return reduction.overall(other.sum(sum));
  }

  /** Lets a number of this process go over the processes with the guard's sum; known, as their total, after {@link #guard}. */
  public Reduction.Term together(DoubleSupplier number) {
    return reduction.overall(number);
  }

  /** Reads the gradients before the tuner's sweeps, if the guard has a sweep. False: skip the step. */
  public boolean guard() {
    if (sweep == null) return true;
    sweep.run();
    if (companion != null) {
      companion.run();
      companion.await();
    }
    sweep.await();
    reduction.collect();
    reduce(reduction);
    return accept(square.of(0));
  }

  /** Notes that no tensor has a gradient. */
  boolean sawNothing() {
    report.gradientNorm = 0;
    if (wantsL1) report.gradientL1 = 0;
    return true;
  }

  /** Words that the guard's own sweep reads per element: 1, or 0 where it has none. */
  public int words() {
    return sweep == null ? 0 : sweep.words();
  }

  /** Whether the guard has a sweep of its own. */
  public boolean reads() {
    return sweep != null;
  }

  /** The guard's own sweep; null where it has none. */
  public Sweep sweep() {
    return sweep;
  }

  /** Binds the sweep that sees the gradients first, in its form with |g|_1 if reports need it and the guard does not sum it. */
  public Sweep bindObserver(String name, String rule) {
    return bindObserver(name, rule, Map.of());
  }

  /**
   * The same.
   *
   * @param slotOfOperand the slots of operands whose names differ
   */
  public Sweep bindObserver(String name, String rule, Map<String, String> slotOfOperand) {
    return plan.bind(wantsL1 && sweep == null ? name + "_l1" : name, rule, slotOfOperand);
  }

  /** Adds |g|_1 of an observing sweep to the sums of a step, where the sweep has it. */
  public void addL1(Sweep observer, Reduction to) {
    if (observer.sums("gradientL1")) l1 = to.overall(observer.sum("gradientL1"));
  }

  /** Adds the sums of a sweep that saw the gradients over all processes. With them goes whether the loss of a process is bad. */
  public void reduce(Reduction sums) {
    sums.reduce();
    if (processes != null) badLoss = processes.badLoss();
    if (l1 != null && l1.in(sums)) report.gradientL1 = l1.of(0) * Math.abs(multiplier);
  }

  /**
   * Takes the norm of the gradients and finds the factor of clipping. False: skip the step.
   *
   * @param gradientSquare |g|^2 of the gradients as they are in memory, over all tensors
   */
  public boolean accept(double gradientSquare) {
    if (badLoss) {
      report.skip = Skip.NON_FINITE_LOSS;
      return false;
    }
    report.gradientNorm = Math.sqrt(gradientSquare) * Math.abs(multiplier);
    if (refuses(report.gradientNorm)) return false;
    report.clipFactor = Math.min(1, clipNorm / (report.gradientNorm + CLIP_EPSILON));
    return true;
  }

  /** Notes the norm of the gradients where nothing else has. */
  public void noteNorm(double norm) {
    if (Double.isNaN(report.gradientNorm)) report.gradientNorm = norm;
  }

  /** Skips a step if a sum or a rate is not finite, unless such values are not checked. */
  public boolean refuses(double value, Skip why) {
    if (Double.isFinite(value) || nonFinite == NonFinite.UNCHECKED) return false;
    report.skip = why;
    return true;
  }

  /** Skips a step if a rate is not finite, or is more than the type that the sweeps compute in can hold. */
  public boolean refusesRate(double rate, Skip why) {
    // One limit for all processes, of which some may have float64 alone: they skip a step together.
    final double largest = processes == null ? plan.largestNumber() : Float.MAX_VALUE;
    rateRefused = refuses(Math.abs(rate) <= largest ? rate : Double.NaN, why);
    return rateRefused;
  }

  /** Whether the step is skipped for its rate, which does not depend on how gradients are scaled. */
  boolean hasRefusedRate() {
    return rateRefused;
  }

  /** The same for a value that the gradients brought. */
  public boolean refuses(double value) {
    return refuses(value, Skip.NON_FINITE_GRADIENT);
  }

  /** The same for all sums of a step. */
  public boolean refuses(Reduction sums) {
    return !sums.isFinite() && refuses(Double.NaN);
  }

  /** The factor on the gradients in memory, without clipping; known once a step has begun. */
  public double multiplier() {
    return multiplier;
  }

  /** The factor that the trainer has set. */
  double given() {
    return given;
  }

  void setMultiplier(double value) {
    given = checkMultiplier(value);
  }

  /** The loss scale of the coming step; 1 for none. */
  double lossScale() {
    return scaling == null ? 1 : scaling.scale();
  }

  /** Whether this process's loss is why the step must be skipped. */
  boolean hasBadLoss() {
    return badLoss;
  }

  /** The factor by which sweeps multiply gradients. */
  public double scale() {
    return multiplier * report.clipFactor;
  }

  NonFinite nonFinite() {
    return nonFinite;
  }

  /** @throws IllegalArgumentException if the value is no factor for gradients */
  public static double checkMultiplier(double value) {
    if (!Double.isFinite(value) || value == 0)
      throw new IllegalArgumentException("gradientMultiplier must be finite and not 0, not " + value);
    return value;
  }
}
