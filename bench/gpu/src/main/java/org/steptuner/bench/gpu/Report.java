// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench.gpu;

import static org.steptuner.bench.gpu.Results.number;
import static org.steptuner.bench.gpu.Results.optional;
import static org.steptuner.bench.gpu.Results.sameShape;
import static org.steptuner.bench.gpu.Results.text;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/**
 * Puts what the stages of {@code prove} left in a folder into one JSON file and one page.
 *
 * <p>{@code Report FOLDER}
 */
public final class Report {
  private final StringBuilder page = new StringBuilder();
  private final Results results;

  private Report(Results results) {
    this.results = results;
  }

  public static void main(String[] arguments) throws IOException {
    final Path folder = Path.of(arguments[0]);
    final Report report = new Report(new Results(folder));
    Files.writeString(folder.resolve("result.json"), new GsonBuilder().setPrettyPrinting().create().toJson(report.json()) + "\n");
    Files.writeString(folder.resolve("result.md"), report.page());
  }

  private JsonObject json() {
    final JsonObject all = new JsonObject();
    results.run.forEach(all::addProperty);
    final JsonArray stages = new JsonArray();
    for (String[] field : results.stages) {
      final JsonObject stage = new JsonObject();
      stage.addProperty("stage", field[0]);
      stage.addProperty("outcome", field[1]);
      stage.addProperty("seconds", Double.parseDouble(field[2]));
      stages.add(stage);
    }
    all.add("stages", stages);
    results.rows.forEach((part, rows) -> {
      final JsonArray array = new JsonArray();
      rows.forEach(array::add);
      all.add(part, array);
    });
    final JsonArray profiles = new JsonArray();
    for (Profile profile : results.profiles) {
      final JsonObject object = profile.what() == null ? new JsonObject() : profile.what().deepCopy();
      object.addProperty("kernel", profile.kernel());
      final JsonObject values = new JsonObject();
      profile.values().forEach(values::addProperty);
      object.add("values", values);
      profiles.add(object);
    }
    all.add("profiles", profiles);
    return all;
  }

  private String page() {
    line("# %s, %s", results.run.getOrDefault("card", "no card"), results.run.getOrDefault("date", "no date"));
    line(
        "\nDriver %s, compute capability %s. `%s`\n\n| stage | outcome | seconds | at most |\n|---|---|---|---|",
        or(results.run.get("driver")), or(results.run.get("capability")), results.run.getOrDefault("command", "").strip());
    for (String[] field : results.stages) line("| %s |", String.join(" | ", field));
    line("\n## Aims\n\n| aim | outcome | measured |\n|---|---|---|");
    Targets.of(results).forEach(row -> line("%s", row));
    if (!results.bits.isEmpty()) line("\n## Bits\n\n- %s", String.join("\n- ", results.bits));
    steps();
    for (String type : new String[] {"float32", "bfloat16"}) sweeps(type);
    hostTimes();
    profiles();
    return page.toString();
  }

  private void steps() {
    final List<JsonObject> all = new ArrayList<>(results.of("steps"));
    all.addAll(results.others());
    if (all.isEmpty()) return;
    line("\n## Steps\n\n| step | tensors | type | µs | words | GB/s | over fused AdamW |\n|---|---|---|---|---|---|---|");
    for (JsonObject row : all) {
      final double fused =
          results.of("peers").stream().filter(peer -> text(peer, "benchmark").equals(Targets.FUSED) && sameShape(peer, row))
              .mapToDouble(peer -> number(peer, "timeNs")).findFirst().orElse(Double.NaN);
      line(
          "| %s | %s | %s | %.1f | %s | %s | %s |", text(row, "benchmark"), shape(row), text(row, "dtype"), number(row, "timeNs") / 1e3,
          optional(row, "wordsPerElement", "%.2f"), optional(row, "gbPerSecond", "%.0f"),
          Double.isNaN(fused) ? "" : String.format(Locale.ROOT, "%.3f", number(row, "timeNs") / fused));
    }
  }

