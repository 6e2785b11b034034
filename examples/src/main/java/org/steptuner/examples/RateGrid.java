// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.awt.Color;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleFunction;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.GradaGrad;
import org.steptuner.tuner.TunerBuilder;

/**
 * How much the end of a run depends on the rate that it was given: GradaGrad beside AdaGrad-Norm and AdaGrad, from every rate of a grid, on
 * one set, with several orders of the batches.
 */
final class RateGrid {
  /** 1e-6, 1e-5, ... 100. */
  static final double[] RATES = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100};

  /**
   * What is compared.
   *
   * @param name in tables and pictures
   * @param at makes it from an initial rate
   */
  record Method(String name, Color colour, DoubleFunction<TunerBuilder<?>> at) {}

  // Okabe and Ito's colours, which the colour-blind tell apart.
  static final List<Method> METHODS =
      List.of(
          new Method("AdaGrad-Norm", new Color(0x000000), rate -> GradaGrad.adaGradNorm(SGD.defaults(), rate)),
          new Method("AdaGrad", new Color(0x999999), rate -> FixedRate.of(rate, AdaGrad.defaults())),
          new Method("GradaGrad, r = 1", new Color(0xD55E00), rate -> GradaGrad.tuning(SGD.defaults(), rate)),
          new Method("GradaGrad, r = 0.1", new Color(0xE69F00), rate -> GradaGrad.tuning(SGD.defaults(), rate).r(0.1)),
          new Method("GradaGrad, r = 0.01", new Color(0xCC79A7), rate -> GradaGrad.tuning(SGD.defaults(), rate).r(0.01)),
          new Method("diagonal GradaGrad, r = 1", new Color(0x0072B2), rate -> diagonal(rate)),
          new Method("diagonal GradaGrad, r = 0.1", new Color(0x56B4E9), rate -> diagonal(rate).r(0.1)));

  private RateGrid() {}

  private static GradaGrad diagonal(double rate) {
    return GradaGrad.tuning(SGD.defaults(), rate).form(GradaGrad.Form.DIAGONAL);
  }

  /**
   * What a method reached.
   *
   * @param losses by rate, then by seed; infinite where a run diverged
   */
  record Row(String method, double[][] losses) {}

  /**
   * What a set gave.
   *
   * @param batch examples a step
   * @param steps of every run
   * @param best by seed: the least loss of all methods and rates
   */
  record Result(String set, int batch, int steps, double[] best, List<Row> rows) {
    /** By rate: the loss over the best one, the mean of the seeds. */
    double[] ratios(int method) {
      final double[] ratios = new double[RATES.length];
      for (int rate = 0; rate < ratios.length; ++rate)
        for (int seed = 0; seed < best.length; ++seed)
          ratios[rate] += rows.get(method).losses()[rate][seed] / best[seed] / best.length;
      return ratios;
    }
  }

  /**
   * Runs everything on a set.
   *
   * @param setting its seed is the first one
   * @param seeds how many
   * @param done told of every run
   */
  static Result run(Dataset data, LogisticSuite.Setting setting, int seeds, Runnable done) {
    final List<Row> rows = new ArrayList<>();
    for (Method method : METHODS) rows.add(new Row(method.name(), new double[RATES.length][seeds]));
    final double[] best = new double[seeds];
    Arrays.fill(best, Double.POSITIVE_INFINITY);
    final int batch = Math.min(setting.batch(), data.count());
    int steps = 0;
    for (int seed = 0; seed < seeds; ++seed) {
      final LogisticSuite suite =
          new LogisticSuite(
              data, new LogisticSuite.Setting(setting.epochs(), setting.mostSteps(), batch, setting.decay(), setting.seed() + seed));
      steps = suite.steps();
      for (int m = 0; m < METHODS.size(); ++m)
        for (int rate = 0; rate < RATES.length; ++rate) {
          final Method method = METHODS.get(m);
          final double loss = suite.run(method.name(), method.at().apply(RATES[rate]), RATES[rate]).loss();
          rows.get(m).losses()[rate][seed] = loss;
          best[seed] = Math.min(best[seed], loss);
          done.run();
        }
    }
    return new Result(data.name(), batch, steps, best, rows);
  }

  /** How many runs {@link #run} tells of. */
  static int runs(int seeds) {
    return seeds * METHODS.size() * RATES.length;
  }
}
