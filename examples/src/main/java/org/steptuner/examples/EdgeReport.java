// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * What the runs gave.
 *
 * @param setting what they have in common, by name
 * @param grid constant rates, without instruments
 * @param constant the best of them again
 * @param classical as {@link EdgeRun#classical}
 * @param onTheEdge as {@link EdgeRun#onTheEdge}
 * @param cost of the curvature
 */
record EdgeReport(
    Map<String, Object> setting, List<EdgeTrace> grid, EdgeTrace constant, List<EdgeTrace> classical, List<EdgeTrace> onTheEdge,
    EdgeTraining.Cost cost) {
  /**
   * A run in result.json.
   *
   * @param finalLoss the mean of the last 5; infinite where it diverged
   * @param finalRate of the last step
   * @param firstSharpness before the first step
   * @param finalSharpness where it was last looked at
   * @param lateEdge rate times sharpness, the median over the second half
   * @param medianMilliseconds of a step with forward and backward
   * @param worstDifferences of the finite differences from the exact curvature, relative to it, by displacement
   */
  private record Entry(
      String name, int steps, double finalLoss, double finalRate, double firstSharpness, double finalSharpness, double lateEdge,
      double medianMilliseconds, List<Double> worstDifferences) {
    static Entry of(EdgeTrace trace) {
      final double[] sharpness = trace.sharpness();
      return new Entry(
          trace.run().name(), trace.steps(), trace.finalLoss(), trace.rate(), sharpness.length == 0 ? Double.NaN : sharpness[0],
          last(sharpness), trace.lateEdge(), trace.medianMilliseconds(),
          IntStream.range(0, EdgeTraining.DISPLACEMENTS.size()).mapToObj(i -> worst(trace.differences(i))).toList());
    }
  }

  /**
   * Of a finite difference, relative to the exact curvature, over all looks of all runs.
   *
   * @param displacement its length; NaN where the library chooses it
   * @param within how many of the looks are within 1 %
   */
  record Difference(double displacement, int looks, int within, double median, double worst) {}

  private record Result(
      Map<String, Object> setting, Map<String, Double> grid, List<Entry> runs, List<Difference> finiteDifferences,
      EdgeTraining.Cost milliseconds) {}

  List<EdgeTrace> instrumented() {
    return Stream.of(List.of(constant), classical, onTheEdge).flatMap(List::stream).toList();
  }

  List<Difference> differences() {
    return IntStream.range(0, EdgeTraining.DISPLACEMENTS.size()).mapToObj(this::difference).toList();
  }

  private Difference difference(int displacement) {
    final double[] all = instrumented().stream().flatMapToDouble(trace -> DoubleStream.of(trace.differences(displacement))).toArray();
    final int within = (int) DoubleStream.of(all).filter(difference -> difference <= 0.01).count();
    return new Difference(EdgeTraining.DISPLACEMENTS.get(displacement), all.length, within, EdgeTrace.median(all), worst(all));
  }

  private static double worst(double[] values) {
    return DoubleStream.of(values).max().orElse(Double.NaN);
  }

  /** Writes result.json, and loss, rate and sharpness of every step in curves.csv. */
  void write(Path folder) throws IOException {
    final Map<String, Double> losses = new LinkedHashMap<>();
    for (EdgeTrace trace : grid) losses.put(trace.run().name(), trace.finalLoss());
    ResultFile.writeJson(new Result(setting, losses, instrumented().stream().map(Entry::of).toList(), differences(), cost), folder);
    try (Writer out = Files.newBufferedWriter(folder.resolve("curves.csv"))) {
      out.write("run,step,loss,rate,sharpness\n");
      for (EdgeTrace trace : instrumented()) {
        final double[] at = trace.lookedAt();
        for (int step = 1, look = 0; step <= trace.steps(); ++step) {
          final boolean looked = look < at.length && at[look] == step;
          out.write(
              String.format(
                  Locale.ROOT, "%s,%d,%.6g,%.6g,%s%n", trace.run().name(), step, trace.losses()[step - 1], trace.rates()[step - 1],
                  looked ? String.format(Locale.ROOT, "%.6g", trace.sharpness()[look++]) : ""));
        }
      }
    }
  }

  /** For people: one line a run. */
  void print(PrintWriter to) {
    to.printf("%n%-22s%14s%14s%14s%18s%12s%n", "", "loss", "rate", "sharpness", "rate x sharpness", "ms a step");
    for (EdgeTrace trace : instrumented())
      to.printf(
          Locale.ROOT, "%-22s%14.3e%14.3e%14.3e%18.3f%12.1f%n", trace.run().name(), trace.finalLoss(), trace.rate(),
          last(trace.sharpness()), trace.lateEdge(), trace.medianMilliseconds());
    to.println("Loss: mean of the last 5 steps; rate and sharpness: the last; their product: median of the second half.");
    for (Difference difference : differences())
      to.printf(
          Locale.ROOT, "Curvature by finite difference over %s, from the exact one: median %.2e, worst %.2e, %d of %d within 1 %%.%n",
          Double.isNaN(difference.displacement()) ? "the default length" : "" + difference.displacement(), difference.median(),
          difference.worst(), difference.within(), difference.looks());
    to.printf(
        Locale.ROOT, "Steps with curvature at every %dth, over plain SGD (%.1f ms): %.2f, as H u %.2f, by finite difference %.2f.%n",
        EdgeTraining.COST_EVERY, cost.plain(), cost.curvature() / cost.plain(), cost.hessian() / cost.plain(),
        cost.finiteDifference() / cost.plain());
  }

  private static double last(double[] values) {
    return values.length == 0 ? Double.NaN : values[values.length - 1];
  }
}
