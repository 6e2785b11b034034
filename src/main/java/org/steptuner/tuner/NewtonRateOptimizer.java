// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.steptuner.ParameterSet;
import org.steptuner.internal.Sweep;

/** A rule at a rate, and a look back at the end of each window. */
final class NewtonRateOptimizer extends TunedOptimizer {
  private final NewtonRate settings;
  private final boolean released;
  private final double[] rates; // by scope
  private final double[] factors;
  private final double[] products;
  private final double[] squares;
  private final double[] values = new double[16];
  private final int count;
  private final Sweep sweep;
  private final int ruleColumn;
  private final Sweep keep;
  private final Sweep window;

  NewtonRateOptimizer(NewtonRate settings, ParameterSet parameters) {
    super(settings, parameters, List.of("reference", "way"), settings.needsNorm());
    this.settings = settings;
    released = settings.variant == NewtonRate.Variant.RELEASED;
    rates = new double[plan.scopes()];
    factors = new double[rates.length];
    products = new double[rates.length];
    squares = new double[rates.length];
    Arrays.fill(rates, settings.initialRate);
    count = rule(0).coefficientNames().size();
    try {
      sweep = plan.bind("fixed_rate", ruleKernel());
      ruleColumn = ruleColumn(sweep);
      keep = plan.bind("mechanic_reference", "");
      window = plan.bind("newton_window", "");
    } catch (RuntimeException | Error e) {
      plan.close();
      throw e;
    }
    reportRates();
  }

  @Override
  double baseRate() {
    return 1;
  }

  @Override
  boolean advance(long step) {
    if (!guard()) return false;
    if (step == 1 && !released) keep.run();
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int group = plan.group(segment);
      sweep.set(segment, 0, sourceScale());
      rule(group).coefficients(rate(group) * rates[plan.scope(segment)], step, values);
      sweep.set(segment, ruleColumn, values, count);
    }
    sweep.run();
    Arrays.fill(factors, 0);
    if (released && step == settings.interval + 1) keep.run();
    else if (released ? step > 1 && (step - 1) % settings.interval == 0 : step % settings.interval == 0) endWindow();
    reportRates();
    return true;
  }

  private void endWindow() {
    for (int segment = 0; segment < plan.segments(); ++segment) window.set(segment, 0, 1 / rates[plan.scope(segment)]);
    window.run();
    final double[] sums = window.sums();
    final int columns = sums.length / plan.segments();
    Arrays.fill(products, 0);
    Arrays.fill(squares, 0);
    for (int segment = 0; segment < plan.segments(); ++segment) {
      products[plan.scope(segment)] += sums[segment * columns];
      squares[plan.scope(segment)] += sums[segment * columns + 1];
    }
    reduce(products, products.length);
    reduce(squares, squares.length);
    for (int scope = 0; scope < rates.length; ++scope) {
      final double difference = squares[scope] - products[scope];
      double after = rates[scope];
      factors[scope] = 1;
      if (released) {
        factors[scope] = 1 + settings.gamma * products[scope] / (difference + 1e-10);
        after *= factors[scope];
      } else if (difference > 0) {
        factors[scope] = Math.min(1 + settings.gamma * products[scope] / difference, settings.maxFactor);
        after = Math.min(settings.largestRate, Math.max(settings.smallestRate, after * factors[scope]));
      }
      // A rate of 0 could not leave it, and has no window to look back at.
      if (Double.isFinite(after) && after != 0) rates[scope] = after;
    }
  }

  private void reportRates() {
    System.arraycopy(rates, 0, report.learnedScale, 0, rates.length);
  }

  @Override
  int sweepWords() {
    return sweep.words();
  }

  @Override
  public double wordsPerElement() {
    return super.wordsPerElement() + (double) window.words() / settings.interval;
  }

  @Override
  void saveScalars(Map<String, double[]> to) {
    to.put("rate", rates.clone());
    to.put("factor", factors.clone());
  }

  @Override
  void restoreScalars(Map<String, double[]> from) {
    System.arraycopy(from.get("rate"), 0, rates, 0, rates.length);
    System.arraycopy(from.get("factor"), 0, factors, 0, factors.length);
    reportRates();
  }
}
