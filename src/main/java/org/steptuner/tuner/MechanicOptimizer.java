// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Map;
import org.steptuner.internal.engine.DeviceScalars;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.ReferenceBehind;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Coefficients;
import org.steptuner.rule.Rule;

/**
 * Mechanic's sweeps, in one of three arrangements.
 *
 * <ul>
 *   <li>Observe, then apply: the sums first, then the base step and the new x in one pass. Nothing is written before the new scale is
 *       known, so a gradient that is not finite is noticed without an extra pass.
 *   <li>Accumulate, then scale: where h needs x after the base rule's own step (TORCH with decay), that step is added to Delta first.
 *   <li>Recomputed: without a stored Delta, observe and apply rebuild it from x.
 * </ul>
 */
final class MechanicOptimizer extends TunedOptimizer {
  private final Mechanic settings;
  private final boolean discounted;
  private final MechanicArrangement arrangement;
  private final MechanicScalars[] scalars; // by scope
  private final double[] oldScale; // by scope: before the step
  private final double[] feedback; // by scope: h
  private final Sweep reference; // takes x as the reference
  private final Sweep first; // gives the sums that h is made of
  private final Sweep second; // writes x
  private final ReferenceBehind behind;
  private final Reduction sums;
  private final Reduction.Term gradientSquare; // |g|^2
  private final Reduction.Term deltaGradient; // <Delta, g>, Delta not yet discounted where it is stored
  private final Reduction.Term deltaPoint; // <Delta, y>, likewise
  private final Reduction.Term pointSquare; // |y|^2
  private boolean referenced;

  // Observe-then-apply: <Delta, x> and |x|^2 that the last apply summed in this process. They are taken by the next step, when a GPU has
  // long finished them.
  private final Sweep.Sum appliedDelta;
  private final Sweep.Sum appliedSquare;
  private final double[] keptDelta;
  private final double[] keptSquare;
  private boolean sumsWaiting;
  private Sweep products; // null until the tensors have changed

  MechanicOptimizer(Engine engine, Mechanic settings) {
    super(engine);
    this.settings = settings;
    discounted = settings.delta() == Mechanic.Delta.DISCOUNTED;
    arrangement = MechanicArrangement.of(settings);
    scalars = new MechanicScalars[plan.scopes()];
    for (int i = 0; i < scalars.length; ++i)
      scalars[i] = new MechanicScalars(settings.variant, settings.betas, settings.initialScale(), settings.epsilon);
    oldScale = new double[scalars.length];
    feedback = new double[scalars.length];
    keptDelta = new double[scalars.length];
    keptSquare = new double[scalars.length];
    reference = plan.bind("reference", "");
    first =
        arrangement == MechanicArrangement.OBSERVE_APPLY
            ? guard.bindObserver(arrangement.first, "")
            : plan.bind(arrangement.first, arrangement.ruleInFirst ? ruleKernel() : "");
    second = plan.bind(arrangement.second, arrangement.ruleInSecond ? ruleKernel() : "");
    behind = new ReferenceBehind(plan, "delta");
    final boolean kept = arrangement == MechanicArrangement.OBSERVE_APPLY;
    sums = reduction();
    gradientSquare = sums.perScope(first.sum("gradientSquare"));
    deltaGradient = sums.perScope(first.sum("deltaGradient"));
    deltaPoint = kept ? sums.perScope() : sums.perScope(first.sum(arrangement.deltaPoint));
    pointSquare = kept ? sums.perScope() : sums.perScope(first.sum(arrangement.pointSquare));
    guard.addL1(first, sums);
    appliedDelta = kept ? second.sum("deltaParameter") : null;
    appliedSquare = kept ? second.sum("parameterSquare") : null;
  }

  @Override
  protected double baseRate() {
    return settings.rate;
  }

  @Override
  protected boolean advance(long step) {
    if (!guard.guard()) return false;
    for (int scope = 0; scope < scalars.length; ++scope) oldScale[scope] = Math.max(0, scalars[scope].scale());
    setFirst();
    first.run();
    takeSums();
    final boolean finite = deltaGradient.isFinite() && (settings.decay == 0 || deltaPoint.isFinite());
    if (!acceptObserved()) return false;
    for (int scope = 0; scope < scalars.length; ++scope) feedback[scope] = feedback(scope);
    if (observes() && guard.refuses(finite && feedbackIsFinite() ? 0 : Double.NaN)) return false;
    if (!referenced) attendance.capture(reference, "reference");
    referenced = true;
    for (int scope = 0; scope < scalars.length; ++scope)
      if (Double.isFinite(feedback[scope])) scalars[scope].update(feedback[scope]);
    setSecond();
    second.runLast();
    sumsWaiting = arrangement == MechanicArrangement.OBSERVE_APPLY;
    return true;
  }

