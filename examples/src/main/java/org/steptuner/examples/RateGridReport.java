// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.style.Styler;

/**
 * The results of the grids: for each set, method and rate the final loss over the best one.
 *
 * @param setting what the runs have in common, by name
 */
record RateGridReport(Map<String, Object> setting, List<RateGrid.Result> results) {
  // What is worse is drawn here.
  private static final double WORST = 1000;
  private static final int IN_A_ROW = 2;

  /** For each set a table, as Markdown: a row for each method, a column for each rate. */
  String tables() {
    final StringBuilder text = new StringBuilder();
    for (RateGrid.Result result : results) {
      text.append(String.format(Locale.ROOT, "| %-27s |", title(result)));
      for (double rate : RateGrid.RATES) text.append(String.format(" %8s |", MetaOptimizeRuns.text(rate)));
      text.append("\n|---|").append("--:|".repeat(RateGrid.RATES.length)).append('\n');
      for (int m = 0; m < result.rows().size(); ++m) {
        text.append(String.format(Locale.ROOT, "| %-27s |", result.rows().get(m).method()));
        for (double ratio : result.ratios(m)) text.append(String.format(" %8s |", SuiteReport.text(ratio)));
        text.append('\n');
      }
      text.append('\n');
    }
    return text.toString();
  }

  /** Writes result.json, with the loss of every run. */
  void write(Path folder) throws IOException {
    ResultFile.writeJson(this, folder);
    Files.writeString(folder.resolve("tables.md"), tables());
  }

  /** Writes rates.png: for each set the ratios against the rate. */
  void draw(Path folder) throws IOException {
    final List<BufferedImage> pictures = new ArrayList<>();
    for (RateGrid.Result result : results) pictures.add(BitmapEncoder.getBufferedImage(chart(result)));
    ImageIO.write(Charts.beside(Math.min(IN_A_ROW, pictures.size()), pictures), "png", folder.resolve("rates.png").toFile());
  }

  private static String title(RateGrid.Result result) {
    return result.set() + ", batch " + result.batch();
  }

  private static XYChart chart(RateGrid.Result result) {
    final XYChart chart = Charts.chart(title(result), "final loss over the best", Styler.LegendPosition.InsideN); // where no line is
    chart.setXAxisTitle("initial rate, power of ten");
    chart.getStyler().setYAxisLogarithmic(true).setYAxisMin(0.9).setYAxisMax(WORST).setYAxisDecimalPattern("0");
    final double[] powers = Arrays.stream(RateGrid.RATES).map(rate -> Math.rint(Math.log10(rate))).toArray();
    for (int m = 0; m < result.rows().size(); ++m) {
      final double[] ratios = result.ratios(m);
      final double[] shown = IntStream.range(0, ratios.length).mapToDouble(i -> ratios[i] < WORST ? ratios[i] : WORST).toArray();
      final RateGrid.Method method = RateGrid.METHODS.get(m);
      Charts.line(chart, method.name(), powers, shown, method.colour(), Charts.BOLD);
    }
    chart.getStyler().setXAxisMin(powers[0]).setXAxisMax(powers[powers.length - 1]);
    return chart;
  }
}
