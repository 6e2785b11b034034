// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.steptuner.ScheduleRefinement;
import org.steptuner.examples.LogisticSuite.Result;
import org.steptuner.examples.LogisticSuite.Run;

/**
 * The suite's results: for each tuner and set the loss as a multiple of the tuned one.
 *
 * @param results of the sets, all with the same runs
 */
record SuiteReport(LogisticSuite.Setting setting, List<Result> results) {
  /** How near to the tuned loss counts as having reached it. */
  static final double NEAR = 1.05;

  private static final Gson GSON = new GsonBuilder().setPrettyPrinting().serializeSpecialFloatingPointValues().create();

  /** The names of what was run beside the grid of Adam. */
  List<String> names() {
    return results.get(0).others().stream().map(Run::name).toList();
  }

  /** A row: the ratios of a tuner on all sets. */
  double[] ratios(int tuner) {
    return results.stream().mapToDouble(result -> result.ratio(result.others().get(tuner))).toArray();
  }

  /** On how many sets a tuner came near to the tuned loss. */
  int near(int tuner) {
    int count = 0;
    for (double ratio : ratios(tuner)) if (ratio <= NEAR) ++count;
    return count;
  }

  /** A ratio for people. */
  static String text(double ratio) {
    if (!(ratio < Double.POSITIVE_INFINITY)) return "diverged";
    return String.format(Locale.ROOT, ratio < 10 ? "%.2f" : ratio < 1000 ? "%.0f" : "%.0e", ratio);
  }

  /** The table, as Markdown. */
  String table() {
    final List<List<String>> lines = new ArrayList<>();
    final List<String> head = new ArrayList<>(List.of("loss / tuned loss", "within 5 %"));
    final List<String> tuned = new ArrayList<>(List.of("tuned loss (Adam, best of the grid)", ""));
    final List<String> rate = new ArrayList<>(List.of("its rate", ""));
    for (Result result : results) {
      head.add(result.data().name());
      tuned.add(String.format(Locale.ROOT, "%.4f", result.tuned().loss()));
      rate.add(String.format(Locale.ROOT, "%.1e", result.tuned().rate()));
    }
    lines.add(head);
    lines.add(head.stream().map(name -> "---").toList());
    lines.add(tuned);
    lines.add(rate);
    for (int i = 0; i < names().size(); ++i) {
      final List<String> line = new ArrayList<>(List.of(names().get(i), near(i) + " of " + results.size()));
      for (double ratio : ratios(i)) line.add(text(ratio));
      lines.add(line);
    }
    final StringBuilder table = new StringBuilder();
    for (List<String> line : lines) {
      for (int i = 0; i < line.size(); ++i) {
        final int column = i;
        final int width = lines.stream().mapToInt(other -> other.get(column).length()).max().orElse(0);
        table.append(String.format(Locale.ROOT, "| %-" + width + "s ", line.get(i)));
      }
      table.append("|\n");
    }
    return table.toString();
  }

  private record Entry(String name, int examples, int features, int classes, int steps, Run tuned, List<Run> grid, List<Run> others) {}

  private record File(LogisticSuite.Setting setting, List<Entry> sets) {}

  /** Writes datasets.json, with everything, datasets.md, the table, and for each set the gradient norms of the tuned run. */
  void write(Path folder) throws IOException {
    final List<Entry> entries =
        results.stream()
            .map(
                r -> new Entry(
                    r.data().name(), r.data().count(), r.data().features(), r.data().classes(), r.steps(), r.tuned(), r.grid(),
                    r.others()))
            .toList();
    Files.writeString(folder.resolve("datasets.json"), GSON.toJson(new File(setting, entries)) + "\n");
    Files.writeString(folder.resolve("datasets.md"), table());
    final Path norms = Files.createDirectories(folder.resolve("gradient-norms"));
    for (Result result : results)
      ScheduleRefinement.save(norms.resolve(result.data().name().replace(' ', '-') + ".txt"), result.norms());
  }
}