  // Of the scopes of this process. Several could not decide by it together: there, a scope whose h is infinite keeps its scalars.
  private boolean feedbackIsFinite() {
    if (reduces()) return true;
    for (double h : feedback) if (!Double.isFinite(h)) return false;
    return true;
  }

  /** Whether the first sweep only reads, so that the step can still be skipped after it. */
  private boolean observes() {
    return arrangement != MechanicArrangement.ACCUMULATE_SCALE;
  }

  private void setFirst() {
    for (int segment = 0; segment < plan.segments(); ++segment) {
      if (arrangement.ruleInFirst) first.put("gradientScale", guard.scale());
      if (arrangement == MechanicArrangement.ACCUMULATE_SCALE) first.put("retention", retention(plan.scope(segment)));
      else if (arrangement != MechanicArrangement.OBSERVE_APPLY) first.put("inverseScale", inverseScale(plan.scope(segment)));
      if (arrangement.ruleInFirst) putRule(first, segment, rate(plan.group(segment)), scaleAhead(plan.scope(segment)));
      first.set(segment);
    }
  }

  // Where the rule's step comes before the new scale, decay is bounded by the old one, or by the first there can be.
  private double scaleAhead(int scope) {
    return oldScale[scope] > 0 ? oldScale[scope] : MechanicScalars.FIRST_MAXIMUM * settings.initialScale() / settings.epsilon;
  }

