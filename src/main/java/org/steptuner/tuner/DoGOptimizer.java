// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Arrays;
import java.util.Map;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.internal.engine.TunedOptimizer;

/** The sweeps of DoG: observe, then apply, whose sum waits for the next step. */
final class DoGOptimizer extends TunedOptimizer {
  private static final Map<String, String> BOTH = Map.of("a", "displacement", "b", "displacement");

  private final DoG settings;
  private final DoGScalars[] scalars; // by scope
  private final Reduction sums;
  private final DecayedGradient gradient;
  private final Reduction.Term distance; // |x - x0|^2
  private final Reduction.Term beginning; // how many scopes of any process have no r
  private final Sweep apply;
  private final Sweep.Sum applied;
  private final Sweep reference; // takes x as x0; null where x0 is not needed
  private final Sweep start; // |x0|^2
  private final Reduction startSums;
  private final Reduction.Term startSquare;
  private final double[] distanceSquare; // by scope, of this process, after the last step
  private boolean distanceWaiting;
  private Sweep ways; // |x - x0|^2; null until the tensors have changed

  DoGOptimizer(Engine engine, DoG settings) {
    super(engine);
    this.settings = settings;
    scalars = new DoGScalars[plan.scopes()];
    for (int i = 0; i < scalars.length; ++i) scalars[i] = new DoGScalars(settings);
    sums = reduction();
    gradient = new DecayedGradient(plan, sums, this::rule, rulesEverywhere(), "gradient_norm", name -> guard.bindObserver(name, ""));
    gradient.addL1(guard);
    distance = sums.perScope();
    beginning = sums.overall(this::beginningScopes);
    final String way = settings.recomputes() ? "_recomputed" : "";
    apply = plan.bind("dog_apply" + way + (settings.averages() ? "_averaged" : ""), ruleKernel());
    applied = apply.sum("distanceSquare");
    reference = settings.recomputes() ? plan.bind("reference", "") : null;
    start = plan.bind("gradient_norm_decay", "");
    startSums = reduction();
    startSquare = startSums.perScope(start.sum("parameterSquare"));
    distanceSquare = new double[plan.scopes()];
  }

  @Override
  protected double baseRate() {
    return 1;
  }

  @Override
  protected boolean advance(long step) {
    if (!guard.guard()) return false;
    gradient.observe();
    settle();
    for (int scope = 0; scope < scalars.length; ++scope) distance.add(scope, distanceSquare[scope]);
    guard.reduce(sums);
    if (!guard.reads() && !guard.accept(gradient.total.of(0)) || guard.refuses(sums)) return false;
    begin();
    for (int scope = 0; scope < scalars.length; ++scope)
      scalars[scope].update(Math.sqrt(distance.of(scope)), gradient.square(scope, guard.scale(), decayFactor()));
    putStep(step);
    apply.runLast();
    distanceWaiting = true;
    return true;
  }

  /** Takes x as x0, and makes the first r of scopes that have none. */
  private void begin() {
    if (beginning.of(0) == 0) return;
    start.run();
    start.await();
    startSums.collect();
    startSums.reduce();
    // A scope that joined later brought its x0 with it.
    if (reference != null && beginningScopes() == scalars.length) attendance.capture(reference, "reference");
    for (int scope = 0; scope < scalars.length; ++scope)
      if (!scalars[scope].begun) scalars[scope].start(Math.sqrt(startSquare.of(scope)));
  }

  private double beginningScopes() {
    int count = 0;
    for (DoGScalars one : scalars) if (!one.begun) ++count;
    return count;
  }

  private void putStep(long step) {
    apply.put("gradientScale", guard.scale());
    if (settings.averages()) {
      final double weight = (1 + settings.averaging) / (step + settings.averaging);
      apply.put("averageRetention", 1 - weight).put("averageGain", weight);
    }
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int group = plan.group(segment);
      // Before there was a gradient, and with an epsilon next to 0, the rate may be more than the sweep can hold.
      putGroupRule(apply, group, Math.min(rate(group) * scalars[plan.scope(segment)].eta, plan.largestNumber()));
      apply.set(segment);
    }
  }

  @Override
  protected String averageSlot() {
    return settings.averages() ? "average" : null;
  }

  /** Takes the distance that the last step ended at. It is added over processes with the sums of the next one. */
  @Override
  protected void settle() {
    if (!distanceWaiting) return;
    distanceWaiting = false;
    apply.await();
    Arrays.fill(distanceSquare, 0);
    for (int segment = 0; segment < plan.segments(); ++segment) distanceSquare[plan.scope(segment)] += applied.of(segment);
  }

  // An x0 that is kept is x from now on, and so is the average of the x; r is not less than it was. A sum of steps stays what it is.
  @Override
  protected void rebase() {
    if (reference != null) attendance.follow("reference");
    if (settings.averages()) attendance.follow("average");
  }

  // The distance of scopes that have other tensors now.
  @Override
  protected void tensorsChanged(boolean[] changed) {
    if (ways == null) ways = reference == null ? plan.bind("vector_products", "", BOTH) : plan.bind("parameter_distance", "");
    final Sweep.Sum square = ways.sum(reference == null ? "aSquare" : "distanceSquare");
    ways.run();
    ways.await();
    for (int scope = 0; scope < scalars.length; ++scope) if (changed[scope]) distanceSquare[scope] = 0;
    for (int segment = 0; segment < plan.segments(); ++segment)
      if (changed[plan.scope(segment)]) distanceSquare[plan.scope(segment)] += square.of(segment);
  }

  @Override
  protected double learnedScale(int scope) {
    return scalars[scope].eta;
  }

  @Override
  protected int sweepWords() {
    return gradient.words() + apply.words();
  }

  @Override
  protected void name(Scalars to) {
    to.each("eta", scalars, one -> one.eta, (one, eta) -> one.eta = eta);
    to.each("r", scalars, one -> one.r, (one, r) -> one.r = r);
    to.each("G", scalars, one -> one.gradients, (one, gradients) -> one.gradients = gradients);
    to.internal().perScope("distanceSquare", distanceSquare);
    // An r of 0 is for a first step of a given length, and begins again where none is given any more.
    to.each("begun", scalars, one -> one.begun ? 1 : 0, (one, begun) -> one.begun = begun != 0 && (one.r > 0 || settings.startsByStep()));
  }

  @Override
  protected void restored() {
    distanceWaiting = false;
  }
}
