// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.internal.engine.TunedOptimizer;

/** A rule at a rate, and a look back at the end of each window. */
final class NewtonRateOptimizer extends TunedOptimizer {
  private final NewtonRate settings;
  private final boolean released;
  private final NewtonRateScalars[] scalars; // by scope
  private final Sweep sweep;
  private final Sweep keep;
  private final Sweep window;
  private final Reduction sums;
  private final Reduction.Term product; // <u, u'>
  private final Reduction.Term square; // |u|^2
  private final Reduction.Term squareNow; // |u'|^2
  private final double[] used; // by scope: the rate of this step, which the end of a window changes

  NewtonRateOptimizer(Engine engine, NewtonRate settings) {
    super(engine);
    this.settings = settings;
    released = settings.variant == NewtonRate.Variant.RELEASED;
    scalars = new NewtonRateScalars[plan.scopes()];
    for (int i = 0; i < scalars.length; ++i) scalars[i] = new NewtonRateScalars(settings);
    sweep = plan.bind("fixed_rate", ruleKernel());
    keep = plan.bind("reference", "");
    window = plan.bind("newton_window", "");
    sums = reduction();
    product = sums.perScope(window.sum("product"));
    square = sums.perScope(window.sum("beforeSquare"));
    squareNow = sums.perScope(window.sum("nowSquare"));
    used = new double[scalars.length];
  }

  @Override
  protected double baseRate() {
    return 1;
  }

  @Override
  protected boolean advance(long step) {
    if (!guard.guard()) return false;
    if (step == 1 && !released) attendance.capture(keep, "reference");
    sweep.put("gradientScale", sourceScale());
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int group = plan.group(segment);
      putGroupRule(sweep, group, rate(group) * scalars[plan.scope(segment)].rate);
      sweep.set(segment);
    }
    sweep.runLast();
    for (int scope = 0; scope < scalars.length; ++scope) {
      used[scope] = scalars[scope].rate;
      scalars[scope].factor = 0;
    }
    if (released && step == settings.interval + 1) attendance.capture(keep, "reference");
    else if (released ? step > 1 && (step - 1) % settings.interval == 0 : step % settings.interval == 0) endWindow();
    return true;
  }

  private void endWindow() {
    for (int segment = 0; segment < plan.segments(); ++segment) {
      window.put("inverseRate", 1 / scalars[plan.scope(segment)].rate);
      window.set(segment);
    }
    window.run();
    window.await();
    sums.collect();
    sums.reduce();
    for (int scope = 0; scope < scalars.length; ++scope)
      scalars[scope].update(product.of(scope), square.of(scope), squareNow.of(scope));
  }

  // The rule has always had this rate for its own.
  @Override
  protected String whyNotFrozen() {
    return null;
  }

  // The way of the window is that from here on: what the trainer did is no step.
  @Override
  protected void rebase() {
    attendance.follow("reference");
  }

  @Override
  protected double learnedScale(int scope) {
    return scalars[scope].rate;
  }

  @Override
  protected double effectiveRate(int scope) {
    return report.rate() * used[scope];
  }

  @Override
  protected int sweepWords() {
    return sweep.words();
  }

  @Override
  protected double wordsPerElement() {
    return super.wordsPerElement() + (double) window.words() / settings.interval;
  }

  @Override
  protected void name(Scalars to) {
    to.each("rate", scalars, one -> one.rate, NewtonRateScalars::restore);
    to.each("factor", scalars, one -> one.factor, (one, factor) -> one.factor = factor);
  }
}
