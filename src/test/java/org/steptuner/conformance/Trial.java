// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.StepReport;

/** Runs an optimizer on a problem and records what another recording has, at the same steps. */
final class Trial {
  // What recordings call the norm of the point that is to be evaluated.
  private static final List<String> EVALUATED = List.of("evaluated_l2", "average_l2");

  private final Recording wanted;
  private final int lastStep;
  private final double[] sums;
  private final double[] norms;
  private final double[] losses;
  private final Map<String, double[][]> scalars = new LinkedHashMap<>();
  private final TreeMap<Integer, double[]> parameters = new TreeMap<>();
  private final double[] moved;
  private final double[] scale;
  private String stopped = "";
  private int made;

  private Trial(Recording wanted, int lastStep) {
    this.wanted = wanted;
    this.lastStep = lastStep;
    sums = notReached(wanted.steps().length);
    norms = notReached(wanted.steps().length);
    losses = notReached(wanted.lossBefore().length);
    moved = notReached(lastStep + 1);
    scale = notReached(lastStep + 1);
  }

  /**
   * A run.
   *
   * @param trajectory NaN at the steps that were not reached
   * @param stopped why the run ended early; empty if it did not
   * @param made the last step that was made
   * @param moved by step: the largest distance of a parameter from its start, relative to the largest parameter
   * @param scale by step: the learned scale
   */
  record Run(Recording trajectory, String stopped, int made, double[] moved, double[] scale) {}

  static Run run(Candidate candidate, Problem problem, Recording wanted, int lastStep, DataType type, Device device) {
    if (lastStep > problem.steps())
      throw new IllFormedException("the data ends at step " + problem.steps() + ", the recording at step " + lastStep);
    final Trial trial = new Trial(wanted, lastStep);
    trial.run(candidate, problem, type, device);
    return new Run(
        new Recording(
            wanted.steps(), trial.sums, trial.norms, trial.losses, trial.scalars, trial.parameters, new double[0]),
        trial.stopped,
        trial.made,
        trial.moved,
        trial.scale);
  }

  private void run(Candidate candidate, Problem problem, DataType type, Device device) {
    final double[] start = problem.start();
    final double[] x = new double[start.length];
    final double[] gradient = new double[x.length];
    try (Tensors tensors = new Tensors(problem.sizes(), type)) {
      tensors.setParameters(start);
      if (candidate.trainer() != null) candidate.trainer().begin(problem, tensors);
      // As the implementations that were recorded have it.
      try (Optimizer optimizer = candidate.builder().boundedDecay(false).build(tensors.bind(device, candidate.blocks()))) {
        for (int step = 1; step <= lastStep; ++step) {
          tensors.getParameters(x);
          final double loss = problem.evaluate(step, x, gradient);
          tensors.setGradients(gradient);
          if (candidate.trainer() != null) candidate.trainer().step(step, optimizer);
          final StepReport report = Double.isNaN(loss) ? optimizer.step() : optimizer.step(loss);
          if (report.skipped()) {
            stopped = "step " + step + " was skipped: " + report.skip();
            return;
          }
          made = step;
          tensors.getParameters(x);
          record(step, x, loss, optimizer);
          for (String name : EVALUATED)
            if (wanted.scalars().containsKey(name)) recordEvaluated(name, step, new double[x.length], tensors, optimizer);
          moved[step] = moved(start, x);
          scale[step] = report.learnedScale();
        }
      }
    }
  }

  private void record(int step, double[] x, double loss, Optimizer optimizer) {
    if (wanted.parameters().containsKey(step)) parameters.put(step, x.clone());
    final int row = Arrays.binarySearch(wanted.steps(), step);
    if (row < 0) return;
    sums[row] = Arrays.stream(x).sum();
    norms[row] = Math.sqrt(Arrays.stream(x).map(value -> value * value).sum());
    if (losses.length > 0) losses[row] = loss;
    exposed(optimizer).forEach((name, values) -> {
      if (wanted.scalars().containsKey(name))
        scalars.computeIfAbsent(name, key -> new double[wanted.steps().length][])[row] = values;
    });
  }

  /** The norm of the point that is to be evaluated, which a trainer may look at after any step. */
  private void recordEvaluated(String name, int step, double[] x, Tensors tensors, Optimizer optimizer) {
    final int row = Arrays.binarySearch(wanted.steps(), step);
    if (row < 0) return;
    optimizer.evaluating();
    tensors.getParameters(x);
    optimizer.training();
    scalars.computeIfAbsent(name, key -> new double[wanted.steps().length][])[row] =
        new double[] {Math.sqrt(Arrays.stream(x).map(value -> value * value).sum())};
  }

  private static double moved(double[] from, double[] to) {
    double distance = 0;
    double largest = 0;
    for (int i = 0; i < to.length; ++i) {
      distance = Math.max(distance, Math.abs(to[i] - from[i]));
      largest = Math.max(largest, Math.abs(to[i]));
    }
    return distance == 0 ? Double.POSITIVE_INFINITY : distance / largest;
  }

  /** The optimizer's scalars, under the names that recordings have for them. */
  private static Map<String, double[]> exposed(Optimizer optimizer) {
    final Map<String, double[]> scalars = optimizer.scalars();
    final StepReport report = optimizer.report();
    scalars.put("grad_norm", new double[] {report.gradientNorm()});
    if (scalars.containsKey("s")) scalars.put("s_sum", new double[] {Arrays.stream(scalars.get("s")).sum()});
    else scalars.putIfAbsent("eta", new double[] {report.rate()});
    for (String numerator : List.of("d_numerator", "numerator_weighted", "numerator")) alias(scalars, "n", numerator);
    for (String norm : List.of("d_denom", "skl1")) alias(scalars, "s_norm", norm);
    alias(scalars, "g1_norm", "g0_norm");
    alias(scalars, "A", "sksq_weighted");
    alias(scalars, "B", "gsq_weighted");
    alias(scalars, "loss_avg", "barf");
    alias(scalars, "tau_unlimited", "t1_adaptive");
    MetaCases.expose(scalars);
    if (scalars.containsKey("weight_sum")) scalars.put("lr", new double[] {report.rate()});
    alias(scalars, "lr", "lr_after");
    return scalars;
  }

  private static void alias(Map<String, double[]> scalars, String name, String other) {
    if (scalars.containsKey(name)) scalars.put(other, scalars.get(name));
  }

  private static double[] notReached(int length) {
    final double[] values = new double[length];
    Arrays.fill(values, Double.NaN);
    return values;
  }
}
