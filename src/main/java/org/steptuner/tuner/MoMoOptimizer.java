// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import java.util.Map;
import org.steptuner.ParameterSet;
import org.steptuner.internal.Sweep;

/** MoMo's two sweeps: all sums first, then everything that is written. */
final class MoMoOptimizer extends TunedOptimizer {
  private final boolean adam;
  private final boolean multiply;
  private final boolean optax;
  private final double baseRate;
  private final double weightDecay;
  private final AdamForm form; // null for MoMo
  private final MoMoScalars scalars;
  private final Sweep observe;
  private final Sweep apply;

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
      observe = plan.bind("momo_observe", adam ? "adam" : "momentum");
      apply = plan.bind("momo_apply", adam ? "adam" : "momentum");
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
    setFormula(observe);
    observe.run();
    final double[] sums = observe.sums();
    final int columns = sums.length / plan.segments();
    double square = 0, parameterGradient = 0, parameterAverage = 0, length = 0;
    for (int row = 0; row < sums.length; row += columns) {
      square += sums[row];
      parameterGradient += sums[row + 1];
      parameterAverage += sums[row + 2];
      length += sums[row + 3];
    }
    if (!guarded() && !accept(square)) return false;
    // Before the scalars move: both sweeps must form the same averages.
    setFormula(apply);
    scalars.update(report.loss, parameterGradient, parameterAverage, length, report.rate, weightDecay);
    final double k = 1 + report.rate * weightDecay;
    for (int segment = 0; segment < plan.segments(); ++segment) {
      apply.set(segment, apply.coefficient("scale"), multiply ? 1 - report.rate * weightDecay : optax ? 1 / k : 1);
      apply.set(segment, apply.coefficient("rate"), scalars.tau);
      apply.set(segment, apply.coefficient("divisor"), multiply || optax ? 1 : k);
    }
    apply.run();
    report.learnedScale[0] = scalars.tau;
    return true;
  }

  private void setFormula(Sweep sweep) {
    for (int segment = 0; segment < plan.segments(); ++segment) {
      sweep.set(segment, sweep.coefficient("gradientScale"), gradientScale());
      sweep.set(segment, sweep.coefficient("retention"), scalars.retention());
      sweep.set(segment, sweep.coefficient("gain"), scalars.gain());
      if (!adam) continue;
      sweep.set(segment, sweep.coefficient("squareRetention"), form.beta2());
      sweep.set(segment, sweep.coefficient("squareGain"), 1 - form.beta2());
      sweep.set(segment, sweep.coefficient("rootCorrection"), 1 / Math.sqrt(1 - Math.pow(form.beta2(), scalars.t + 1)));
      sweep.set(segment, sweep.coefficient("epsilon"), form.epsilon());
    }
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
