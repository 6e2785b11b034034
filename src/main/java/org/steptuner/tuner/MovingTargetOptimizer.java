// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.steptuner.ParameterSet;
import org.steptuner.PartedOptimizer;
import org.steptuner.StepReport;
import org.steptuner.internal.Sweep;

/**
 * Two sweeps: |g|^2, then the step.
 *
 * <p>z is not kept. With b what x was above the z that it was drawn to, {@code b <- momentum b + c g; x <- x - (1 - momentum) b}: a heavy
 * ball at the rate 1 - momentum, whose gradients are multiplied by c.
 */
final class MovingTargetOptimizer extends TunedOptimizer implements PartedOptimizer {
  private final double baseRate;
  private final double momentum;
  private final double targetRate;
  private final double[] targets; // a_i
  private final Sweep sweep;
  private final int gradientScale;
  private final int ruleColumn;
  private final double[] values = new double[5];
  private final int count;
  private double mean; // of the targets
  private double target; // tau
  private long t;

  MovingTargetOptimizer(MovingTarget settings, ParameterSet parameters) {
    super(settings, parameters, List.of(), true);
    baseRate = settings.rate;
    momentum = settings.momentum;
    targetRate = settings.targetRate;
    targets = new double[settings.parts];
    target = settings.target;
    count = rule(0).coefficientNames().size();
    try {
      sweep = plan.bind("fixed_rate", ruleKernel());
      gradientScale = sweep.coefficient("gradientScale");
      ruleColumn = ruleColumn(sweep);
    } catch (RuntimeException | Error e) {
      plan.close();
      throw e;
    }
    report.learnedScale[0] = 0;
  }

  @Override
  public StepReport step(double loss, int part) {
    if (part < 0 || part >= targets.length)
      throw new IllegalArgumentException("part must be from 0 to " + (targets.length - 1) + ", not " + part);
    return stepOfPart(loss, part);
  }

  @Override
  public int parts() {
    return targets.length;
  }

  @Override
  double baseRate() {
    return baseRate;
  }

  @Override
  String lossNeededBy() {
    return "a moving target";
  }

  @Override
  boolean advance(long step) {
    if (!guard()) return false;
    final int n = targets.length;
    final int i = part >= 0 ? part : (int) (t % n);
    final double norm = report.gradientNorm;
    final double gamma = report.rate / (1 - momentum);
    final double rate = gamma * ((report.loss - targets[i]) / (norm * norm + 1));
    if (refuses(rate)) return false;
    final double before = targets[i];
    targets[i] += rate;
    mean += (targets[i] - before) / n;
    if (++t % n == 0) moveTargets(gamma);
    rule(0).coefficients(1 - momentum, step, values);
    for (int segment = 0; segment < plan.segments(); ++segment) {
      sweep.set(segment, gradientScale, gradientScale() * rate);
      sweep.set(segment, ruleColumn, values, count);
    }
    sweep.run();
    report.learnedScale[0] = rate;
    return true;
  }

  private void moveTargets(double gamma) {
    final double n = targets.length;
    target = (1 - targetRate) * target + targetRate * (n / (1 + n)) * mean;
    final double shift = gamma * (target - mean);
    for (int i = 0; i < targets.length; ++i) targets[i] += shift;
    mean += shift;
  }

  @Override
  int sweepWords() {
    return sweep.words();
  }

  @Override
  void saveScalars(Map<String, double[]> to) {
    to.put("alpha", targets.clone());
    to.put("alpha_mean", new double[] {mean});
    to.put("tau", new double[] {target});
    to.put("rate", Arrays.copyOf(report.learnedScale, 1));
    to.put("t", new double[] {t});
  }

  @Override
  void restoreScalars(Map<String, double[]> from) {
    System.arraycopy(from.get("alpha"), 0, targets, 0, targets.length);
    mean = from.get("alpha_mean")[0];
    target = from.get("tau")[0];
    report.learnedScale[0] = from.get("rate")[0];
    t = (long) from.get("t")[0];
  }
}
