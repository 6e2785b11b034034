// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.internal.engine.TunedOptimizer;

/**
 * The sweeps of the scalar form: observe, then apply. The slot {@code direction} holds -g', which is hypergradient descent's u over SGD.
 */
final class GradaGradOptimizer extends TunedOptimizer {
  private final boolean averages;
  private final boolean compares;
  private final GradaGradScalars[] scalars; // by scope
  private final Reduction sums;
  private final DecayedGradient gradient;
  private final Sweep apply;

  GradaGradOptimizer(Engine engine, GradaGrad settings) {
    super(engine);
    averages = settings.averages();
    compares = settings.compares();
    scalars = new GradaGradScalars[plan.scopes()];
    for (int i = 0; i < scalars.length; ++i) scalars[i] = new GradaGradScalars(settings);
    sums = reduction();
    gradient =
        compares
            ? new DecayedGradient(plan, sums, this::rule, rulesEverywhere(), "hypergradient_observe", name -> plan.bind(name, ""))
            : new DecayedGradient(plan, sums, this::rule, rulesEverywhere(), "gradient_norm", name -> guard.bindObserver(name, ""));
    gradient.addL1(guard);
    final String step =
        averages ? compares ? "gradagrad_average" : "adagrad_norm_average" : compares ? "hypergradient_apply" : "fixed_rate";
    apply = plan.bind(step, "sgd");
  }

  @Override
  protected double baseRate() {
    return 1;
  }

  @Override
  protected boolean advance(long step) {
    if (!guard.guard()) return false;
    gradient.observe();
    guard.reduce(sums);
    if (!guard.accept(gradient.total.of(0)) || guard.refuses(sums)) return false;
    final double s = guard.scale();
    final double decayFactor = decayFactor();
    for (int scope = 0; scope < scalars.length; ++scope)
      scalars[scope].update(gradient.square(scope, s, decayFactor), compares ? -gradient.product(scope, s, decayFactor) : 0);
    apply.put("gradientScale", s);
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int group = plan.group(segment);
      put(group, rate(group) * scalars[plan.scope(segment)].rate(), step == 1);
      apply.set(segment);
    }
    apply.runLast();
    return true;
  }

  private void put(int group, double rate, boolean first) {
    if (averages) {
      apply.put("weightDecay", rule(group).coupledDecay() * decayFactor()).put("learnedRate", rate);
      apply.put("intake", 1 - rule(group).momentum() * momentumFactor()).put("first", first ? 1 : 0);
    } else if (compares) {
      apply.put("learnedRate", rate);
      putGroupRule(apply, group, 1);
    } else {
      putGroupRule(apply, group, rate);
    }
  }

  // z is where x is.
  @Override
  protected void rebase() {
    if (averages) attendance.follow("point");
  }

  @Override
  protected String whyNotFrozen() {
    return averages ? "its momentum averages points, and that of the rule gradients" : super.whyNotFrozen();
  }

  @Override
  protected double learnedScale(int scope) {
    return scalars[scope].rate();
  }

  @Override
  protected int sweepWords() {
    return gradient.words() + apply.words();
  }

  @Override
  protected void name(Scalars to) {
    to.each("alpha", scalars, one -> one.alpha, (one, alpha) -> one.alpha = alpha);
    to.each("gamma", scalars, one -> one.gamma, GradaGradScalars::restore);
  }
}
