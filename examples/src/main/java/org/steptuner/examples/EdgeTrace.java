// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.util.Arrays;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import org.steptuner.StepReport;

/** What was seen of a run: loss, rate and time of every step, and of some steps the sharpness and the curvature, exact and not. */
final class EdgeTrace {
  private final EdgeRun run;
  private final int every;
  private final double[] losses;
  private final double[] rates;
  private final double[] milliseconds;
  private final double[] sharpness;
  private final double[][] differences; // by displacement
  private int steps;
  private int looks;
  private boolean diverged;

  /**
   * @param steps at most
   * @param every how many of them the sharpness is looked at, from the first on; 0 for never
   */
  EdgeTrace(EdgeRun run, int steps, int every) {
    this.run = run;
    this.every = every;
    losses = new double[steps];
    rates = new double[steps];
    milliseconds = new double[steps];
    sharpness = new double[every == 0 ? 0 : (steps + every - 1) / every];
    differences = new double[EdgeTraining.DISPLACEMENTS.size()][sharpness.length];
  }

  /**
   * @param exact the curvature along the gradient
   * @param byDifference the same by finite differences, one for each of the displacements
   */
  void look(double sharpness, double exact, double... byDifference) {
    this.sharpness[looks] = sharpness;
    for (int i = 0; i < differences.length; ++i) differences[i][looks] = Math.abs(byDifference[i] - exact) / Math.abs(exact);
    ++looks;
  }

  void add(StepReport report, long nanoseconds) {
    losses[steps] = report.loss();
    rates[steps] = report.effectiveRate();
    milliseconds[steps++] = nanoseconds / 1e6;
  }

  /** The loss is no longer a number: no more steps follow. */
  void diverge() {
    diverged = true;
  }

  EdgeRun run() {
    return run;
  }

  int steps() {
    return steps;
  }

  /** Before every step. */
  double[] losses() {
    return Arrays.copyOf(losses, steps);
  }

  double[] rates() {
    return Arrays.copyOf(rates, steps);
  }

  /** Of the last step. */
  double rate() {
    return steps == 0 ? Double.NaN : rates[steps - 1];
  }

  /** The steps, from 1, at which the sharpness was looked at. */
  double[] lookedAt() {
    return IntStream.range(0, looks).mapToDouble(i -> 1 + (double) i * every).toArray();
  }

  double[] sharpness() {
    return Arrays.copyOf(sharpness, looks);
  }

  /** Rate times sharpness, where that was looked at. */
  double[] edge() {
    return IntStream.range(0, looks).mapToDouble(i -> rates[i * every] * sharpness[i]).toArray();
  }

  /** How far the finite difference with one of the displacements is from the exact curvature, relative to it. */
  double[] differences(int displacement) {
    return Arrays.copyOf(differences[displacement], looks);
  }

  /** The mean over the last 5 steps, as in the paper; infinite where the run diverged. */
  double finalLoss() {
    if (diverged) return Double.POSITIVE_INFINITY;
    return DoubleStream.of(losses).limit(steps).skip(Math.max(0, steps - 5)).average().orElse(Double.NaN);
  }

  /** Rate times sharpness over the second half of the run, its median. */
  double lateEdge() {
    final double[] edge = edge();
    return median(Arrays.copyOfRange(edge, edge.length / 2, edge.length));
  }

  /** Of a step with forward and backward, without the instruments: the median. */
  double medianMilliseconds() {
    return median(Arrays.copyOf(milliseconds, steps));
  }

  static double median(double[] values) {
    if (values.length == 0) return Double.NaN;
    final double[] sorted = values.clone();
    Arrays.sort(sorted);
    return (sorted[(sorted.length - 1) / 2] + sorted[sorted.length / 2]) / 2;
  }
}
