// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.awt.Color;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.DoubleStream;
import javax.imageio.ImageIO;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.style.Styler;

/**
 * The pictures of the runs with MetaOptimize, as in Figures 2 and 3 of its paper: step sizes against step, above from several first
 * values, below one per tensor.
 */
final class StepSizeCharts {
  // Okabe and Ito's colours, which the colour-blind tell apart.
  private static final List<Color> COLOURS =
      List.of(
          new Color(0x0072B2), new Color(0xD55E00), new Color(0x009E73), new Color(0xCC79A7), new Color(0xE69F00), new Color(0x56B4E9));

  private StepSizeCharts() {}

  /** Writes step-sizes.png; runs that were not made are missing in it. */
  static void write(List<Outcome> outcomes, Path folder) throws IOException {
    final List<BufferedImage> pictures = new ArrayList<>();
    for (MetaOptimizeRuns.Pair pair : MetaOptimizeRuns.PAIRS) pictures.add(image(firstValues(pair, outcomes)));
    for (MetaOptimizeRuns.Pair pair : MetaOptimizeRuns.PAIRS) pictures.add(image(tensors(pair, outcomes)));
    ImageIO.write(Charts.beside(MetaOptimizeRuns.PAIRS.size(), pictures), "png", folder.resolve("step-sizes.png").toFile());
  }

  private static XYChart firstValues(MetaOptimizeRuns.Pair pair, List<Outcome> outcomes) {
    final XYChart chart = chart(pair.title() + ", one step size");
    final double[] initial =
        DoubleStream.concat(DoubleStream.of(MetaOptimizeRuns.SMALLEST), DoubleStream.of(MetaOptimizeRuns.LARGER)).toArray();
    for (int i = 0; i < initial.length; ++i)
      for (Outcome outcome : outcomes)
        if (outcome.run().name().equals(pair.scalarFrom(initial[i])))
          Charts.line(chart, "from " + MetaOptimizeRuns.text(initial[i]), scales(outcome, 0), COLOURS.get(i), Charts.BOLD);
    return chart;
  }

  private static XYChart tensors(MetaOptimizeRuns.Pair pair, List<Outcome> outcomes) {
    final XYChart chart = chart(pair.title() + ", one per tensor");
    for (Outcome outcome : outcomes)
      if (outcome.run().name().equals(pair.perLayer()))
        for (int scope = 0; scope < outcome.scopes(); ++scope)
          Charts.line(
              chart, outcome.scope(scope), scales(outcome, scope), COLOURS.get(scope % COLOURS.size()),
              outcome.scope(scope).endsWith("bias") ? Charts.FINE : Charts.BOLD);
    return chart;
  }

  private static double[] scales(Outcome outcome, int scope) {
    final double[] scales = new double[outcome.steps()];
    Arrays.setAll(scales, step -> outcome.scale(scope, step));
    return scales;
  }

  private static XYChart chart(String title) {
    final XYChart chart = Charts.chart(title, "step size", Styler.LegendPosition.InsideNW);
    // Up so far that the legend hides no line.
    chart.getStyler().setYAxisLogarithmic(true).setYAxisMin(1e-7).setYAxisMax(1e3).setYAxisDecimalPattern("0E0");
    return chart;
  }

  private static BufferedImage image(XYChart chart) {
    return BitmapEncoder.getBufferedImage(chart);
  }
}
