// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.ToDoubleFunction;
import org.steptuner.ParameterSet;
import org.steptuner.internal.Sweep;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Lion;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;

/** D-Adaptation's one sweep, whose sums make the d of the next step. */
final class DAdaptationOptimizer extends TunedOptimizer {
  // The coefficients of the sweep of each form, in their order.
  private static final Map<DAdaptation.Form, List<String>> COEFFICIENTS =
      Map.of(
          DAdaptation.Form.SGD, List.of("gradientScale", "coupledDecay", "sumGain", "retention", "intake"),
          DAdaptation.Form.ADAM,
              List.of(
                  "gradientScale", "coupledDecay", "averageRetention", "averageGain", "squareRetention", "squareGain", "sumRetention",
                  "sumGain", "epsilon", "shrinkage", "step"),
          DAdaptation.Form.ADAGRAD, List.of("gradientScale", "coupledDecay", "sumGain", "retention", "intake", "epsilon"),
          DAdaptation.Form.LION,
              List.of(
                  "gradientScale", "beta1", "oneMinusBeta1", "averageRetention", "averageGain", "sumRetention", "sumGain", "rate",
                  "shrinkage"));

  private final DAdaptation.Form form;
  private final double baseRate;
  private final double averaging; // AdaGrad's momentum
  private final boolean biasCorrection;
  private final double retention; // b, the square root of beta2
  private final AdamForm[] adam; // by group; for Adam's form
  private final DAdaptationScalars[] scalars; // by scope
  private final Sweep reference; // takes x as x0; null where the form has none
  private final Sweep firstNorm; // SGD: |g_1|
  private final Sweep sweep;
  private boolean referenced;
  private boolean sumsWaiting; // of the last step

  private final double[] values = new double[11];
  private final double[] stepRate; // by segment: r
  // Of each scope: the two or three sums of the form, then how many segments have a positive rate.
  private static final int TERMS = 4;
  private final double[] terms;
  private final double[] squares; // by scope: |g_1|^2

  DAdaptationOptimizer(DAdaptation settings, ParameterSet parameters) {
    super(settings, parameters, settings.formSlots(), settings.needsNorm());
    form = settings.form;
    baseRate = settings.rate;
    averaging = settings.momentum;
    biasCorrection = settings.biasCorrection;
    retention = Math.sqrt(beta2(settings.rule));
    adam = new AdamForm[form == DAdaptation.Form.ADAM ? parameters.groups().size() : 0];
    for (int g = 0; g < adam.length; ++g) adam[g] = AdamForm.of(rule(g));
    final int scopes = plan.scopes();
    scalars = new DAdaptationScalars[scopes];
    for (int i = 0; i < scopes; ++i) scalars[i] = new DAdaptationScalars(settings);
    stepRate = new double[plan.segments()];
    terms = new double[TERMS * scopes];
    squares = new double[scopes];
    try {
      reference = form.slots.contains("reference") ? plan.bind("mechanic_reference", "") : null;
      firstNorm = form == DAdaptation.Form.SGD ? plan.bind("gradient_norm", "") : null;
      sweep = plan.bind("dadaptation", form.kernel);
      sweep.ruleColumn(COEFFICIENTS.get(form));
    } catch (RuntimeException | Error e) {
      plan.close();
      throw e;
    }
    reportScales();
    report.pending = this::settle;
  }

  private double beta2(Rule rule) {
    return switch (form) {
      case ADAM -> AdamForm.of(rule).beta2();
      case LION -> ((Lion) rule).beta2();
      default -> Double.NaN;
    };
  }

  @Override
  double baseRate() {
    return baseRate;
  }