  private void sweeps(String type) {
    final Map<String, Map<Double, JsonObject>> table = new TreeMap<>();
    final Map<Double, Boolean> sizes = new TreeMap<>();
    for (JsonObject row : results.of("sweeps"))
      if (text(row, "dtype").equals(type)) {
        table.computeIfAbsent(text(row, "benchmark"), key -> new TreeMap<>()).put(number(row, "size"), row);
        sizes.put(number(row, "size"), true);
      }
    if (table.isEmpty()) return;
    line("\n## Sweeps in %s: µs, GB/s, and the share of the twin's speed", type);
    line("\nThe twin reads and writes the same arrays, adds what it has read where the sweep has sums, and computes nothing else.");
    for (JsonObject row : results.of("sweeps"))
      if (text(row, "benchmark").equals("copy"))
        line("A copy of %.0f MB moves %.0f GB/s.", number(row, "size") / 1e6, number(row, "gbPerSecond"));
    page.append("\n| sweep | bytes an element |");
    sizes.keySet().forEach(size -> page.append(String.format(Locale.ROOT, " %.0e |", size)));
    page.append("\n|---|---|").append("---|".repeat(sizes.size())).append('\n');
    table.forEach((name, bySize) -> {
      page.append("| ").append(name.replaceFirst("^sweep/", "")).append(" | ");
      page.append(optional(bySize.values().iterator().next(), "bytesPerElement", "%.1f")).append(" |");
      for (Double size : sizes.keySet()) {
        final JsonObject row = bySize.get(size);
        page.append(
            row == null
                ? " |"
                : String.format(
                    Locale.ROOT, " %.1f, %.0f, **%.2f** |", number(row, "timeNs") / 1e3, number(row, "gbPerSecond"),
                    number(row, "shareOfTwin")));
      }
      page.append('\n');
    });
  }

  private void hostTimes() {
    if (results.of("host").isEmpty()) return;
    line("\n## What a step over 1,000 elements costs its caller");
    line("\nMeasured over 100 steps at a time, with the device waited for in between: its queue of launches is never full.");
    line("\n| step | µs | heap bytes |\n|---|---|---|");
    for (JsonObject row : results.of("host"))
      line("| %s | %.2f | %.3f |", text(row, "benchmark"), number(row, "hostNs") / 1e3, number(row, "allocatedBytesPerOp"));
  }

  private void profiles() {
    if (results.profiles.isEmpty()) return;
    line("\n## What the profiler says");
    line("\nClocks as they were, caches empty before each launch. Waiting: cycles that a warp waits for its next instruction.");
    line(
        "\n| sweep | elements | kernel | µs | DRAM %% | GB/s | registers | occupancy %% | blocks | instructions | waiting |"
            + "\n|---|---|---|---|---|---|---|---|---|---|---|");
    for (Profile profile : results.profiles) {
      final JsonObject what = profile.what();
      line(
          "| %s | %s | %s | %.1f | %.1f | %.0f | %.0f | %.1f | %.0f | %.0f | %s |",
          what == null ? "" : text(what, "benchmark").replaceFirst("^sweep/", ""),
          what == null ? "" : String.format(Locale.ROOT, "%.0e %s", number(what, "size"), text(what, "dtype")), profile.kernel(),
          profile.of("gpu__time_duration.sum") / 1e3, profile.of("gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed"),
          profile.of("dram__bytes.sum.per_second") / 1e9, profile.of("launch__registers_per_thread"),
          profile.of("sm__warps_active.avg.pct_of_peak_sustained_active"), profile.of("launch__grid_size"),
          profile.of("smsp__inst_executed.sum"), profile.stalls());
    }
  }

  private void line(String format, Object... values) {
    page.append(String.format(Locale.ROOT, format, values)).append('\n');
  }

  private static String or(String value) {
    return value == null || value.isEmpty() ? "unknown" : value;
  }

  private static String shape(JsonObject row) {
    final double tensors = number(row, "tensors");
    return String.format(Locale.ROOT, "%.0f of %.0f", tensors, number(row, "size") / tensors);
  }
}
