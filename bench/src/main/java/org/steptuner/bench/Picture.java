// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.knowm.xchart.BitmapEncoder;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.style.Styler;

/** Two charts over the number of elements, all threads, float32: throughput of sweeps, and steps against libtorch's. */
final class Picture {
  private static final List<String> SWEEPS =
      List.of(
          "fixed_rate/adam", "fixed_rate/lion", "mechanic_observe", "mechanic_apply/adam", "copy, streaming stores",
          "triad, streaming stores");

  private Picture() {}

  /** False where there is nothing to show. */
  static boolean write(Path file, List<Row> rows) throws IOException {
    final int threads = rows.stream().mapToInt(Row::threads).max().orElse(1);
    boolean sweeps = false;
    boolean peers = false;
    final XYChart throughput = chart("Sweeps, " + threads + " threads, float32", "GB/s", Styler.LegendPosition.InsideNE);
    for (String sweep : SWEEPS)
      sweeps |=
          series(
              throughput, sweep,
              rows.stream().filter(r -> r.benchmark().equals(sweep) && r.dtype().equals("float32") && r.threads() == threads).toList(),
              Row::gbPerSecond);
    final XYChart steps =
        chart("Steps, " + threads + " threads, float32", "time over " + StepSuite.FUSED, Styler.LegendPosition.InsideSE);
    for (String step : List.of(StepSuite.ADAMW, StepSuite.ADAMW_GUARDED, StepSuite.MECHANIC))
      peers |=
          series(
              steps, step,
              rows.stream().filter(r -> r.benchmark().equals(step) && r.threads() == threads && StepSuite.FUSED.equals(r.peer())).toList(),
              Row::timeOverPeer);
    final List<XYChart> charts = new ArrayList<>();
    if (sweeps) charts.add(throughput);
    if (peers) charts.add(steps);
    if (charts.isEmpty()) return false;
    BitmapEncoder.saveBitmap(charts, 1, charts.size(), file.toString(), BitmapEncoder.BitmapFormat.PNG);
    return true;
  }

  private static XYChart chart(String title, String unit, Styler.LegendPosition legend) {
    final XYChart chart = new XYChartBuilder().width(760).height(460).title(title).xAxisTitle("elements").yAxisTitle(unit).build();
    chart.getStyler().setXAxisLogarithmic(true);
    chart.getStyler().setYAxisMin(0.0);
    chart.getStyler().setLegendPosition(legend);
    return chart;
  }

  private static boolean series(XYChart chart, String name, List<Row> rows, Function<Row, Double> value) {
    final List<Row> shown =
        rows.stream().filter(row -> value.apply(row) != null).sorted((a, b) -> Long.compare(a.size(), b.size())).toList();
    if (shown.isEmpty()) return false;
    chart.addSeries(name, shown.stream().mapToDouble(Row::size).toArray(), shown.stream().mapToDouble(value::apply).toArray());
    return true;
  }
}
