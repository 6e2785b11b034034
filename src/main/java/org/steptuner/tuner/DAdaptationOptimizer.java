// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import org.steptuner.internal.engine.AbsentSums;
import org.steptuner.internal.engine.DeviceScalars;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.ReferenceBehind;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.rule.Coefficients;
import org.steptuner.rule.Rule;

/** D-Adaptation's one sweep, whose sums make the d of the next step. */
final class DAdaptationOptimizer extends DAdaptationSweep {
  private final DAdaptationScalars[] scalars; // by scope
  private final double[] stepRate; // by segment: r
  private final double[] used; // by scope: r without bias correction and the factor of a group
  private final Sweep reference; // takes x as x0; null where the form has none
  private final ReferenceBehind behind;
  private Sweep moved; // AdaGrad; null until it is first needed
  private final Sweep.Sum[] summed; // what the form sums, weighted by r where the estimate wants it
  private final AbsentSums absent; // what the form sums of its s; null for Adan, whose other sums forget the past as well
  private final Reduction sums;
  private final Reduction.Term[] terms;
  private final Reduction.Term moving; // how many segments have a positive rate
  private final Sweep firstNorm; // SGD: |g_1|
  private final Reduction firstSums;
  private final Sweep.Sum firstSegmentSquare;
  private final Reduction.Term firstSquare;
  private final Reduction.Term missing; // how many scopes of any process have no |g_1|; null where nobody asks or no guard tells
  private boolean referenced;
  private boolean sumsWaiting; // of the last step

  DAdaptationOptimizer(Engine engine, DAdaptation settings) {
    super(engine, settings);
    scalars = new DAdaptationScalars[plan.scopes()];
    for (int i = 0; i < scalars.length; ++i) scalars[i] = new DAdaptationScalars(settings);
    stepRate = new double[plan.segments()];
    used = new double[scalars.length];
    reference = form.slots.contains("reference") ? plan.bind("reference", "") : null;
    behind = new ReferenceBehind(plan, "sum");
    summed = form.sums.stream().map(sweep::sum).toArray(Sweep.Sum[]::new);
    absent = switch (form) {
      case SGD -> absentSums(() -> plan.bind("sum_norms", ""), "square");
      case ADAM, LION -> absentSums(() -> plan.bind("sum_norms", ""), "norm");
      case ADAGRAD -> absentSums(() -> putEpsilon(plan.bind("sum_norms_weighted", "")), "weighted", "norm");
      case ADAN -> null;
    };
    sums = reduction();
    terms = form.sums.stream().map(name -> sums.perScope()).toArray(Reduction.Term[]::new);
    moving = sums.perScope();
    final boolean normed = form == DAdaptation.Form.SGD;
    firstNorm = normed ? plan.bind("gradient_norm", "") : null;
    firstSums = reduction();
    firstSegmentSquare = normed ? firstNorm.sum("gradientSquare") : null;
    firstSquare = firstSums.perScope();
    missing = normed && guard.reads() ? guard.together(this::missingNorms) : null;
  }

  @Override
  protected double baseRate() {
    return settings.rate;
  }

  // AdaGrad's form has a momentum that its rule has not.
  @Override
  protected double scheduledMomentum(Rule rule) {
    return form == DAdaptation.Form.ADAGRAD ? settings.momentum : super.scheduledMomentum(rule);
  }

  @Override
  protected boolean advance(long step) {
    final boolean accepted = guard.guard();
    settle();
    if (!accepted) return false;
    if (firstNorm != null) takeFirstNorms();
    for (int scope = 0; scope < used.length; ++scope) used[scope] = report.rate() * perDirection(scalars[scope]);
    // Another process may have a group with a positive rate, and waits for the sums of this one.
    boolean any = !freezes() || reduces();
    for (int segment = 0; segment < plan.segments(); ++segment) {
      stepRate[segment] = stepRate(segment);
      any |= stepRate[segment] > 0;
    }
    if (!any) return true;
    if (reference != null && !referenced) attendance.capture(reference, "reference");
    referenced = true;
    sweep.put("gradientScale", guard.scale());
    for (int segment = 0; segment < plan.segments(); ++segment) {
      put(plan.group(segment), stepRate[segment], scalars[plan.scope(segment)].t == 0);
      sweep.set(segment);
    }
    sweep.runLast();
    sumsWaiting = true;
    // Every process must add its sums at the same point of the step.
    if (reduces()) settle();
    return true;
  }

