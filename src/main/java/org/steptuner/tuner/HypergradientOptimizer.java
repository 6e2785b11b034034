// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.internal.engine.TunedOptimizer;

/**
 * The sweeps of hypergradient descent: observe, then apply.
 *
 * <p>With s what multiplies gradients and w a group's decay, the rule's gradient is s g + w x. Clipping changes s, which is therefore known
 * only when |g|^2 has been added over all processes. So the sums are reduced without s, and combined after that. Decays of groups are taken
 * relative to the largest of them, which is then a separate factor.
 */
final class HypergradientOptimizer extends TunedOptimizer {
  private final Hypergradient settings;
  private final HypergradientScalars[] scalars; // by scope
  private final double decay; // the largest that a group adds to the gradient
  private final double[] share; // of it, by group
  private final AdamForm[] released; // by group, whose bias correction the release moves; none otherwise
  private final Sweep observe;
  private final Sweep apply;
  private final Reduction sums;
  private final Reduction.Term total; // |g|^2
  private final Reduction.Term gradientSquare; // |g|^2 of each scope
  private final Reduction.Term gradientDirection; // <g, u'>
  private final Reduction.Term directionSquare; // |u'|^2
  private final Sweep.Sum[] decaySums; // <x, u'>, <g, x>, |x|^2; none without a decay
  private final Reduction.Term[] decayTerms; // the same, weighed

  HypergradientOptimizer(Engine engine, Hypergradient settings) {
    super(engine);
    this.settings = settings;
    share = new double[parameters().groups().size()];
    double largest = 0;
    for (int group = 0; group < share.length; ++group) largest = Math.max(largest, rule(group).coupledDecay());
    decay = largest;
    for (int group = 0; group < share.length; ++group) share[group] = decay == 0 ? 0 : rule(group).coupledDecay() / decay;
    final boolean moved = settings.variant == Hypergradient.Variant.ADDITIVE_RELEASED && AdamForm.fits(rule(0));
    released = new AdamForm[moved ? share.length : 0];
    for (int group = 0; group < released.length; ++group) released[group] = AdamForm.of(rule(group));
    scalars = new HypergradientScalars[plan.scopes()];
    for (int i = 0; i < scalars.length; ++i) scalars[i] = new HypergradientScalars(settings);
    observe = plan.bind(decay > 0 ? "hypergradient_observe_decay" : "hypergradient_observe", "");
    apply = plan.bind("hypergradient_apply", ruleKernel());
    sums = reduction();
    total = sums.overall(observe.sum("gradientSquare"));
    gradientSquare = sums.perScope(observe.sum("gradientSquare"));
    gradientDirection = sums.perScope(observe.sum("gradientDirection"));
    directionSquare = sums.perScope(observe.sum("directionSquare"));
    final String[] names = decay > 0 ? new String[] {"parameterDirection", "gradientParameter", "parameterSquare"} : new String[0];
    decaySums = new Sweep.Sum[names.length];
    decayTerms = new Reduction.Term[names.length];
    for (int i = 0; i < names.length; ++i) {
      decaySums[i] = observe.sum(names[i]);
      decayTerms[i] = sums.perScope();
    }
  }

  @Override
  protected double baseRate() {
    return 1;
  }

  @Override
  protected boolean advance(long step) {
    if (!guard.guard()) return false;
    observe.run();
    observe.await();
    sums.collect();
    if (decay > 0) collectDecay();
    guard.reduce(sums, total);
    if (!guard.accept(total.of(0))) return false;
    updateRates();
    setApply(step);
    apply.run();
    return true;
  }

  private void collectDecay() {
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int scope = plan.scope(segment);
      final double weight = share[plan.group(segment)];
      decayTerms[0].add(scope, weight * decaySums[0].of(segment));
      decayTerms[1].add(scope, weight * decaySums[1].of(segment));
      decayTerms[2].add(scope, weight * weight * decaySums[2].of(segment));
    }
  }

  private void updateRates() {
    final double s = guard.scale();
    final double w = decay * decayFactor();
    double last = scalars[scalars.length - 1].rate;
    for (int scope = 0; scope < scalars.length; ++scope) {
      double product = s * gradientDirection.of(scope);
      double square = s * s * gradientSquare.of(scope);
      if (decay > 0) {
        product += w * decayTerms[0].of(scope);
        square += w * (2 * s * decayTerms[1].of(scope) + w * decayTerms[2].of(scope));
      }
      scalars[scope].update(settings.tensorOrder ? last : scalars[scope].rate, product, square, directionSquare.of(scope));
      last = scalars[scope].rate;
    }
  }

  private void setApply(long step) {
    apply.put("gradientScale", sourceScale());
    for (int segment = 0; segment < plan.segments(); ++segment) {
      apply.put("learnedRate", rate(plan.group(segment)) * scalars[plan.scope(segment)].rate);
      if (startsGroup(segment)) putRule(plan.group(segment), step);
      apply.set(segment);
    }
  }

  private void putRule(int group, long step) {
    putRule(apply, group, 1);
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
    return observe.words() + apply.words();
  }

  @Override
  protected void name(Scalars to) {
    to.each("rate", scalars, one -> one.rate, (one, rate) -> one.rate = rate);
  }
}
