// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.util.Arrays;
import java.util.List;
import org.steptuner.ParameterSet;
import org.steptuner.StepReport;

/** What a run gave: a loss, scales, rates and a time for every step, a test accuracy for every epoch. */
final class Outcome {
  private final Run run;
  private final List<String> tensors;
  private final double[] losses;
  private final double[][] scales; // by scope, then step
  private final double[][] rates; // likewise
  private final double[] milliseconds;
  private final double[] accuracies;
  private int steps;
  private double recentLoss;
  private int epochs;
  private double totalSeconds;

  Outcome(Run run, ParameterSet parameters, int steps, int epochs) {
    this.run = run;
    tensors = parameters.tensors().stream().map(ParameterSet.Tensor::name).toList();
    losses = new double[steps];
    scales = new double[tensors.size()][];
    rates = new double[tensors.size()][];
    milliseconds = new double[steps];
    accuracies = new double[epochs];
  }

  void add(StepReport report, long nanoseconds) {
    losses[steps] = report.loss();
    recentLoss = steps == 0 ? report.loss() : recentLoss + (report.loss() - recentLoss) / Math.min(steps + 1, 50);
    for (int scope = 0; scope < report.scopes(); ++scope) {
      if (scales[scope] == null) scales[scope] = new double[losses.length];
      scales[scope][steps] = report.learnedScale(scope);
      if (rates[scope] == null) rates[scope] = new double[losses.length];
      rates[scope][steps] = report.effectiveRate(scope);
    }
    milliseconds[steps++] = nanoseconds / 1e6;
  }

  void endEpoch(double accuracy) {
    accuracies[epochs++] = accuracy;
  }

  void end(long nanoseconds) {
    totalSeconds = nanoseconds / 1e9;
  }

  Run run() {
    return run;
  }

  int steps() {
    return steps;
  }

  /** The test accuracy after each epoch. */
  double[] accuracies() {
    return Arrays.copyOf(accuracies, epochs);
  }

  /** The test accuracy after the last epoch so far, or NaN. */
  double accuracy() {
    return epochs == 0 ? Double.NaN : accuracies[epochs - 1];
  }

  /** Of the batch of a step, from 0. */
  double loss(int step) {
    return losses[step];
  }

  /**
   * The losses up to each step, the last ones weighing most: batches differ too much for a curve of their losses to be read.
   *
   * @param memory how many steps back it remembers, roughly
   */
  double[] smoothLosses(double memory) {
    final double keep = 1 - 1 / memory;
    final double[] smooth = new double[steps];
    double sum = 0;
    double weight = 0;
    for (int step = 0; step < steps; ++step) {
      sum = keep * sum + losses[step];
      weight = keep * weight + 1;
      smooth[step] = sum / weight;
    }
    return smooth;
  }

  /** A mean of the last losses, for progress bars. */
  double recentLoss() {
    return recentLoss;
  }

  int scopes() {
    return (int) Arrays.stream(scales).filter(scope -> scope != null).count();
  }

  /** What a scope is called: the tensor, where each has a scale of its own. */
  String scope(int scope) {
    return scopes() == 1 ? "all" : tensors.get(scope);
  }

  /** The learned scale of a scope after a step, from 0. */
  double scale(int scope, int step) {
    return scales[scope][step];
  }

  /** The effective rate of a scope in a step, from 0. */
  double rate(int scope, int step) {
    return rates[scope][step];
  }

  /** One number for all scopes after the last step so far: the scale, or the geometric mean of the scales. */
  double learnedScale() {
    return mean(scales);
  }

  /** The same of the effective rates. */
  double effectiveRate() {
    return mean(rates);
  }

  private double mean(double[][] values) {
    double logarithms = 0;
    for (int scope = 0; scope < scopes(); ++scope) logarithms += Math.log(values[scope][steps - 1]);
    return Math.exp(logarithms / scopes());
  }

  /** In the optimizer's step alone. */
  double optimizerSeconds() {
    return Arrays.stream(milliseconds, 0, steps).sum() / 1e3;
  }

  /** All of it: data, forward, backward, optimizer, tests. */
  double totalSeconds() {
    return totalSeconds;
  }

  /** The middle one, which neighbours on the machine disturb least. */
  double medianMilliseconds() {
    final double[] sorted = Arrays.copyOf(milliseconds, steps);
    Arrays.sort(sorted);
    return sorted[steps / 2];
  }
}