  private double stepRate(int segment) {
    final DAdaptationScalars scalar = scalars[plan.scope(segment)];
    final double rate = scalar.d * rate(plan.group(segment));
    if (form == DAdaptation.Form.SGD) return scalar.firstNorm > 0 ? rate / scalar.firstNorm : 0;
    return settings.biasCorrection ? rate * adam[plan.group(segment)].biasCorrection(scalar.t + 1, momentumFactor()) : rate;
  }

  private double perDirection(DAdaptationScalars scalar) {
    if (form != DAdaptation.Form.SGD) return scalar.d;
    return scalar.firstNorm > 0 ? scalar.d / scalar.firstNorm : 0;
  }

  /** SGD divides by the norm of the first gradient that is not 0, without decay, over what has a positive rate. */
  private void takeFirstNorms() {
    // All processes add their squares, or none: a scope that has none yet may be of another process.
    if ((missing == null ? missingNorms() : missing.of(0)) == 0) return;
    firstNorm.run();
    firstNorm.await();
    firstSums.collect();
    for (int segment = 0; segment < plan.segments(); ++segment)
      if (rate(plan.group(segment)) > 0) firstSquare.add(plan.scope(segment), firstSegmentSquare.of(segment));
    firstSums.reduce();
    for (int scope = 0; scope < scalars.length; ++scope)
      if (scalars[scope].firstNorm == 0) scalars[scope].firstNorm = Math.sqrt(firstSquare.of(scope)) * Math.abs(guard.scale());
  }

  private double missingNorms() {
    int count = 0;
    for (DAdaptationScalars scalar : scalars) if (scalar.firstNorm == 0) ++count;
    return count;
  }

