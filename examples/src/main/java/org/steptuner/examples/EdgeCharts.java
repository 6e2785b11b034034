// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.awt.Color;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToDoubleFunction;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.style.Styler;
import org.steptuner.curvature.EdgeModel;

/**
 * Pictures as in Roulet et al., "Stepping on the Edge" (2024): of the runs, loss, rate, sharpness and rate times sharpness against step
 * (Figures 1, 3, 5 and 6); of the toy models, rate, sharpness and y (Figures 4 and 9).
 */
final class EdgeCharts {
  private static final Color BLUE = new Color(0x0072B2);
  private static final Color ORANGE = new Color(0xD55E00);
  private static final double EDGE = 2;

  private EdgeCharts() {}

  /** Writes classical.png and cdat.png, each with the constant rate beside. */
  static void write(EdgeReport report, Path folder) throws IOException {
    write(report.constant(), report.classical(), folder.resolve("classical.png"));
    write(report.constant(), report.onTheEdge(), folder.resolve("cdat.png"));
  }

  private static void write(EdgeTrace constant, List<EdgeTrace> others, Path file) throws IOException {
    final XYChart loss = logarithmic("Training loss", "cross entropy");
    final XYChart rate = logarithmic("Rate", "rate");
    final XYChart sharpness = logarithmic("Sharpness", "largest eigenvalue of the Hessian");
    final XYChart edge = Charts.chart("Rate times sharpness", "grey: the edge of stability", Styler.LegendPosition.InsideSW);
    loss.getStyler().setYAxisMin(1e-5).setLegendVisible(true); // down so far that the legend, which is for all four, hides no line
    edge.getStyler().setYAxisMin(0.0).setYAxisMax(3 * EDGE).setLegendVisible(false);
    final List<EdgeTrace> all = new ArrayList<>(List.of(constant));
    all.addAll(others);
    for (EdgeTrace trace : all) {
      final double[] steps = IntStream.rangeClosed(1, trace.steps()).asDoubleStream().toArray();
      positive(loss, trace, steps, trace.losses());
      positive(rate, trace, steps, trace.rates());
      positive(sharpness, trace, trace.lookedAt(), trace.sharpness());
      line(edge, trace.run().title(), trace.lookedAt(), trace.edge(), trace.run().colour(), Charts.BOLD);
    }
    horizontal(edge, EDGE, constant.steps());
    save(2, List.of(loss, rate, sharpness, edge), file);
  }

  /** Writes toy-models.png. */
  static void writeModels(Path folder) throws IOException {
    final List<XYChart> charts = new ArrayList<>();
    // Figure 4: constants from the paper's appendix C.5, the first moment our own, which is not printed there.
    row(
        charts, "constant rate", EdgeModel.of(0.03, 0.3).constantRate(1, 0.31, 1.99, 100), "y kept at -0.1",
        EdgeModel.of(1, 0.5).belowTheEdge(0.05, 1, 1, 1.9, 100));
    // Figure 9, all of it from there.
    final EdgeModel model = EdgeModel.of(0.05, 0.1);
    row(
        charts, "CDAT, sigma 1.9", model.cdat(1.9, 0.1, 0.05, 4, 4, 18, 1000), "CDAT, sigma 2",
        model.cdat(2, 0.1, 0.05, 4, 4, 18, 1000));
    save(3, charts, folder.resolve("toy-models.png"));
  }

  private static void row(
      List<XYChart> charts, String firstTitle, List<EdgeModel.State> first, String secondTitle, List<EdgeModel.State> second) {
    for (int column = 0; column < 3; ++column) {
      final List<String> titles = List.of("Rate", "Sharpness", "y = rate times sharpness - 2");
      final ToDoubleFunction<EdgeModel.State> value = List.<ToDoubleFunction<EdgeModel.State>>of(
          EdgeModel.State::eta, EdgeModel.State::lambda, EdgeModel.State::y).get(column);
      final XYChart chart = Charts.chart("Toy model: " + titles.get(column), titles.get(column), Styler.LegendPosition.OutsideS);
      chart.getStyler().setYAxisDecimalPattern("0.##");
      model(chart, firstTitle, first, value, BLUE);
      model(chart, secondTitle, second, value, ORANGE);
      charts.add(chart);
    }
  }

  private static void model(
      XYChart chart, String title, List<EdgeModel.State> states, ToDoubleFunction<EdgeModel.State> value, Color colour) {
    line(
        chart, title, IntStream.range(0, states.size()).asDoubleStream().toArray(), states.stream().mapToDouble(value).toArray(), colour,
        Charts.BOLD);
  }

  // A logarithmic axis has no place for what is 0 or less: quadratically greedy steps may go backwards.
  private static void positive(XYChart chart, EdgeTrace trace, double[] steps, double[] values) {
    final int[] shown = IntStream.range(0, values.length).filter(i -> values[i] > 0).toArray();
    if (shown.length > 0)
      line(
          chart, trace.run().title(), IntStream.of(shown).mapToDouble(i -> steps[i]).toArray(),
          IntStream.of(shown).mapToDouble(i -> values[i]).toArray(), trace.run().colour(), Charts.FINE);
  }

  // With a point more after the first: where all are equally spaced XChart puts ticks at odd numbers.
  private static void line(XYChart chart, String title, double[] steps, double[] values, Color colour, float width) {
    Charts.line(chart, title, more(steps, 0.5), more(values, 0), colour, width);
  }

  private static double[] more(double[] values, double further) {
    final double[] longer = new double[values.length + 1];
    System.arraycopy(values, 0, longer, 1, values.length);
    longer[0] = values[0];
    longer[1] = values[0] + further;
    return longer;
  }

  private static void horizontal(XYChart chart, double value, int steps) {
    Charts.line(chart, "edge", new double[] {0, steps}, new double[] {value, value}, Color.GRAY, Charts.FINE).setShowInLegend(false);
  }

  private static XYChart logarithmic(String title, String vertical) {
    final XYChart chart = Charts.chart(title, vertical, Styler.LegendPosition.InsideSW);
    chart.getStyler().setYAxisLogarithmic(true).setYAxisDecimalPattern("0E0").setLegendVisible(false);
    return chart;
  }

  private static void save(int columns, List<XYChart> charts, Path file) throws IOException {
    final List<BufferedImage> images = charts.stream().map(BitmapEncoder::getBufferedImage).toList();
    ImageIO.write(Charts.beside(columns, images), "png", file.toFile());
  }
}