  @Override
  boolean advance(long step) {
    final boolean accepted = guard();
    settle();
    if (!accepted) return false;
    if (firstNorm != null) takeFirstNorms();
    // Another process may have a group with a positive rate, and waits for the sums of this one.
    boolean any = form == DAdaptation.Form.ADAGRAD || form == DAdaptation.Form.LION || reduces();
    for (int segment = 0; segment < plan.segments(); ++segment) {
      stepRate[segment] = stepRate(segment);
      any |= stepRate[segment] > 0;
    }
    if (!any) return true;
    if (reference != null && !referenced) reference.run();
    referenced = true;
    for (int segment = 0; segment < plan.segments(); ++segment) {
      values[0] = gradientScale();
      final int count =
          switch (form) {
            case SGD -> sgd(segment);
            case ADAM -> adam(segment);
            case ADAGRAD -> adaGrad(segment);
            case LION -> lion(segment);
          };
      sweep.set(segment, 0, values, count);
    }
    sweep.run();
    sumsWaiting = true;
    // Every process must add its sums at the same point of the step.
    if (reduces()) settle();
    return true;
  }

  private double stepRate(int segment) {
    final DAdaptationScalars scalar = scalars[plan.scope(segment)];
    final double rate = scalar.d * rate(plan.group(segment));
    if (form == DAdaptation.Form.SGD) return scalar.firstNorm > 0 ? rate / scalar.firstNorm : 0;
    return biasCorrection ? rate * adam[plan.group(segment)].biasCorrection(scalar.t + 1) : rate;
  }

  /** SGD divides by the norm of the first gradient that is not 0, without decay. */
  private void takeFirstNorms() {
    boolean missing = false;
    for (DAdaptationScalars scalar : scalars) missing |= scalar.firstNorm == 0;
    if (!missing) return;
    firstNorm.run();
    final double[] sums = firstNorm.sums();
    Arrays.fill(squares, 0);
    for (int segment = 0; segment < plan.segments(); ++segment) squares[plan.scope(segment)] += sums[segment];
    reduce(squares, squares.length);
    for (int scope = 0; scope < scalars.length; ++scope)
      if (scalars[scope].firstNorm == 0) scalars[scope].firstNorm = Math.sqrt(squares[scope]) * Math.abs(gradientScale());
  }

  // Each fills in the values behind the first and returns how many there are.

  private int sgd(int segment) {
    final SGD rule = (SGD) rule(plan.group(segment));
    final boolean stays = stepRate[segment] == 0;
    values[1] = stays ? 0 : rule.weightDecay();
    values[2] = stepRate[segment];
    values[3] = stays ? 1 : rule.momentum();
    values[4] = stays ? 0 : 1 - rule.momentum();
    return 5;
  }

  private int adam(int segment) {
    final AdamForm rule = adam[plan.group(segment)];
    final double r = stepRate[segment];
    final boolean stays = r == 0;
    values[1] = stays ? 0 : rule.coupledDecay();
    values[2] = stays ? 1 : rule.beta1();
    values[3] = r * (1 - rule.beta1());
    values[4] = stays ? 1 : rule.beta2();
    values[5] = stays ? 0 : 1 - rule.beta2();
    values[6] = stays ? 1 : retention;
    values[7] = r * (1 - retention);
    values[8] = rule.epsilon();
    values[9] = rule.decoupledDecay() * r;
    values[10] = stays ? 0 : 1;
    return 11;
  }

  private int adaGrad(int segment) {
    final AdaGrad rule = (AdaGrad) rule(plan.group(segment));
    // The average of x and x0 would be x0 up to rounding only.
    final boolean still = rateFactor(plan.group(segment)) == 0;
    values[1] = rule.weightDecay();
    values[2] = stepRate[segment];
    values[3] = still ? 1 : averaging;
    values[4] = still ? 0 : 1 - averaging;
    values[5] = rule.epsilon();
    return 6;
  }

  private int lion(int segment) {
    final Lion rule = (Lion) rule(plan.group(segment));
    final double r = stepRate[segment];
    values[1] = rule.beta1();
    values[2] = 1 - rule.beta1();
    values[3] = rule.beta2();
    values[4] = r * (1 - rule.beta2());
    values[5] = retention;
    values[6] = r * (1 - retention);
    values[7] = r;
    values[8] = r * rule.weightDecay();
    return 9;
  }