  /** Takes the sums of the last step, and with them the d of the next one. */
  @Override
  protected void settle() {
    if (!sumsWaiting) return;
    sumsWaiting = false;
    sweep.await();
    sums.collect();
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final double r = stepRate[segment];
      // What stays as it is has no part in the estimate.
      if (r == 0 && freezes()) continue;
      final int scope = plan.scope(segment);
      final double scale = layerScale[plan.group(segment)];
      terms[0].add(scope, scale * (weighsSquares() ? r * r : r) * summed[0].of(segment));
      for (int i = 1; i < terms.length; ++i)
        terms[i].add(scope, scale * (summed[i].of(segment) + (absent == null ? 0 : absent.of(i - 1, segment))));
      if (r > 0) moving.add(scope, 1);
    }
    sums.reduce();
    for (int scope = 0; scope < scalars.length; ++scope) {
      final boolean moves = moving.of(scope) > 0;
      switch (form) {
        case SGD -> scalars[scope].sgd(terms[0].of(scope), terms[1].of(scope));
        case ADAM, LION -> scalars[scope].averaged(retention, terms[0].of(scope), terms[1].of(scope), moves);
        case ADAGRAD -> scalars[scope].adaGrad(terms[0].of(scope), terms[1].of(scope), terms[2].of(scope), moves);
        case ADAN -> scalars[scope].adan(retention, terms[0].of(scope), terms[1].of(scope), terms[2].of(scope), moves);
      }
    }
  }

  @Override
  protected DeviceScalars onDevice() {
    if (settings.biasCorrection || form == DAdaptation.Form.SGD && !guard.reads() && missingNorms() > 0) return null;
    return new OnDevice();
  }

  @Override
  protected String whyNotOnDevice() {
    return settings.biasCorrection
        ? "biasCorrection goes by steps with a gradient, which are not known ahead"
        : "where nothing is checked, the norm of the first gradient is computed by Java: make a step with a gradient first";
  }

  /** What the device has to know. */
  private final class OnDevice extends ReferencedScalars {
    OnDevice() {
      super("dadaptation_" + form.kernel, guard.sweep(), sweep, plan, reference, report);
    }

    @Override
    protected void settings(Coefficients to) {
      to.put("growthRate", settings.growthRate).put("maxRate", settings.maxRate).put("retention", retention);
      to.put("boundedDecay", settings.boundedDecay ? 1 : 0);
    }

    // At the least rate that there is: what depends on it is put by the device, and no decay is out of bounds.
    @Override
    protected void put(int segment) {
      sweep.put("gradientScale", 1);
      DAdaptationOptimizer.this.put(plan.group(segment), Double.MIN_NORMAL, false);
    }

    @Override
    protected void row(int segment, Coefficients to) {
      putRow(plan.group(segment), to);
    }

    @Override
    boolean referenced() {
      return referenced;
    }

    @Override
    void noteReferenced(boolean value) {
      referenced = value;
    }
  }

  // The point to which x is led is x from now on.
  @Override
  protected void rebase() {
    if (!referenced || reference == null) return;
    if (form == DAdaptation.Form.SGD) {
      behind.run(segment -> -1);
      return;
    }
    if (moved == null) moved = putEpsilon(plan.bind("dadaptation_moved", form.kernel));
    moved.run();
  }

  private Sweep putEpsilon(Sweep to) {
    for (int segment = 0; segment < plan.segments(); ++segment) {
      to.put("epsilon", hyperparameters[plan.group(segment)].get("epsilon"));
      to.set(segment);
    }
    return to;
  }

  @Override
  protected double learnedRate(int scope) {
    if (form != DAdaptation.Form.SGD) return super.learnedRate(scope);
    // Of what a gradient adds to s, the point takes 1 - momentum at once.
    return settings.rate * perDirection(scalars[scope]) * (1 - hyperparameters[0].orZero("momentum") * momentumFactor());
  }

  @Override
  protected String whyNotFrozen() {
    if (form == DAdaptation.Form.ADAGRAD) return "the form of AdaGrad averages duals, and the rule alone does not";
    for (double scale : settings.layerScales.values()) if (scale != 1) return "the rule has no layerScale";
    if (form == DAdaptation.Form.SGD)
      for (Rule of : rulesEverywhere())
        if (of.momentum() != rulesEverywhere().get(0).momentum()) return "groups have different momentum";
    return super.whyNotFrozen();
  }

  @Override
  protected List<Sweep> stateOfRule() {
    final double[] gains = new double[plan.segments()];
    for (int segment = 0; segment < gains.length; ++segment) gains[segment] = gain(segment);
    return new DAdaptedState(plan, hyperparameters, settings.biasCorrection, gains, momentumFactor(), report.step()).ofRule(form);
  }

  // Of scalars that a checkpoint has: a restored run is frozen to the same bits.
  private double gain(int segment) {
    final DAdaptationScalars scalar = scalars[plan.scope(segment)];
    final int group = plan.group(segment);
    final double rate = settings.rate * scheduleFactor() * rateFactor(group) * perDirection(scalar);
    return settings.biasCorrection && scalar.t > 0 ? rate * adam[group].biasCorrection(scalar.t, momentumFactor()) : rate;
  }

  @Override
  protected double learnedScale(int scope) {
    return scalars[scope].d;
  }

  @Override
  protected boolean learnsLate() {
    return true;
  }

  @Override
  protected double effectiveRate(int scope) {
    return used[scope];
  }

  @Override
  protected int sweepWords() {
    return sweep.words();
  }

  @Override
  protected void name(Scalars to) {
    to.each("d", scalars, one -> one.d, (one, d) -> one.d = Math.min(d, settings.maxRate));
    if (weighsSquares()) {
      to.each("A", scalars, one -> one.sumWeighted, (one, a) -> one.sumWeighted = a);
      to.each("B", scalars, one -> one.gradientWeighted, (one, b) -> one.gradientWeighted = b);
    } else {
      to.each("n", scalars, one -> one.numerator, (one, n) -> one.numerator = n);
    }
    if (form == DAdaptation.Form.SGD) to.each("g1_norm", scalars, one -> one.firstNorm, (one, norm) -> one.firstNorm = norm);
    to.each("s_norm", scalars, one -> one.sumNorm, (one, norm) -> one.sumNorm = norm);
    to.each("t", scalars, one -> one.t, (one, t) -> one.t = (long) t);
    to.internal().flag("referenced", () -> referenced, value -> referenced = value);
  }

  @Override
  protected void restored() {
    sumsWaiting = false;
  }
}
