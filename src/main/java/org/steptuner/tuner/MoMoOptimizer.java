// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.steptuner.ParameterSet;
import org.steptuner.internal.Sweep;

/** MoMo's two sweeps: all sums first, then everything that is written. */
final class MoMoOptimizer extends TunedOptimizer {
  // The coefficients of the sweeps, in their order; apply has three more.
  private static final List<String> MOMO = List.of("gradientScale", "retention", "gain");
  private static final List<String> ADAM =
      List.of("gradientScale", "retention", "gain", "squareRetention", "squareGain", "rootCorrection", "epsilon");
  private static final List<String> MORE = List.of("scale", "rate", "divisor");

  private final boolean adam;
  private final boolean multiply;
  private final boolean optax;
  private final double baseRate;
  private final double weightDecay;
  private final AdamForm form; // null for MoMo
  private final MoMoScalars scalars;
  private final Sweep observe;
  private final Sweep apply;
  private final int count; // of the coefficients that both sweeps have
  // |g|^2, <x, g>, <x, m>, <m, m / D>: the sums of observe, in their order.
  private final double[] terms = new double[4];
  private final double[] values = new double[ADAM.size() + MORE.size()];

  MoMoOptimizer(MoMo settings, ParameterSet parameters) {
    super(settings, parameters, List.of(), settings.clips());
    adam = settings.adam;
    multiply = settings.decay == MoMo.Decay.MULTIPLY;
    optax = settings.variant == MoMo.Variant.OPTAX;
    baseRate = settings.rate;
    weightDecay = settings.weightDecay();
    form = adam ? AdamForm.of(settings.rule) : null;
    scalars = new MoMoScalars(settings);
    try {
      observe = bindObserver("momo_observe", adam ? "adam" : "momentum");
      apply = plan.bind("momo_apply", adam ? "adam" : "momentum");
      final List<String> all = new ArrayList<>(adam ? ADAM : MOMO);
      count = all.size();
      observe.ruleColumn(all);
      all.addAll(MORE);
      apply.ruleColumn(all);
    } catch (RuntimeException | Error e) {
      plan.close();
      throw e;
    }
    report.learnedScale[0] = scalars.tau;
  }

  @Override
  double baseRate() {
    return baseRate;
  }

  @Override
  String lossNeededBy() {
    return "MoMo";
  }

  @Override
  boolean advance(long step) {
    if (!guard()) return false;
    setFormula();
    for (int segment = 0; segment < plan.segments(); ++segment) observe.set(segment, 0, values, count);
    observe.run();
    final double[] sums = observe.sums();
    final int columns = sums.length / plan.segments();
    Arrays.fill(terms, 0);
    for (int row = 0; row < sums.length; row += columns)
      for (int column = 0; column < terms.length; ++column) terms[column] += sums[row + column];
    if (badLoss()) terms[0] = Double.NaN;
    reduce(terms, terms.length);
    takeL1(sums);
    if (!guarded() && !accept(terms[0])) return false;
    for (double term : terms) if (refuses(term)) return false;
    scalars.update(report.loss, terms[1], terms[2], terms[3], report.rate, weightDecay);
    // The averages are formed as before; only now is it known how far x goes.
    final double k = 1 + report.rate * weightDecay;
    values[count] = multiply ? 1 - report.rate * weightDecay : optax ? 1 / k : 1;
    values[count + 1] = scalars.tau;
    values[count + 2] = multiply || optax ? 1 : k;
    for (int segment = 0; segment < plan.segments(); ++segment) apply.set(segment, 0, values, count + 3);
    apply.run();
    report.learnedScale[0] = scalars.tau;
    return true;
  }

  private void setFormula() {
    values[0] = gradientScale();
    values[1] = scalars.retention();
    values[2] = scalars.gain();
    if (!adam) return;
    values[3] = form.beta2();
    values[4] = 1 - form.beta2();
    values[5] = 1 / Math.sqrt(1 - Math.pow(form.beta2(), scalars.t + 1));
    values[6] = form.epsilon();
  }

  @Override
  int sweepWords() {
    return observe.words() + apply.words();
  }

  @Override
  void saveScalars(Map<String, double[]> to) {
    to.put("loss_avg", new double[] {scalars.loss});
    to.put("gamma", new double[] {scalars.product});
    to.put("lb", new double[] {scalars.bound});
    to.put("tau", new double[] {scalars.tau});
    to.put("t1_adaptive", new double[] {scalars.limit});
    to.put("t", new double[] {scalars.t});
  }

  @Override
  void restoreScalars(Map<String, double[]> from) {
    scalars.loss = from.get("loss_avg")[0];
    scalars.product = from.get("gamma")[0];
    scalars.bound = from.get("lb")[0];
    scalars.tau = from.get("tau")[0];
    scalars.limit = from.get("t1_adaptive")[0];
    scalars.t = (long) from.get("t")[0];
    report.learnedScale[0] = scalars.tau;
  }
}
