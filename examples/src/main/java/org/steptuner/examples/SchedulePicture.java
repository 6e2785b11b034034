// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.awt.BasicStroke;
import java.awt.Color;
import java.awt.Font;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import javax.imageio.ImageIO;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler;
import org.knowm.xchart.style.lines.SeriesLines;
import org.knowm.xchart.style.markers.SeriesMarkers;

/** The refined schedules of all sets beside the linear decay that they were made with. */
final class SchedulePicture {
  private static final int POINTS = 300;

  private SchedulePicture() {}

  /** Writes schedules.png. */
  static void write(SuiteReport report, Path folder) throws IOException {
    final XYChart chart =
        new XYChartBuilder()
            .width(900)
            .height(560)
            .title("Schedules refined from |g|_1 of the tuned runs")
            .xAxisTitle("part of the run")
            .yAxisTitle("factor on the rate")
            .build();
    final Font text = new Font(Font.SANS_SERIF, Font.PLAIN, 15);
    chart
        .getStyler()
        .setChartBackgroundColor(Color.WHITE)
        .setChartTitleFont(text.deriveFont(Font.BOLD, 18f))
        .setChartTitleBoxVisible(false)
        .setLegendFont(text)
        .setLegendPosition(Styler.LegendPosition.OutsideE);
    chart.getStyler().setXAxisMin(0.0).setXAxisMax(1.0).setYAxisMin(0.0).setYAxisMax(1.0).setXAxisDecimalPattern("0.0");
    chart.getStyler().setAxisTitleFont(text).setAxisTickLabelsFont(text);
    chart.getStyler().setPlotGridLinesColor(new Color(0xE0E0E0)).setPlotBorderVisible(false);
    final XYSeries linear = chart.addSeries("linear decay", new double[] {0, 1}, new double[] {1, 0});
    linear.setMarker(SeriesMarkers.NONE).setLineColor(Color.BLACK);
    linear.setLineStyle(new BasicStroke(2, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 1, new float[] {8, 6}, 0));
    for (int i = 0; i < report.results().size(); ++i) {
      final double[] factors = report.results().get(i).refined();
      final int[] shown = new int[Math.min(POINTS, factors.length)];
      Arrays.setAll(shown, k -> (int) ((long) k * (factors.length - 1) / Math.max(1, shown.length - 1)));
      chart
          .addSeries(
              report.results().get(i).data().name(),
              Arrays.stream(shown).mapToDouble(t -> (t + 1.0) / factors.length).toArray(),
              Arrays.stream(shown).mapToDouble(t -> factors[t]).toArray())
          .setMarker(SeriesMarkers.NONE)
          .setLineWidth(1.6f)
          .setLineStyle(SeriesLines.SOLID)
          .setLineColor(Color.getHSBColor((float) i / report.results().size(), 0.85f, 0.75f));
    }
    ImageIO.write(BitmapEncoder.getBufferedImage(chart), "png", folder.resolve("schedules.png").toFile());
  }
}
