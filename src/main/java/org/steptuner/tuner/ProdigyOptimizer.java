// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.ArrayList;
import java.util.List;
import java.util.function.ToDoubleFunction;
import org.steptuner.internal.engine.AbsentSums;
import org.steptuner.internal.engine.DeviceScalars;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Reduction;
import org.steptuner.internal.engine.ReferenceBehind;
import org.steptuner.internal.engine.Scalars;
import org.steptuner.internal.engine.Sweep;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Coefficients;

/** Prodigy's two sweeps: all sums first, then everything that is written. */
final class ProdigyOptimizer extends TunedOptimizer {
  private final Prodigy settings;
  private final double beta3;
  private final boolean sliced;
  private final boolean momentum;
  private final boolean stored; // x0 - x, and x0
  private final boolean coupled;
  private final boolean scheduleFree;
  private final AdamForm[] forms; // by group
  private final ProdigyScalars[] scalars; // by scope
  private final Sweep reference; // takes x as x0; null where there is none
  private final ReferenceBehind behind;
  private Sweep behindOffset; // null until it is first needed
  private final Sweep observe;
  private final Sweep apply;
  private final Sweep.Sum observedProgress;
  private final Sweep.Sum observedNorm;
  private final AbsentSums absent; // |s|_1
  private final Reduction sums;
  private final Reduction.Term gradientSquare; // |g|^2
  private final Reduction.Term progress; // d/d0 r <g, x0 - x>
  private final Reduction.Term sumNorm; // |s|_1
  private final Reduction.Term moving; // how many segments have a positive rate
  private boolean referenced;

  private final double[] stepRate; // by segment: r, with the d before the step
  private final double[] oldRate; // by scope: d before the step
  private final double[] oldWeight; // by scope: d / d0 before the step
  private final boolean[] frozen; // by scope

  ProdigyOptimizer(Engine engine, Prodigy settings) {
    super(engine);
    this.settings = settings;
    beta3 = settings.beta3();
    sliced = settings.slice > 1;
    momentum = settings.hasMomentum();
    stored = settings.displacement == Prodigy.Displacement.STORED;
    coupled = settings.coupled();
    forms = new AdamForm[parameters().groups().size()];
    for (int g = 0; g < forms.length; ++g) forms[g] = AdamForm.orScheduleFree(rule(g));
    scalars = new ProdigyScalars[plan.scopes()];
    for (int i = 0; i < scalars.length; ++i) scalars[i] = new ProdigyScalars(settings);
    stepRate = new double[plan.segments()];
    oldRate = new double[scalars.length];
    oldWeight = new double[scalars.length];
    frozen = new boolean[scalars.length];
    final boolean accumulated = settings.displacement == Prodigy.Displacement.ACCUMULATED;
    reference = accumulated ? null : plan.bind("reference", "");
    behind = new ReferenceBehind(plan, "displacement");
    final String observer =
        "prodigy_observe" + (stored || accumulated ? "_stored" : "") + (stored && coupled ? "_coupled" : "") + (sliced ? "_sliced" : "");
    observe = settings.observesL1() ? guard.bindObserver(observer, "adam") : plan.bind(observer, "adam");
    final String arrangement = stored ? "_stored" : accumulated ? "_accumulated" : "";
    scheduleFree = settings.scheduleFree();
    apply =
        scheduleFree
            ? plan.bind("prodigy_apply" + arrangement, ruleKernel())
            : plan.bind("prodigy_apply" + arrangement + (momentum ? "" : "_without_momentum"), "adam");
    absent = absentSums(this::absentNorms, "norm");
    observedProgress = observe.sum("progress");
    observedNorm = observe.sum("sumNorm");
    sums = reduction();
    gradientSquare = sums.overall(observe.sum("gradientSquare"));
    progress = sums.perScope();
    sumNorm = sums.perScope();
    moving = sums.perScope();
    guard.addL1(observe, sums);
  }

  @Override
  protected double baseRate() {
    return settings.rate;
  }

  @Override
  protected boolean advance(long step) {
    if (!guard.guard()) return false;
    setObserve();
    // A decay in the gradient needs x at once where x is rebuilt.
    final boolean early = stored && coupled && !referenced;
    if (early) attendance.capture(reference, "reference");
    observe.run();
    if (!takeSums()) {
      if (early) plan.fill("reference", 0);
      return false;
    }
    if (!referenced && !early && reference != null) attendance.capture(reference, "reference");
    referenced = true;
    // Where no rate is positive, |s|_1 is not looked at: s would only decay.
    for (int scope = 0; scope < scalars.length; ++scope) frozen[scope] = moving.of(scope) == 0 || sumNorm.of(scope) == 0;
    if (scheduleFree) weighIterates();
    boolean moves = false;
    for (int scope = 0; scope < scalars.length; ++scope) {
      if (!frozen[scope]) scalars[scope].update(progress.of(scope), sumNorm.of(scope));
      moves |= !frozen[scope];
    }
    if (!moves) return true;
    setApply();
    apply.runLast();
    return true;
  }

