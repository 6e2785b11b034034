// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Arrays;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.internal.engine.TunedOptimizer;

/** The diagonal form's one sweep. What it sums is for reports only. */
final class GradaGradDiagonalOptimizer extends TunedOptimizer {
  private final boolean averages;
  private final double initialRate;
  private final double[] gamma; // by scope: the mean
  private final double[] used; // by scope: the mean before this step
  private final Sweep sweep;
  private final Reduction sums;
  private final Reduction.Term growth;
  private final Reduction.Term elements;
  private boolean sumsWaiting; // of the last step

  GradaGradDiagonalOptimizer(Engine engine, GradaGrad settings) {
    super(engine);
    averages = settings.averages();
    initialRate = settings.initialRate;
    gamma = new double[plan.scopes()];
    Arrays.fill(gamma, initialRate);
    used = new double[gamma.length];
    sweep = plan.bind(averages ? "gradagrad_diagonal_average" : "gradagrad_diagonal", "sgd");
    sweep.put("rho", settings.rho).put("r", settings.r).put("mostGrowth", settings.maxGrowth);
    sums = reduction();
    growth = sums.perScope(sweep.sum("growth"));
    elements = sums.perScope(sweep.sum("elements"));
  }

  @Override
  protected double baseRate() {
    return 1;
  }

  @Override
  protected boolean advance(long step) {
    settle();
    if (!guard.guard()) return false;
    System.arraycopy(gamma, 0, used, 0, gamma.length);
    sweep.put("gradientScale", guard.scale());
    if (averages) sweep.put("first", step == 1 ? 1 : 0);
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int group = plan.group(segment);
      sweep.put("weightDecay", rule(group).coupledDecay() * decayFactor()).put("initialRate", rate(group) * initialRate);
      if (averages) sweep.put("intake", 1 - rule(group).momentum() * momentumFactor());
      sweep.set(segment);
    }
    sweep.runLast();
    sumsWaiting = true;
    // With several processes all must take their sums at the same point.
    if (reduces()) settle();
    return true;
  }

  @Override
  protected void settle() {
    if (!sumsWaiting) return;
    sumsWaiting = false;
    sweep.await();
    sums.collect();
    sums.reduce();
    for (int scope = 0; scope < gamma.length; ++scope) gamma[scope] = initialRate * (growth.of(scope) / Math.max(1, elements.of(scope)));
  }

  // z is where x is.
  @Override
  protected void rebase() {
    if (averages) attendance.follow("point");
  }

  @Override
  protected String whyNotFrozen() {
    return "every weight has a rate of its own";
  }

  @Override
  protected double learnedScale(int scope) {
    return gamma[scope];
  }

  // The sums of this step are taken when it has been reported, or, with several processes, before that.
  @Override
  protected double effectiveRate(int scope) {
    return report.rate() * used[scope];
  }

  @Override
  protected boolean learnsLate() {
    return true;
  }

  @Override
  protected int sweepWords() {
    return sweep.words();
  }

  @Override
  protected void name(Scalars to) {
    to.perScope("gamma", gamma);
  }

  @Override
  protected void restored() {
    sumsWaiting = false;
  }
}
