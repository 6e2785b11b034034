// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.awt.Color;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;
import javax.imageio.ImageIO;
import org.knowm.xchart.AnnotationText;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.style.Styler;
import org.knowm.xchart.style.markers.SeriesMarkers;

/**
 * The results of {@link StorageJob}.
 *
 * @param device that the optimizer ran on
 */
record StorageReport(List<StorageReport.Row> rows, int epochs, int seeds, String device) {
  private static final Color[] COLOURS = {new Color(0x0072B2), new Color(0xE69F00), new Color(0xD55E00)};

  /**
   * Runs of one kind.
   *
   * @param accuracies of the test after the last epoch, by seed
   * @param losses a mean of the last batches', by seed
   */
  record Row(StorageRuns.Tuner tuner, StorageRuns.Storage storage, double[] accuracies, double[] losses) {
    double accuracy() {
      return Arrays.stream(accuracies).average().orElse(Double.NaN);
    }
  }

  /** As Markdown: a line for each tuner and storage. */
  String table() {
    final StringBuilder text = new StringBuilder();
    text.append("| tuner | stored | test accuracy by seed | mean | minus float32's mean, points | training loss |\n");
    text.append("|---|---|---|--:|--:|--:|\n");
    for (Row row : rows) {
      final double loss = Arrays.stream(row.losses).average().orElse(Double.NaN);
      text.append(
          String.format(
              Locale.ROOT, "| %s | %s | %s | %.4f | %+.2f | %.4f |%n", row.tuner.title(), row.storage.title(), texts(row.accuracies),
              row.accuracy(), 100 * (row.accuracy() - inFloat32(row.tuner).accuracy()), loss));
    }
    return text.toString();
  }

  /** Writes result.json and storage.md. */
  void write(Path folder) throws IOException {
    ResultFile.writeJson(this, folder);
    Files.writeString(folder.resolve("storage.md"), table());
  }

  /** Writes storage.png: the accuracy of every run. */
  void draw(Path folder) throws IOException {
    final XYChart chart =
        new XYChartBuilder()
            .width(900)
            .height(420)
            .title("Fashion-MNIST after " + epochs + " epochs, " + seeds + " seeds")
            .yAxisTitle("test accuracy")
            .build();
    chart.getStyler().setChartBackgroundColor(Color.WHITE).setLegendPosition(Styler.LegendPosition.OutsideS);
    chart.getStyler().setLegendLayout(Styler.LegendLayout.Horizontal);
    chart.getStyler().setDefaultSeriesRenderStyle(XYSeries.XYSeriesRenderStyle.Scatter).setMarkerSize(9);
    final StorageRuns.Tuner[] tuners = StorageRuns.Tuner.values();
    chart.getStyler().setXAxisMin(-0.5).setXAxisMax(tuners.length - 0.5);
    chart.getStyler().setXAxisTicksVisible(false).setPlotGridVerticalLinesVisible(false);
    final double[] all = rows.stream().flatMapToDouble(row -> Arrays.stream(row.accuracies)).sorted().toArray();
    final double room = Math.max(1e-3, 0.08 * (all[all.length - 1] - all[0]));
    chart.getStyler().setYAxisMin(all[0] - 2 * room).setYAxisMax(all[all.length - 1] + room);
    for (StorageRuns.Tuner tuner : tuners) chart.addAnnotation(new AnnotationText(tuner.title(), tuner.ordinal(), all[0] - room, false));
    for (StorageRuns.Storage storage : StorageRuns.Storage.values()) {
      final List<Double> x = new ArrayList<>();
      final List<Double> y = new ArrayList<>();
      for (Row row : rows) {
        if (row.storage != storage) continue;
        for (double accuracy : row.accuracies) {
          x.add(row.tuner.ordinal() + 0.2 * (storage.ordinal() - 1));
          y.add(accuracy);
        }
      }
      chart.addSeries(storage.title(), x, y).setMarker(SeriesMarkers.CIRCLE).setMarkerColor(COLOURS[storage.ordinal()]);
    }
    ImageIO.write(BitmapEncoder.getBufferedImage(chart), "png", folder.resolve("storage.png").toFile());
  }

  private Row inFloat32(StorageRuns.Tuner tuner) {
    return rows.stream().filter(row -> row.tuner == tuner && row.storage == StorageRuns.Storage.FLOAT32).findFirst().orElseThrow();
  }

  private static String texts(double[] values) {
    return String.join(" ", IntStream.range(0, values.length).mapToObj(i -> String.format(Locale.ROOT, "%.4f", values[i])).toList());
  }
}
