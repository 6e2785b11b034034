// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Map;
import org.steptuner.internal.engine.AbsentSums;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.ReferenceBehind;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.internal.engine.TunedOptimizer;

/** The two sweeps of D-Adaptation and Prodigy as they are analysed: the norm of the gradient, then the step. */
final class DistanceOptimizer extends TunedOptimizer {
  private final DistanceAdaptation settings;
  private final boolean early; // d is needed before x is written
  private final double unit; // of the sum in memory
  private final DistanceScalars[] scalars; // by scope
  private final Sweep reference; // takes x as x0
  private final Sweep observe;
  private final Sweep.Sum square;
  private final Sweep.Sum earlyProduct; // null where d is found late
  private final Sweep.Sum earlySum;
  private final Reduction observed;
  private final Reduction.Term gradientSquare; // |g|^2 over everything
  private final Reduction.Term squares; // by scope: sum of |g|^2, of r |g|^2 and of r^2 |g|^2
  private final Reduction.Term rated;
  private final Reduction.Term ratedSquares;
  private final Reduction.Term moving; // how many segments have a positive rate
  private final Reduction.Term observedProduct; // sum of r <g, s>, and |s|^2; of the old s
  private final Reduction.Term observedSum;
  private final AbsentSums absent; // |s|^2
  private final ReferenceBehind behind;
  private Sweep moved; // with an average; null until it is first needed
  private Sweep clear; // s of tensors that sit out; likewise
  private final Sweep apply;
  private final Sweep.Sum product;
  private final Sweep.Sum sumSquare;
  private final Reduction summed;
  private final Reduction.Term summedProduct;
  private final Reduction.Term summedSquare;
  private double lastScale; // of the gradients and the rate of the step whose sums are waiting
  private double lastRate;
  private boolean referenced;
  private boolean sumsWaiting;

  DistanceOptimizer(Engine engine, DistanceAdaptation settings) {
    super(engine);
    this.settings = settings;
    early = settings.early() || reduces(); // all sums of a step go over the processes in one call, before anything is written
    unit = settings.initialRate;
    scalars = new DistanceScalars[plan.scopes()];
    for (int i = 0; i < scalars.length; ++i) scalars[i] = DistanceScalars.of(settings);
    reference = plan.bind("reference", "");
    observe = early ? guard.bindObserver("hypergradient_observe", "", Map.of("direction", "sum")) : guard.bindObserver("gradient_norm", "");
    square = observe.sum("gradientSquare");
    earlyProduct = early ? observe.sum("gradientDirection") : null;
    earlySum = early ? observe.sum("directionSquare") : null;
    observed = reduction();
    gradientSquare = observed.overall(square);
    squares = observed.perScope();
    rated = observed.perScope();
    ratedSquares = observed.perScope();
    moving = observed.perScope();
    observedProduct = observed.perScope();
    observedSum = observed.perScope();
    guard.addL1(observe, observed);
    absent = absentSums(() -> plan.bind("sum_norms", ""), "square");
    behind = new ReferenceBehind(plan, "sum");
    apply = plan.bind(settings.averaging ? "distance_apply_averaged" : "distance_apply", "");
    product = apply.sum("gradientSum");
    sumSquare = apply.sum("sumSquare");
    summed = reduction();
    summedProduct = summed.perScope();
    summedSquare = summed.perScope();
  }

  @Override
  protected double baseRate() {
    return settings.rate;
  }

  @Override
  protected boolean advance(long step) {
    observe.run();
    observe.await();
    settle();
    if (!takeSquares()) return false;
    boolean moves = false;
    for (int scope = 0; scope < scalars.length; ++scope) {
      begin(scope);
      moves |= scalars[scope].moves;
    }
    if (!moves) return true;
    if (!referenced) {
      attendance.capture(reference, "reference");
      if (settings.averaging) attendance.miss("average");
    }
    referenced = true;
    for (int segment = 0; segment < plan.segments(); ++segment) put(segment);
    apply.runLast();
    for (DistanceScalars one : scalars) if (one.resetsNow) resetAbsent(one);
    sumsWaiting = !early;
    lastScale = guard.scale();
    lastRate = report.rate();
    return true;
  }

