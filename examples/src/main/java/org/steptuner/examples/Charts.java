// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.awt.Graphics2D;
import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** The pictures of the runs with Mechanic: loss against step, learned scale against step, and both side by side. */
final class Charts {
  static final int WIDTH = 760;
  static final int HEIGHT = 520;
  private static final double MEMORY = 50;
  // Enough for a picture; and XChart puts ticks at odd numbers where all steps from 1 on have a point.
  private static final int EVERY = 2;
  static final float FINE = 1.2f;
  static final float BOLD = 2.4f;

  // Okabe and Ito's colours, which the colour-blind tell apart.
  private static final Map<String, Color> COLOURS =
      Map.of(
          "adamw-1e-3", new Color(0x000000),
          "adamw-1e-5", new Color(0x999999),
          "mechanic-adamw", new Color(0x0072B2),
          "mechanic-lion", new Color(0xD55E00),
          "mechanic-adamw-per-layer", new Color(0x009E73));

  private Charts() {}

  /** Writes loss.png, rate.png and fashion-mnist.png. */
  static void write(List<Outcome> outcomes, Path folder) throws IOException {
    final BufferedImage loss = BitmapEncoder.getBufferedImage(losses(outcomes));
    final BufferedImage rate = BitmapEncoder.getBufferedImage(rates(outcomes));
    ImageIO.write(loss, "png", folder.resolve("loss.png").toFile());
    ImageIO.write(rate, "png", folder.resolve("rate.png").toFile());
    ImageIO.write(beside(2, List.of(loss, rate)), "png", folder.resolve("fashion-mnist.png").toFile());
  }

  /** Pictures of one size as one, some in a row. */
  static BufferedImage beside(int columns, List<BufferedImage> pictures) {
    final int rows = (pictures.size() + columns - 1) / columns;
    final BufferedImage all = new BufferedImage(columns * WIDTH, rows * HEIGHT, BufferedImage.TYPE_INT_RGB);
    final Graphics2D graphics = all.createGraphics();
    for (int i = 0; i < pictures.size(); ++i) graphics.drawImage(pictures.get(i), i % columns * WIDTH, i / columns * HEIGHT, null);
    graphics.dispose();
    return all;
  }

  private static XYChart losses(List<Outcome> outcomes) {
    final XYChart chart = chart("Training loss (mean of about the last 50 batches)", "cross entropy", Styler.LegendPosition.InsideNE);
    chart.getStyler().setYAxisMin(0.2).setYAxisMax(1.4);
    for (Outcome outcome : outcomes)
      line(chart, outcome, outcome.run().title(), outcome.smoothLosses(MEMORY), BOLD);
    return chart;
  }

  private static XYChart rates(List<Outcome> outcomes) {
    final XYChart chart = chart("Effective rate (dashed: a fixed rate)", "rate", Styler.LegendPosition.InsideSE);
    // From so far down that the legend hides no line.
    chart.getStyler().setYAxisLogarithmic(true).setYAxisMin(1e-9).setYAxisMax(1e-2).setYAxisDecimalPattern("0E0");
    for (Outcome outcome : outcomes) {
      if (outcome.run().fixedRate()) fixed(chart, outcome);
      else
        for (int scope = 0; scope < outcome.scopes(); ++scope) {
          final int which = scope;
          final double[] rates = new double[outcome.steps()];
          Arrays.setAll(rates, step -> outcome.rate(which, step));
          final String name = outcome.run().title() + " " + outcome.scope(scope);
          final XYSeries line = line(chart, outcome, name, rates, outcome.scopes() > 1 ? FINE : BOLD);
          line.setLabel(outcome.run().title()).setShowInLegend(scope == 0);
        }
    }
    return chart;
  }

  // Two points: dashes begin anew at every point.
  private static void fixed(XYChart chart, Outcome outcome) {
    final double[] ends = {1, outcome.steps()};
    final double[] rates = {outcome.rate(0, 0), outcome.rate(0, 0)};
    final XYSeries line = line(chart, outcome, outcome.run().title(), ends, rates, BOLD);
    line.setLineStyle(new BasicStroke(BOLD, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 1, new float[] {8, 6}, 0));
  }

  private static XYSeries line(XYChart chart, Outcome outcome, String name, double[] values, float width) {
    return line(chart, name, values, colour(outcome), width);
  }

  private static XYSeries line(XYChart chart, Outcome outcome, String name, double[] steps, double[] values, float width) {
    return line(chart, name, steps, values, colour(outcome), width);
  }

  private static Color colour(Outcome outcome) {
    return COLOURS.getOrDefault(outcome.run().name(), Color.MAGENTA);
  }

  /** A line through a value for every step. */
  static XYSeries line(XYChart chart, String name, double[] values, Color colour, float width) {
    final int[] shown = IntStream.range(0, values.length).filter(i -> i == 0 || (i + 1) % EVERY == 0).toArray();
    final double[] steps = Arrays.stream(shown).mapToDouble(i -> i + 1).toArray();
    return line(chart, name, steps, Arrays.stream(shown).mapToDouble(i -> values[i]).toArray(), colour, width);
  }

  /** A line through values at some steps, which ascend. */
  static XYSeries line(XYChart chart, String name, double[] steps, double[] values, Color colour, float width) {
    final XYSeries line = chart.addSeries(name, steps, values);
    line.setMarker(SeriesMarkers.NONE).setLineColor(colour).setLineWidth(width);
    chart.getStyler().setXAxisMax(steps[steps.length - 1]);
    return line;
  }

  static XYChart chart(String title, String vertical, Styler.LegendPosition legend) {
    final XYChart chart =
        new XYChartBuilder().width(WIDTH).height(HEIGHT).title(title).xAxisTitle("step").yAxisTitle(vertical).build();
    final Font text = new Font(Font.SANS_SERIF, Font.PLAIN, 15);
    chart
        .getStyler()
        .setChartBackgroundColor(Color.WHITE)
        .setChartTitleFont(text.deriveFont(Font.BOLD, 18f))
        .setChartTitleBoxVisible(false)
        .setLegendFont(text)
        .setLegendPosition(legend)
        .setLegendBorderColor(Color.LIGHT_GRAY);
    chart.getStyler().setXAxisMin(0.0).setXAxisTickMarkSpacingHint(100).setXAxisDecimalPattern("0");
    chart.getStyler().setAxisTitleFont(text).setAxisTickLabelsFont(text);
    chart.getStyler().setPlotGridLinesColor(new Color(0xE0E0E0)).setPlotBorderVisible(false);
    return chart;
  }
}
