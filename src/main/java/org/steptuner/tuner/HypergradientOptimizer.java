// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.internal.engine.TunedOptimizer;

/** The sweeps of hypergradient descent: observe, then apply. */
final class HypergradientOptimizer extends TunedOptimizer {
  private final Hypergradient settings;
  private final HypergradientScalars[] scalars; // by scope
  private final AdamForm[] released; // by group, whose bias correction the release moves; none otherwise
  private final Reduction sums;
  private final DecayedGradient gradient;
  private final Sweep apply;

  HypergradientOptimizer(Engine engine, Hypergradient settings) {
    super(engine);
    this.settings = settings;
    final boolean moved = settings.variant == Hypergradient.Variant.ADDITIVE_RELEASED && AdamForm.fits(rule(0));
    released = new AdamForm[moved ? parameters().groups().size() : 0];
    for (int group = 0; group < released.length; ++group) released[group] = AdamForm.of(rule(group));
    scalars = new HypergradientScalars[plan.scopes()];
    for (int i = 0; i < scalars.length; ++i) scalars[i] = new HypergradientScalars(settings);
    sums = reduction();
    gradient = new DecayedGradient(plan, sums, this::rule, rulesEverywhere(), "hypergradient_observe", name -> plan.bind(name, ""));
    apply = plan.bind("hypergradient_apply", ruleKernel());
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
    if (!guard.accept(gradient.total.of(0))) return false;
    updateRates();
    setApply(step);
    apply.runLast();
    return true;
  }

  private void updateRates() {
    final double s = guard.scale();
    final double decayFactor = decayFactor();
    double last = scalars[scalars.length - 1].rate;
    for (int scope = 0; scope < scalars.length; ++scope) {
      final double before = settings.tensorOrder ? last : scalars[scope].rate;
      final double product = gradient.product(scope, s, decayFactor);
      scalars[scope].update(before, product, gradient.square(scope, s, decayFactor), gradient.directionSquare(scope));
      last = scalars[scope].rate;
    }
  }

  private void setApply(long step) {
    apply.put("gradientScale", sourceScale());
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final double learned = rate(plan.group(segment)) * scalars[plan.scope(segment)].rate;
      apply.put("learnedRate", learned);
      if (putRule(apply, segment, 1, learned)) putReleased(plan.group(segment), step);
      apply.set(segment);
    }
  }

  private void putReleased(int group, long step) {
    if (released.length == 0) return;
    final AdamForm adam = released[group];
    apply.put("stepSize", 1 / (1 - Math.pow(adam.beta1() * momentumFactor(), step)) * Math.sqrt(1 - Math.pow(adam.beta2(), step)));
    apply.put("rootCorrection", 1);
  }

  @Override
  protected double learnedScale(int scope) {
    return scalars[scope].rate;
  }

  @Override
  protected int sweepWords() {
    return gradient.words() + apply.words();
  }

  @Override
  protected void name(Scalars to) {
    if (settings.tensorOrder) to.running("rate", scalars, one -> one.rate, (one, rate) -> one.rate = rate);
    else to.each("rate", scalars, one -> one.rate, (one, rate) -> one.rate = rate);
  }
}
