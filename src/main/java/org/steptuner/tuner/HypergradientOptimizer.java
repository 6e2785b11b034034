// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.steptuner.ParameterSet;
import org.steptuner.internal.Sweep;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;

/** The sweeps of hypergradient descent: observe, then apply. */
final class HypergradientOptimizer extends TunedOptimizer {
  private final Hypergradient.Variant variant;
  private final double hyperRate;
  private final double[] total = new double[1];
  private final double smallestRate;
  private final double largestRate;
  private final boolean tensorOrder;
  private final double[] coupledDecay; // by group
  private final boolean decayed;
  private final double[] rates; // by scope
  private final double[] gradientSquare; // by scope, of the gradient with its decay
  private final double[] gradientDirection;
  private final double[] directionSquare;
  private final double[] values = new double[16];
  private final int count;
  private final Sweep observe;
  private final Sweep apply;
  private final int gradientScale;
  private final int rate;
  private final int ruleColumn;
  private final int stepSize; // of Adam, in values
  private final int rootCorrection;

  HypergradientOptimizer(Hypergradient settings, ParameterSet parameters) {
    super(settings, parameters, List.of("direction"), false);
    variant = settings.variant;
    hyperRate = settings.hyperRate;
    smallestRate = settings.smallestRate;
    largestRate = settings.largestRate;
    tensorOrder = settings.tensorOrder;
    coupledDecay = new double[parameters.groups().size()];
    for (int group = 0; group < coupledDecay.length; ++group) coupledDecay[group] = coupledDecay(rule(group));
    decayed = Arrays.stream(coupledDecay).anyMatch(decay -> decay != 0);
    rates = new double[plan.scopes()];
    Arrays.fill(rates, settings.initialRate);
    gradientSquare = new double[rates.length];
    gradientDirection = new double[rates.length];
    directionSquare = new double[rates.length];
    final List<String> names = rule(0).coefficientNames();
    count = names.size();
    stepSize = names.indexOf("stepSize");
    rootCorrection = names.indexOf("rootCorrection");
    try {
      observe = plan.bind(decayed ? "hypergradient_observe_decay" : "hypergradient_observe", "");
      apply = plan.bind("hypergradient_apply", ruleKernel());
      gradientScale = apply.coefficient("gradientScale");
      rate = apply.coefficient("rate");
      ruleColumn = ruleColumn(apply);
    } catch (RuntimeException | Error e) {
      plan.close();
      throw e;
    }
    reportRates();
  }

  /** The decay that a rule adds to the gradient. */
  private static double coupledDecay(Rule rule) {
    if (rule instanceof SGD sgd) return sgd.weightDecay();
    if (rule instanceof RMSProp rms) return rms.weightDecay();
    if (rule instanceof AdaGrad ada) return ada.weightDecay();
    if (rule instanceof Adam adam) return adam.weightDecay();
    return 0;
  }

  @Override
  double baseRate() {
    return 1;
  }

  @Override
  boolean advance(long step) {
    if (!guard()) return false;
    observe.run();
    final double[] sums = observe.sums();
    final int columns = sums.length / plan.segments();
    total[0] = badLoss() ? Double.NaN : 0;
    for (int segment = 0; segment < plan.segments(); ++segment) total[0] += sums[segment * columns];
    reduce(total, 1);
    if (!accept(total[0])) return false;
    takeSums(sums, columns);
    reduce(gradientSquare, gradientSquare.length);
    reduce(gradientDirection, gradientDirection.length);
    reduce(directionSquare, directionSquare.length);
    updateRates();
    setApply(step);
    apply.run();
    reportRates();
    return true;
  }

  // With s what multiplies the gradient, that of the rule is s g + decay x.
  private void takeSums(double[] sums, int columns) {
    final double s = gradientScale();
    Arrays.fill(gradientSquare, 0);
    Arrays.fill(gradientDirection, 0);
    Arrays.fill(directionSquare, 0);
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int scope = plan.scope(segment);
      final int row = segment * columns;
      gradientSquare[scope] += s * s * sums[row];
      gradientDirection[scope] += s * sums[row + 1];
      directionSquare[scope] += sums[row + 2];
      if (!decayed) continue;
      final double decay = coupledDecay[plan.group(segment)];
      gradientDirection[scope] += decay * sums[row + 3];
      gradientSquare[scope] += decay * (2 * s * sums[row + 4] + decay * sums[row + 5]);
    }
  }

  private void updateRates() {
    double last = rates[rates.length - 1];
    for (int scope = 0; scope < rates.length; ++scope) {
      last = updated(tensorOrder ? last : rates[scope], gradientDirection[scope], gradientSquare[scope], directionSquare[scope]);
      rates[scope] = last;
    }
  }

  private double updated(double before, double product, double squareOfG, double squareOfU) {
    double after = before - hyperRate * product;
    if (variant == Hypergradient.Variant.MULTIPLICATIVE) {
      final double norms = Math.sqrt(squareOfG) * Math.sqrt(squareOfU);
      after = norms > 0 ? before * (1 - hyperRate * (product / norms)) : before;
    }
    return Double.isFinite(after) ? Math.min(largestRate, Math.max(smallestRate, after)) : before;
  }

  private void setApply(long step) {
    int before = -1;
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int group = plan.group(segment);
      if (group != before) setRule(group, step);
      before = group;
      apply.set(segment, gradientScale, sourceScale());
      apply.set(segment, rate, report.rate * rateFactor(group) * rates[plan.scope(segment)]);
      apply.set(segment, ruleColumn, values, count);
    }
  }

  private void setRule(int group, long step) {
    rule(group).coefficients(1, step, values);
    if (variant == Hypergradient.Variant.ADDITIVE_RELEASED && rule(group) instanceof Adam adam) {
      values[stepSize] *= Math.sqrt(1 - Math.pow(adam.beta2(), step));
      values[rootCorrection] = 1;
    }
  }

  private void reportRates() {
    System.arraycopy(rates, 0, report.learnedScale, 0, rates.length);
  }

  @Override
  int sweepWords() {
    return observe.words() + apply.words();
  }

  @Override
  void saveScalars(Map<String, double[]> to) {
    to.put("rate", rates.clone());
  }

  @Override
  void restoreScalars(Map<String, double[]> from) {
    System.arraycopy(from.get("rate"), 0, rates, 0, rates.length);
    reportRates();
  }
}
