// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.awt.Color;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.Armijo;
import org.steptuner.tuner.CDAT;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Polyak;
import org.steptuner.tuner.TunerBuilder;

/**
 * A run of gradient descent on the whole of the examples, with a rate or a tuner of it.
 *
 * @param name in the results
 * @param title in pictures
 * @param colour there
 * @param tuner of a trainer's curvature
 */
record EdgeRun(String name, String title, Color colour, Function<TorchCurvature, TunerBuilder<?>> tuner) {
  /** Of all tuners here; their default is 1, and where the sharpness falls below 2 the edge is above that. */
  static final double LARGEST_RATE = 100;

  /** Rates to choose the constant one from: 2^-6 to 2. */
  static final List<Double> GRID = IntStream.rangeClosed(-6, 1).mapToObj(i -> Math.scalb(1.0, i)).toList();

  static EdgeRun constant(double rate) {
    return new EdgeRun("constant-" + rate, "constant, " + rate, new Color(0x000000), curvature -> FixedRate.of(rate, SGD.defaults()));
  }

  /** Those that look at the loss, or for the least of its model, as in Figures 1, 3 and 13 of the paper. */
  static List<EdgeRun> classical() {
    return List.of(
        new EdgeRun(
            "armijo", "Armijo", new Color(0xD55E00), curvature -> Armijo.tuning(SGD.defaults(), curvature).firstGuess(LARGEST_RATE)),
        new EdgeRun(
            "greedy", "quadratically greedy", new Color(0xE69F00),
            curvature -> CDAT.quadraticallyGreedy(SGD.defaults()).maxRate(LARGEST_RATE).curvature(curvature)),
        new EdgeRun("polyak", "Polyak", new Color(0x009E73), curvature -> Polyak.tuning(SGD.defaults()).maxRate(LARGEST_RATE)));
  }

  /** CDAT below, on and above the edge, as in Figures 5 and 6. */
  static List<EdgeRun> onTheEdge() {
    return List.of(
        cdat(1, 0x56B4E9), cdat(1.9375, 0xCC79A7), cdat(2, 0x0072B2), cdat(2.0625, 0xD55E00));
  }

  private static EdgeRun cdat(double sigma, int colour) {
    final String text = String.format(Locale.ROOT, sigma == 1 || sigma == 2 ? "%.0f" : "%.4f", sigma);
    return new EdgeRun(
        "cdat-" + text, "CDAT, sigma " + text, new Color(colour),
        curvature -> CDAT.tuning(SGD.defaults()).sigma(sigma).maxRate(LARGEST_RATE).curvature(curvature));
  }
}
