// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import org.steptuner.internal.engine.AbsentSums;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.ReferenceBehind;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Rule;

/** D-Adaptation's one sweep, whose sums make the d of the next step. */
final class DAdaptationOptimizer extends TunedOptimizer {
  private final DAdaptation settings;
  private final DAdaptation.Form form;
  private final double retention; // b, the square root of beta2; Adan's beta3
  private final Hyperparameters[] hyperparameters; // by group
  private final AdamForm[] adam; // by group; for Adam's form
  private final DAdaptationScalars[] scalars; // by scope
  private final double[] layerScale; // by group: l, 1 where the form has none
  private final double[] stepRate; // by segment: r
  private final double[] used; // by scope: r without bias correction and the factor of a group
  private final Sweep reference; // takes x as x0; null where the form has none
  private final ReferenceBehind behind;
  private Sweep moved; // AdaGrad; null until it is first needed
  private final Sweep sweep;
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
    super(engine);
    this.settings = settings;
    form = settings.form;
    final Hyperparameters of = Hyperparameters.of(settings.rule);
    retention = form == DAdaptation.Form.ADAN ? of.get("beta3") : Math.sqrt(of.orZero("beta2"));
    final int groups = parameters().groups().size();
    hyperparameters = new Hyperparameters[groups];
    adam = new AdamForm[form == DAdaptation.Form.ADAM ? groups : 0];
    layerScale = new double[groups];
    for (int g = 0; g < groups; ++g) {
      layerScale[g] = settings.layerScales.getOrDefault(parameters().groups().get(g), 1.0);
      hyperparameters[g] = Hyperparameters.of(rule(g));
      if (form == DAdaptation.Form.ADAM) adam[g] = AdamForm.of(rule(g));
    }
    scalars = new DAdaptationScalars[plan.scopes()];
    for (int i = 0; i < scalars.length; ++i) scalars[i] = new DAdaptationScalars(settings);
    stepRate = new double[plan.segments()];
    used = new double[scalars.length];
    reference = form.slots.contains("reference") ? plan.bind("reference", "") : null;
    behind = new ReferenceBehind(plan, "sum");
    sweep = plan.bind("dadaptation", form.kernel);
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
      final int group = plan.group(segment);
      switch (form) {
        case SGD -> putSgd(rule(group), hyperparameters[group], stepRate[segment]);
        case ADAM -> putAdam(adam[group], stepRate[segment], layerScale[group]);
        case ADAGRAD -> putAdaGrad(rule(group), hyperparameters[group], stepRate[segment], rateFactor(group) == 0);
        case LION -> putLion(rule(group), hyperparameters[group], stepRate[segment]);
        case ADAN -> putAdan(rule(group), hyperparameters[group], stepRate[segment], scalars[plan.scope(segment)].t == 0);
      }
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

  private void putSgd(Rule rule, Hyperparameters of, double r) {
    final boolean stays = r == 0;
    final double momentum = of.orZero("momentum") * momentumFactor();
    sweep.put("coupledDecay", stays ? 0 : rule.coupledDecay() * decayFactor()).put("sumGain", r);
    sweep.put("retention", stays ? 1 : momentum).put("intake", stays ? 0 : 1 - momentum);
  }

  private void putAdam(AdamForm rule, double r, double scale) {
    final boolean stays = r == 0;
    final double beta1 = rule.beta1() * momentumFactor();
    sweep.put("coupledDecay", stays ? 0 : rule.coupledDecay() * decayFactor());
    sweep.put("averageRetention", stays ? 1 : beta1).put("averageGain", scale * r * (1 - beta1));
    sweep.put("squareRetention", stays ? 1 : rule.beta2()).put("squareGain", stays ? 0 : 1 - rule.beta2());
    sweep.put("sumRetention", stays ? 1 : retention).put("sumGain", r * (1 - retention));
    sweep.put("epsilon", Math.max(rule.epsilon(), leastEpsilon()))
        .put("shrinkage", boundedShrinkage(rule.decoupledDecay() * decayFactor() * r)).put("step", stays ? 0 : 1);
  }

  /** @param still whether the group does not move: the average of x and x0 would be x0 up to rounding only */
  private void putAdaGrad(Rule rule, Hyperparameters of, double r, boolean still) {
    final double momentum = settings.momentum * momentumFactor();
    sweep.put("coupledDecay", rule.coupledDecay() * decayFactor()).put("sumGain", r);
    sweep.put("retention", still ? 1 : momentum).put("intake", still ? 0 : 1 - momentum);
    sweep.put("epsilon", Math.max(of.get("epsilon"), leastEpsilon()));
  }

  private void putLion(Rule rule, Hyperparameters of, double r) {
    final double beta1 = of.get("beta1") * momentumFactor();
    sweep.put("beta1", beta1).put("oneMinusBeta1", 1 - beta1);
    sweep.put("averageRetention", of.get("beta2")).put("averageGain", r * (1 - of.get("beta2")));
    sweep.put("sumRetention", retention).put("sumGain", r * (1 - retention));
    sweep.put("rate", r).put("shrinkage", boundedShrinkage(r * (rule.decoupledDecay() * decayFactor())));
  }

  private void putAdan(Rule rule, Hyperparameters of, double r, boolean first) {
    final double beta1 = of.get("beta1") * momentumFactor();
    final double beta2 = of.get("beta2");
    final double beta3 = of.get("beta3");
    final double shrinkage = r * rule.decoupledDecay() * decayFactor();
    // A proximal decay divides the step by 1 + shrinkage.
    final boolean proximal = !rule.stepIsMultipleOfRate();
    final double divisor = proximal ? 1 + shrinkage : 1;
    sweep.put("first", first ? 1 : 0).put("beta2", beta2);
    sweep.put("averageRetention", beta1).put("averageGain", r * (1 - beta1)).put("differenceGain", r * (1 - beta2));
    sweep.put("squareRetention", beta3).put("squareGain", 1 - beta3).put("sumRetention", retention).put("sumGain", r * (1 - retention));
    sweep.put("epsilon", Math.max(of.get("epsilon"), leastEpsilon()))
        .put("shrinkage", proximal ? shrinkage / divisor : boundedShrinkage(shrinkage)).put("step", 1 / divisor);
  }

  /** Whether a step at the rate 0 leaves all as it is. */
  private boolean freezes() {
    return form == DAdaptation.Form.SGD || form == DAdaptation.Form.ADAM;
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

  /** Whether the estimate is made of A and B, and not of n. */
  private boolean weighsSquares() {
    return form == DAdaptation.Form.ADAGRAD || form == DAdaptation.Form.ADAN;
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
