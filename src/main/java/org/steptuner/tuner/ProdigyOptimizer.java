// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import org.steptuner.ParameterSet;
import org.steptuner.internal.Sweep;

/** Prodigy's two sweeps: all sums first, then everything that is written. */
final class ProdigyOptimizer extends TunedOptimizer {
  // The coefficients of the sweeps, in their order.
  private static final List<String> OBSERVE = List.of("gradientScale", "coupledDecay", "sumRetention", "sumGain");
  private static final List<String> OBSERVE_SLICED = List.of("gradientScale", "coupledDecay", "sumRetention", "sumGain", "period");
  private static final List<String> APPLY =
      List.of(
          "gradientScale", "coupledDecay", "sumRetention", "sumGain", "squareRetention", "squareGain", "rate", "shrinkage", "epsilon",
          "averageRetention", "averageGain");
  private static final List<String> APPLY_WITHOUT_MOMENTUM = APPLY.subList(0, 9);

  private final double baseRate;
  private final double beta3;
  private final boolean safeguardWarmup;
  private final boolean biasCorrection;
  private final int slice;
  private final boolean momentum;
  private final boolean stored; // x0 - x, and x0
  private final boolean accumulated; // x0 - x, without x0
  private final boolean coupled;
  private final AdamForm[] forms; // by group
  private final ProdigyScalars[] scalars; // by scope
  private final Sweep reference; // takes x as x0
  private final Sweep observe;
  private final Sweep apply;
  private final int gradientSquareColumn;
  private final int progressColumn;
  private final int sumNormColumn;
  private final double[] values = new double[APPLY.size()];
  private boolean referenced;

  private final double[] stepRate; // by segment: r, with the d before the step
  private final double[] oldRate; // by scope: d before the step
  private final double[] oldWeight; // by scope: d / d0 before the step
  // |g|^2, then of each scope: progress, |s|_1, and how many segments have a positive rate.
  private static final int TERMS = 3;
  private final double[] terms;
  private final boolean[] frozen; // by scope

  ProdigyOptimizer(Prodigy settings, ParameterSet parameters) {
    super(
        settings, parameters,
        switch (settings.displacement) {
          case STORED -> List.of("sum", "reference", "displacement");
          case ACCUMULATED -> List.of("sum", "displacement");
          case RECOMPUTED -> List.of("sum", "reference");
        },
        settings.clips());
    baseRate = settings.rate;
    beta3 = settings.beta3();
    safeguardWarmup = settings.safeguardWarmup;
    biasCorrection = settings.biasCorrection;
    slice = settings.slice;
    momentum = settings.hasMomentum();
    stored = settings.displacement == Prodigy.Displacement.STORED;
    accumulated = settings.displacement == Prodigy.Displacement.ACCUMULATED;
    forms = new AdamForm[parameters.groups().size()];
    for (int g = 0; g < forms.length; ++g) forms[g] = AdamForm.of(rule(g));
    coupled = Arrays.stream(forms).anyMatch(form -> form.coupledDecay() > 0);
    final int scopes = plan.scopes();
    scalars = new ProdigyScalars[scopes];
    for (int i = 0; i < scopes; ++i) scalars[i] = new ProdigyScalars(settings);
    stepRate = new double[plan.segments()];
    oldRate = new double[scopes];
    oldWeight = new double[scopes];
    terms = new double[1 + TERMS * scopes];
    frozen = new boolean[scopes];
    try {
      reference = accumulated ? null : plan.bind("mechanic_reference", "");
      final String observer =
          "prodigy_observe" + (stored || accumulated ? "_stored" : "") + (stored && coupled ? "_coupled" : "") + (slice > 1 ? "_sliced" : "");
      observe = settings.observesL1() ? bindObserver(observer, "adam") : plan.bind(observer, "adam");
      final String arrangement = stored ? "_stored" : accumulated ? "_accumulated" : "";
      apply = plan.bind("prodigy_apply" + arrangement + (momentum ? "" : "_without_momentum"), "adam");
      observe.ruleColumn(slice > 1 ? OBSERVE_SLICED : OBSERVE);
      apply.ruleColumn(momentum ? APPLY : APPLY_WITHOUT_MOMENTUM);
      gradientSquareColumn = observe.sum("gradientSquare");
      progressColumn = observe.sum("progress");
      sumNormColumn = observe.sum("sumNorm");
    } catch (RuntimeException | Error e) {
      plan.close();
      throw e;
    }
    reportScales();
  }

  @Override
  double baseRate() {
    return baseRate;
  }