  /** Takes the sums of the last step, and with them the d of the next one. */
  @Override
  void settle() {
    if (!sumsWaiting) return;
    sumsWaiting = false;
    final double[] sums = sweep.sums();
    final int columns = sums.length / plan.segments();
    Arrays.fill(terms, 0);
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final double r = stepRate[segment];
      // What stays as it is has no part in the estimate.
      if (r == 0 && (form == DAdaptation.Form.SGD || form == DAdaptation.Form.ADAM)) continue;
      final int at = TERMS * plan.scope(segment);
      final int row = segment * columns;
      terms[at] += (form == DAdaptation.Form.ADAGRAD ? r * r : r) * sums[row];
      for (int column = 1; column < columns; ++column) terms[at + column] += sums[row + column];
      if (r > 0) ++terms[at + TERMS - 1];
    }
    reduce(terms, terms.length);
    for (int scope = 0; scope < scalars.length; ++scope) {
      final int at = TERMS * scope;
      final boolean moves = terms[at + TERMS - 1] > 0;
      switch (form) {
        case SGD -> scalars[scope].sgd(terms[at], terms[at + 1]);
        case ADAM, LION -> scalars[scope].averaged(retention, terms[at], terms[at + 1], moves);
        case ADAGRAD -> scalars[scope].adaGrad(terms[at], terms[at + 1], terms[at + 2], moves);
      }
    }
    reportScales();
  }

  private void reportScales() {
    for (int scope = 0; scope < scalars.length; ++scope) report.learnedScale[scope] = scalars[scope].d;
  }

  @Override
  int sweepWords() {
    return sweep.words();
  }

  @Override
  void saveScalars(Map<String, double[]> to) {
    settle();
    to.put("d", all(one -> one.d));
    switch (form) {
      case SGD -> {
        to.put("numerator_weighted", all(one -> one.numerator));
        to.put("g0_norm", all(one -> one.firstNorm));
        to.put("s_norm", all(one -> one.sumNorm));
      }
      case ADAM, LION -> {
        to.put("numerator_weighted", all(one -> one.numerator));
        to.put("s_norm", all(one -> one.sumNorm));
      }
      case ADAGRAD -> {
        to.put("gsq_weighted", all(one -> one.gradientWeighted));
        to.put("sksq_weighted", all(one -> one.sumWeighted));
        to.put("skl1", all(one -> one.sumNorm));
      }
    }
    to.put("t", all(one -> one.t));
    to.put("referenced", new double[] {referenced ? 1 : 0});
  }

  private double[] all(ToDoubleFunction<DAdaptationScalars> value) {
    return Arrays.stream(scalars).mapToDouble(value).toArray();
  }

  @Override
  void restoreScalars(Map<String, double[]> from) {
    sumsWaiting = false;
    for (int scope = 0; scope < scalars.length; ++scope) {
      final DAdaptationScalars scalar = scalars[scope];
      scalar.d = from.get("d")[scope];
      switch (form) {
        case SGD -> {
          scalar.numerator = from.get("numerator_weighted")[scope];
          scalar.firstNorm = from.get("g0_norm")[scope];
          scalar.sumNorm = from.get("s_norm")[scope];
        }
        case ADAM, LION -> {
          scalar.numerator = from.get("numerator_weighted")[scope];
          scalar.sumNorm = from.get("s_norm")[scope];
        }
        case ADAGRAD -> {
          scalar.gradientWeighted = from.get("gsq_weighted")[scope];
          scalar.sumWeighted = from.get("sksq_weighted")[scope];
          scalar.sumNorm = from.get("skl1")[scope];
        }
      }
      scalar.t = (long) from.get("t")[scope];
    }
    referenced = from.get("referenced")[0] != 0;
    reportScales();
  }
}