  private Sweep absentNorms() {
    final Sweep norms = plan.bind(sliced ? "sum_norms_sliced" : "sum_norms", "");
    if (sliced) {
      norms.put("period", settings.slice);
      norms.setAll();
    }
    return norms;
  }

  private void setObserve() {
    for (int scope = 0; scope < scalars.length; ++scope) {
      oldRate[scope] = scalars[scope].d;
      oldWeight[scope] = scalars[scope].weight();
    }
    observe.put("gradientScale", guard.scale());
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int scope = plan.scope(segment);
      final AdamForm form = forms[plan.group(segment)];
      final double rate = rate(plan.group(segment));
      stepRate[segment] =
          oldRate[scope] * rate * (settings.biasCorrection ? form.biasCorrection(scalars[scope].t + 1, momentumFactor()) : 1);
      observe.put("coupledDecay", form.coupledDecay() * decayFactor()).put("sumRetention", beta3).put("sumGain", sumGain(segment));
      if (sliced) observe.put("period", settings.slice);
      observe.set(segment);
    }
  }

  private double sumGain(int segment) {
    if (stepRate[segment] == 0) return 0;
    final int scope = plan.scope(segment);
    return oldWeight[scope] * (settings.safeguardWarmup ? oldRate[scope] : stepRate[segment]);
  }

  /** Adds the sums over the segments of each scope, and those over all processes. False: skip the step. */
  private boolean takeSums() {
    observe.await();
    sums.collect();
    for (int segment = 0; segment < plan.segments(); ++segment) {
      if (stepRate[segment] == 0) continue;
      final int scope = plan.scope(segment);
      // Before the first step x0 is x.
      if (referenced) progress.add(scope, oldWeight[scope] * stepRate[segment] * observedProgress.of(segment));
      sumNorm.add(scope, observedNorm.of(segment) + absent.of(0, segment));
      moving.add(scope, 1);
    }
    guard.reduce(sums);
    if (!guard.reads() && !guard.accept(gradientSquare.of(0))) return false;
    return progress.isFinite() && sumNorm.isFinite() || !guard.refuses(Double.NaN);
  }

  private void setApply() {
    apply.put("gradientScale", guard.scale());
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int scope = plan.scope(segment);
      final AdamForm form = forms[plan.group(segment)];
      final double d = oldRate[scope];
      final double r = stepRate[segment];
      final boolean stays = stays(segment);
      // Without a momentum the release steps along the new d times g.
      final double beta1 = form.beta1() * momentumFactor();
      final double gain = beta1 == 0 ? scalars[scope].d : d * (1 - beta1);
      apply.put("sumRetention", stays ? 1 : beta3).put("sumGain", stays ? 0 : sumGain(segment));
      apply.put("squareRetention", stays ? 1 : form.beta2()).put("squareGain", stays ? 0 : d * d * (1 - form.beta2()));
      apply.put("epsilon", stays ? 1 : Math.max(scalars[scope].d * form.epsilon(), leastEpsilon()));
      if (scheduleFree) {
        apply.put("gain", stays ? 0 : gain).put("rate", stays ? 0 : r);
        rule(plan.group(segment)).averageCoefficients(stays ? ruleStep(0, 0) : ruleStep(r, averages().weight(segment)), apply);
      } else {
        apply.put("coupledDecay", stays ? 0 : form.coupledDecay() * decayFactor());
        apply.put("rate", stays ? 0 : momentum ? r : r * gain);
        apply.put("shrinkage", stays ? 0 : boundedShrinkage(form.decoupledDecay() * decayFactor() * r));
        if (momentum) apply.put("averageRetention", stays ? 1 : beta1).put("averageGain", stays ? 0 : gain);
      }
      apply.set(segment);
    }
  }

  private boolean stays(int segment) {
    return frozen[plan.scope(segment)] || stepRate[segment] == 0;
  }

  @Override
  protected DeviceScalars onDevice() {
    return settings.biasCorrection || guard.reads() ? null : new OnDevice();
  }

  @Override
  protected String whyNotOnDevice() {
    return settings.biasCorrection
        ? "biasCorrection goes by steps with a gradient, which are not known ahead"
        : "clipping, or |g|_1, needs a sweep before the one that it observes with";
  }

  /** What the device has to know. */
  private final class OnDevice extends ReferencedScalars {
    OnDevice() {
      super("prodigy", observe, apply, plan, reference, report);
    }

    @Override
    protected void settings(Coefficients to) {
      to.put("beta3", beta3).put("initialRate", settings.initialRate).put("coefficient", settings.coefficient);
      to.put("growthRate", settings.growthRate).put("maxRate", settings.maxRate);
      to.put("safeguardWarmup", settings.safeguardWarmup ? 1 : 0).put("momentum", momentum ? 1 : 0);
      to.put("leastEpsilon", leastEpsilon()).put("boundedDecay", settings.boundedDecay ? 1 : 0);
    }

    @Override
    protected void put(int segment) {
      final double coupledDecay = forms[plan.group(segment)].coupledDecay() * decayFactor();
      observe.put("gradientScale", 1).put("coupledDecay", coupledDecay).put("sumRetention", beta3).put("sumGain", 0);
      if (sliced) observe.put("period", settings.slice);
      apply.put("gradientScale", 1).put("coupledDecay", coupledDecay).put("sumRetention", beta3).put("sumGain", 0);
      apply.put("squareRetention", 1).put("squareGain", 0).put("rate", 0).put("shrinkage", 0).put("epsilon", 1);
      if (momentum) apply.put("averageRetention", 1).put("averageGain", 0);
    }

    @Override
    protected void row(int segment, Coefficients to) {
      final int group = plan.group(segment);
      final AdamForm form = forms[group];
      to.put("rate", rate(group)).put("beta1", form.beta1() * momentumFactor()).put("beta2", form.beta2());
      to.put("epsilon", form.epsilon()).put("decay", form.decoupledDecay() * decayFactor());
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

  /** Before anything is changed: the weights of z in the averages. */
  private void weighIterates() {
    for (int segment = 0; segment < plan.segments(); ++segment) {
      if (stays(segment)) averages().keep(segment);
      else averages().begin(segment, rule(plan.group(segment)), scalars[plan.scope(segment)].t + 1, stepRate[segment]);
    }
  }

  // By r, which is known only when d is.
  @Override
  protected void beginAverages(double rate) {}

  // z has made its steps with d in them.
  @Override
  protected void putAverage(int segment, Coefficients to) {
    putAverage(segment, 1, to);
  }

  // The rule's averages have d or its square as their gain. Without the bias correction of the tuner they stay as they are, where the rule
  // is going to correct them.
  @Override
  protected List<Sweep> stateOfRule() {
    final List<Sweep> sweeps = new ArrayList<>();
    if (momentum)
      sweeps.add(Sweep.scaling(plan, "momentum", segment -> bias(segment, form -> form.beta1() * momentumFactor()) / d(segment)));
    sweeps.add(Sweep.scaling(plan, "square", segment -> bias(segment, AdamForm::beta2) / (d(segment) * d(segment))));
    return sweeps;
  }

  private double d(int segment) {
    return scalars[plan.scope(segment)].d;
  }

  /** What the rule is going to divide an average by, where the tuner did not. */
  private double bias(int segment, ToDoubleFunction<AdamForm> beta) {
    return settings.biasCorrection ? 1 : 1 - Math.pow(beta.applyAsDouble(forms[plan.group(segment)]), report.step());
  }

  // x0 goes with x, and what x0 - x was before stays. Where that is computed from x it is 0 from now on: the trainer's way is no progress.
  @Override
  protected void rebase() {
    if (!referenced || reference == null) return;
    if (!stored) reference.run();
    else if (!scheduleFree) behind.run(segment -> -1);
    else {
      if (behindOffset == null) behindOffset = plan.bind("reference_behind_offset", "");
      behindOffset.run();
    }
  }

  @Override
  protected double learnedScale(int scope) {
    return scalars[scope].d;
  }

  @Override
  protected double effectiveRate(int scope) {
    return frozen[scope] ? 0 : report.rate() * oldRate[scope];
  }

  @Override
  protected int sweepWords() {
    return observe.words() + apply.words();
  }

  @Override
  protected void name(Scalars to) {
    to.each("d", scalars, one -> one.d, (one, d) -> one.d = Math.min(d, settings.maxRate));
    to.each("d_max", scalars, one -> one.largest, (one, d) -> one.largest = d);
    to.each("d_hat", scalars, one -> one.estimate, (one, d) -> one.estimate = d);
    to.each("n", scalars, one -> one.numerator, (one, n) -> one.numerator = n);
    to.each("s_norm", scalars, one -> one.denominator, (one, norm) -> one.denominator = norm);
    to.each("t", scalars, one -> one.t, (one, t) -> one.t = (long) t);
    to.internal().flag("referenced", () -> referenced, value -> referenced = value);
  }
}