  private void setSecond() {
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int scope = plan.scope(segment);
      if (arrangement.ruleInSecond) second.put("gradientScale", sourceScale());
      if (arrangement == MechanicArrangement.OBSERVE_APPLY) second.put("oldScale", oldScale[scope]);
      else if (arrangement.ruleInSecond) second.put("inverseScale", inverseScale(scope));
      second.put("newScale", learnedScale(scope));
      if (arrangement == MechanicArrangement.OBSERVE_APPLY) second.put("retention", retention(scope));
      if (arrangement.ruleInSecond) putRule(second, segment, rate(plan.group(segment)), learnedScale(scope));
      second.set(segment);
    }
  }

  // Before the first step there is no reference yet, and Delta is 0.
  private double inverseScale(int scope) {
    return referenced ? 1 / (oldScale[scope] + settings.epsilon) : 0;
  }

  private double retention(int scope) {
    return discounted ? oldScale[scope] / (oldScale[scope] + settings.epsilon) : 1;
  }

  private void takeSums() {
    first.await();
    settle();
    sums.collect();
    if (arrangement == MechanicArrangement.OBSERVE_APPLY)
      for (int scope = 0; scope < scalars.length; ++scope) {
        deltaPoint.set(scope, keptDelta[scope]);
        pointSquare.set(scope, keptSquare[scope]);
      }
    guard.reduce(sums);
  }

  /** Notes what the first sweep saw of the gradients: where it only read, that decides whether there is a step. */
  private boolean acceptObserved() {
    final double square = gradientSquare.total();
    switch (arrangement) {
      case ACCUMULATE_SCALE -> {
        guard.noteNorm(Math.sqrt(square));
        return true;
      }
      case RECOMPUTED_TRIAL -> {
        // A trial's gradients are scaled already; the others come as they are in memory.
        final double scale = guard.scale();
        return guard.reads() || guard.accept(square / (scale * scale));
      }
      default -> {
        if (!guard.accept(square)) return false;
        final double scale = guard.scale();
        for (int scope = 0; scope < scalars.length; ++scope) {
          final double kept = arrangement == MechanicArrangement.OBSERVE_APPLY ? retention(scope) : 1;
          gradientSquare.set(scope, gradientSquare.of(scope) * (scale * scale));
          deltaGradient.set(scope, deltaGradient.of(scope) * scale * kept);
          deltaPoint.set(scope, deltaPoint.of(scope) * kept);
        }
        return true;
      }
    }
  }

  /** h = &lt;Delta, g&gt; + c &lt;Delta, y&gt;. */
  private double feedback(int scope) {
    if (attendance.absent(scope)) return 0;
    if (settings.decay == 0) return deltaGradient.of(scope);
    // Without a direction of decay there is none, however small epsilon is.
    if (pointSquare.of(scope) == 0) return deltaGradient.of(scope) + 0.0;
    final double length = Math.sqrt(pointSquare.of(scope)) + settings.epsilon;
    final double c = settings.decay * oldScale[scope] * Math.sqrt(gradientSquare.of(scope)) / length;
    return deltaGradient.of(scope) + c * deltaPoint.of(scope);
  }

  @Override
  protected void settle() {
    if (!sumsWaiting) return;
    sumsWaiting = false;
    second.await();
    for (int scope = 0; scope < scalars.length; ++scope) keptDelta[scope] = keptSquare[scope] = 0;
    for (int segment = 0; segment < plan.segments(); ++segment) {
      keptDelta[plan.scope(segment)] += appliedDelta.of(segment);
      keptSquare[plan.scope(segment)] += appliedSquare.of(segment);
    }
  }

  @Override
  protected DeviceScalars onDevice() {
    if (arrangement != MechanicArrangement.OBSERVE_APPLY || guard.reads() || !decaysOnlyShrink()) return null;
    return new OnDevice();
  }

  // The device lowers a decay by lowering what it shrinks parameters by.
  private boolean decaysOnlyShrink() {
    for (Rule rule : rulesEverywhere())
      if (settings.boundedDecay && rule.decoupledDecay() > 0 && !DeviceScalars.decayOnlyShrinks(rule)) return false;
    return true;
  }

  @Override
  protected String whyNotOnDevice() {
    return "its scalars are computed by Java where Delta is rebuilt, or the variant is TORCH with decay, or a bounded decay is proximal";
  }

  /** What the device has to know. */
  private final class OnDevice extends ReferencedScalars {
    OnDevice() {
      super("mechanic", first, second, plan, reference, report);
    }

    @Override
    boolean referenced() {
      return referenced;
    }

    @Override
    void noteReferenced(boolean value) {
      referenced = value;
    }

    @Override
    protected void settings(Coefficients to) {
      to.put("variant", settings.variant.ordinal()).put("initialScale", settings.initialScale()).put("epsilon", settings.epsilon);
      to.put("decay", settings.decay).put("discounted", discounted ? 1 : 0).put("boundedDecay", settings.boundedDecay ? 1 : 0);
    }

    @Override
    protected double[] list() {
      return settings.betas;
    }

    // With a scale of 0 no decay is out of bounds: where one is, the device lowers it.
    @Override
    protected void put(int segment) {
      second.put("gradientScale", 1).put("oldScale", 0).put("newScale", 0).put("retention", 1);
      putRule(second, segment, rate(plan.group(segment)), 0);
    }

    @Override
    protected void row(int segment, Coefficients to) {
      final int group = plan.group(segment);
      to.put("rate", rate(group)).put("decay", rule(group).decoupledDecay() * decayFactor());
    }
  }

  @Override
  protected double learnedScale(int scope) {
    return Math.max(0, scalars[scope].scale());
  }

  @Override
  protected int sweepWords() {
    return first.words() + second.words();
  }

  @Override
  protected void name(Scalars to) {
    to.eachOf("s", scalars, one -> one.s).eachOf("r", scalars, one -> one.r).eachOf("v", scalars, one -> one.v);
    to.eachOf("m", scalars, one -> one.m).eachOf("q", scalars, one -> one.q).each("h", scalars, one -> one.h, (one, h) -> one.h = h);
    to.internal().perScope("deltaParameter", keptDelta).perScope("parameterSquare", keptSquare);
    to.flag("referenced", () -> referenced, value -> referenced = value);
  }

  // <Delta, x> and |x|^2 of scopes that have other tensors now. Before the first step both are 0.
  @Override
  protected void tensorsChanged(boolean[] changed) {
    if (arrangement != MechanicArrangement.OBSERVE_APPLY || !referenced) return;
    if (products == null) products = plan.bind("parameter_products", "", Map.of("direction", "delta"));
    final Sweep.Sum delta = products.sum("parameterDirection");
    final Sweep.Sum square = products.sum("parameterSquare");
    products.run();
    products.await();
    for (int scope = 0; scope < scalars.length; ++scope) if (changed[scope]) keptDelta[scope] = keptSquare[scope] = 0;
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int scope = plan.scope(segment);
      if (!changed[scope]) continue;
      keptDelta[scope] += delta.of(segment);
      keptSquare[scope] += square.of(segment);
    }
  }

  // x is rebuilt from the reference, where Delta is stored. Where it is not, Delta is 0 from now on: the way to x would be multiplied by
  // every change of the scale, and lead x away from where it was put.
  @Override
  protected void rebase() {
    if (!referenced) return;
    if (settings.delta() == Mechanic.Delta.RECOMPUTED) reference.run();
    else behind.run(segment -> learnedScale(plan.scope(segment)));
  }

  @Override
  protected void rejoin() {
    rebase(); // the scale has changed
  }

  @Override
  protected void restored() {
    sumsWaiting = false;
  }
}