  @Override
  boolean advance(long step) {
    if (!guard()) return false;
    setObserve();
    // A decay in the gradient needs x at once where x is rebuilt.
    final boolean early = stored && coupled && !referenced;
    if (early) reference.run();
    observe.run();
    if (!takeSums()) {
      if (early) plan.fill("reference", 0);
      return false;
    }
    if (!referenced && !early && reference != null) reference.run();
    referenced = true;
    boolean moves = false;
    for (int scope = 0; scope < scalars.length; ++scope) {
      final int at = 1 + TERMS * scope;
      // Where no rate is positive, |s|_1 is not looked at: s would only decay.
      frozen[scope] = terms[at + 2] == 0 || terms[at + 1] == 0;
      if (!frozen[scope]) scalars[scope].update(terms[at], terms[at + 1]);
      moves |= !frozen[scope];
    }
    if (!moves) return true;
    setApply();
    apply.run();
    reportScales();
    return true;
  }

  private void setObserve() {
    for (int scope = 0; scope < scalars.length; ++scope) {
      oldRate[scope] = scalars[scope].d;
      oldWeight[scope] = scalars[scope].weight();
    }
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int scope = plan.scope(segment);
      final AdamForm form = forms[plan.group(segment)];
      final double rate = rate(plan.group(segment));
      stepRate[segment] = oldRate[scope] * rate * (biasCorrection ? form.biasCorrection(scalars[scope].t + 1) : 1);
      values[0] = gradientScale();
      values[1] = form.coupledDecay();
      values[2] = beta3;
      values[3] = sumGain(segment);
      values[4] = slice;
      observe.set(segment, 0, values, slice > 1 ? 5 : 4);
    }
  }

  private double sumGain(int segment) {
    if (stepRate[segment] == 0) return 0;
    final int scope = plan.scope(segment);
    return oldWeight[scope] * (safeguardWarmup ? oldRate[scope] : stepRate[segment]);
  }

  /** Adds the sums over the segments of each scope, and those over all processes. False: skip the step. */
  private boolean takeSums() {
    final double[] sums = observe.sums();
    final int columns = sums.length / plan.segments();
    Arrays.fill(terms, 0);
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int row = segment * columns;
      terms[0] += sums[row + gradientSquareColumn];
      if (stepRate[segment] == 0) continue;
      final int scope = plan.scope(segment);
      final int at = 1 + TERMS * scope;
      // Before the first step x0 is x.
      if (referenced) terms[at] += oldWeight[scope] * stepRate[segment] * sums[row + progressColumn];
      terms[at + 1] += sums[row + sumNormColumn];
      ++terms[at + 2];
    }
    if (badLoss()) terms[0] = Double.NaN;
    reduce(terms, terms.length);
    takeL1(sums);
    if (!guarded() && !accept(terms[0])) return false;
    for (int i = 1; i < terms.length; ++i) if (refuses(terms[i])) return false;
    return true;
  }

  private void setApply() {
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int scope = plan.scope(segment);
      final AdamForm form = forms[plan.group(segment)];
      final double d = oldRate[scope];
      final double r = stepRate[segment];
      final boolean stays = frozen[scope] || r == 0;
      // Without a momentum the release steps along the new d times g.
      final double gain = form.beta1() == 0 ? scalars[scope].d : d * (1 - form.beta1());
      values[0] = gradientScale();
      values[1] = stays ? 0 : form.coupledDecay();
      values[2] = stays ? 1 : beta3;
      values[3] = stays ? 0 : sumGain(segment);
      values[4] = stays ? 1 : form.beta2();
      values[5] = stays ? 0 : d * d * (1 - form.beta2());
      values[6] = stays ? 0 : momentum ? r : r * gain;
      values[7] = stays ? 0 : form.decoupledDecay() * r;
      values[8] = stays ? 1 : scalars[scope].d * form.epsilon();
      values[9] = stays ? 1 : form.beta1();
      values[10] = stays ? 0 : gain;
      apply.set(segment, 0, values, momentum ? 11 : 9);
    }
  }

  private void reportScales() {
    for (int scope = 0; scope < scalars.length; ++scope) report.learnedScale[scope] = scalars[scope].d;
  }

  @Override
  int sweepWords() {
    return observe.words() + apply.words();
  }

  @Override
  void saveScalars(Map<String, double[]> to) {
    to.put("d", all(one -> one.d));
    to.put("d_max", all(one -> one.largest));
    to.put("d_hat", all(one -> one.estimate));
    to.put("d_numerator", all(one -> one.numerator));
    to.put("d_denom", all(one -> one.denominator));
    to.put("t", all(one -> one.t));
    to.put("referenced", new double[] {referenced ? 1 : 0});
  }

  private double[] all(ToDoubleFunction<ProdigyScalars> value) {
    return Arrays.stream(scalars).mapToDouble(value).toArray();
  }

  @Override
  void restoreScalars(Map<String, double[]> from) {
    for (int scope = 0; scope < scalars.length; ++scope) {
      scalars[scope].d = from.get("d")[scope];
      scalars[scope].largest = from.get("d_max")[scope];
      scalars[scope].estimate = from.get("d_hat")[scope];
      scalars[scope].numerator = from.get("d_numerator")[scope];
      scalars[scope].denominator = from.get("d_denom")[scope];
      scalars[scope].t = (long) from.get("t")[scope];
    }
    referenced = from.get("referenced")[0] != 0;
    reportScales();
  }
}