  /** Adds what was observed over the segments of each scope, and over all processes. False: skip the step. */
  private boolean takeSquares() {
    observed.collect();
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int scope = plan.scope(segment);
      final double r = rate(plan.group(segment));
      if (early) observedSum.add(scope, earlySum.of(segment) + absent.of(0, segment));
      if (r == 0) continue;
      moving.add(scope, 1);
      squares.add(scope, square.of(segment));
      rated.add(scope, r * square.of(segment));
      ratedSquares.add(scope, r * r * square.of(segment));
      if (early) observedProduct.add(scope, r * earlyProduct.of(segment));
    }
    guard.reduce(observed);
    return guard.accept(gradientSquare.of(0)) && !guard.refuses(observed);
  }

  private void begin(int scope) {
    final DistanceScalars one = scalars[scope];
    final double scale = guard.scale();
    final double scaleSquare = scale * scale;
    one.begin(moving.of(scope) > 0, report.rate(), scaleSquare * squares.of(scope), scaleSquare * rated.of(scope),
        scaleSquare * ratedSquares.of(scope));
    if (!early) return;
    final double rg = scale * unit * observedProduct.of(scope);
    // |s + gain r g|^2
    final double next =
        unit * unit * observedSum.of(scope) + 2 * one.gain * rg + one.gain * one.gain * scaleSquare * ratedSquares.of(scope);
    one.finish(report.rate(), rg, Math.max(0, next));
  }

  private void put(int segment) {
    final DistanceScalars one = scalars[plan.scope(segment)];
    final boolean sums = one.moves && !one.resetsNow;
    apply.put("gain", sums ? one.gain * rate(plan.group(segment)) * guard.scale() / unit : 0);
    apply.put("keep", one.resetsNow ? 0 : 1).put("factor", one.factor * unit);
    if (settings.averaging) apply.put("oldFactor", one.oldFactor * unit).put("retention", one.retention).put("intake", one.intake);
    apply.set(segment);
  }

  /** A scope that begins again does so with all its tensors, also those that sit out: their x is their x0, and s is 0. */
  private void resetAbsent(DistanceScalars scope) {
    attendance.overAbsent(one -> scalars[one] == scope, () -> {
      if (clear == null) clear = plan.bind("vector_combination", "", Map.of("a", "sum", "b", "sum", "c", "sum"));
      clear.put("x", 0).put("y", 0).put("z", 0);
      clear.setAll();
      clear.run();
      attendance.follow("reference");
    });
    for (int segment = 0; segment < plan.segments(); ++segment) if (scalars[plan.scope(segment)] == scope) absent.clear(segment);
  }

  /** Takes the sums of the last step, and with them the d of the next one. */
  @Override
  protected void settle() {
    if (!sumsWaiting) return;
    sumsWaiting = false;
    apply.await();
    summed.collect();
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int scope = plan.scope(segment);
      summedProduct.add(scope, lastScale * unit * lastFactor(segment) * product.of(segment));
      summedSquare.add(scope, unit * unit * (sumSquare.of(segment) + absent.of(0, segment)));
    }
    for (int scope = 0; scope < scalars.length; ++scope)
      scalars[scope].finish(lastRate, summedProduct.of(scope), summedSquare.of(scope));
  }

  // The rate of a segment in the step whose sums are waiting; the report may be of a later step, which was skipped.
  private double lastFactor(int segment) {
    return lastRate * rateFactor(plan.group(segment));
  }

  // x0 goes where x went, and so does the average of the x.
  @Override
  protected void rebase() {
    if (!referenced) return;
    if (!settings.averaging) {
      rejoin();
      return;
    }
    if (moved == null) moved = plan.bind("distance_moved", "");
    for (int segment = 0; segment < plan.segments(); ++segment) {
      moved.put("factor", -scalars[plan.scope(segment)].factor * unit);
      moved.set(segment);
    }
    moved.run();
  }

  // The factor has changed, and with it what would be rebuilt.
  @Override
  protected void rejoin() {
    if (referenced) behind.run(segment -> -scalars[plan.scope(segment)].factor * unit);
  }

  @Override
  protected String whyNotFrozen() {
    return "it averages duals, and no rule goes on with that";
  }

  @Override
  protected double learnedScale(int scope) {
    return scalars[scope].d;
  }

  @Override
  protected boolean learnsLate() {
    return !early;
  }

  @Override
  protected String averageSlot() {
    return settings.averaging ? "average" : null;
  }

  @Override
  protected boolean hasAverage(int segment) {
    return scalars[plan.scope(segment)].weights > 0;
  }

  @Override
  protected double effectiveRate(int scope) {
    final DistanceScalars one = scalars[scope];
    return one.moves ? report.rate() * one.gain * one.factor : 0;
  }

  @Override
  protected int sweepWords() {
    return observe.words() + apply.words();
  }

  @Override
  protected void name(Scalars to) {
    final DistanceAdaptation.Form form = settings.form;
    final boolean descends = form.descends();
    to.each("d", scalars, one -> one.d, (one, d) -> one.d = Math.min(d, settings.maxRate));
    to.each("d_hat", scalars, one -> one.estimate, (one, e) -> one.estimate = e);
    to.each("s_norm", scalars, one -> one.sumNorm, (one, norm) -> one.sumNorm = norm);
    if (form != DistanceAdaptation.Form.DUAL_AVERAGING)
      to.each("n", scalars, one -> one.numerator, (one, n) -> one.numerator = n);
    final String step = form == DistanceAdaptation.Form.GRADIENT_DESCENT ? "lambda" : "eta";
    if (descends) to.each(step, scalars, one -> one.stepSize, (one, size) -> one.stepSize = size);
    else to.each("gamma", scalars, one -> one.factor, (one, factor) -> one.factor = factor);
    if (settings.resetting) to.each("resets", scalars, one -> one.resets, (one, n) -> one.resets = (long) n);
    to.each("t", scalars, one -> one.t, (one, t) -> one.t = (long) t);
    to.internal().flag("referenced", () -> referenced, value -> referenced = value);
    to.each("squares", scalars, one -> one.squares, (one, a) -> one.squares = a);
    to.each("weights", scalars, one -> one.weights, (one, w) -> one.weights = w);
    if (descends) to.each("factor", scalars, one -> one.factor, (one, factor) -> one.factor = factor);
    if (form == DistanceAdaptation.Form.DUAL_AVERAGING)
      to.each("subtracted", scalars, one -> one.numerator, (one, q) -> one.numerator = q);
    if (form == DistanceAdaptation.Form.GRADIENT_DESCENT) to.each("bound", scalars, one -> one.bound, (one, g) -> one.bound = g);
  }

  @Override
  protected void restored() {
    sumsWaiting = false;
  }
}
