// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench.gpu;

import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
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
 * <p>{@code Report FOLDER TITLE}
 */
public final class Report {
  private static final String[] PARTS = {"sweeps", "steps", "host", "peers"};
  private static final double COPY_SHARE = 0.9;
  private static final double MECHANIC_BOUND = 1.65;
  private static final String FUSED = "PyTorch AdamW, fused";

  private final Map<String, List<JsonObject>> rows = new TreeMap<>();
  private final StringBuilder page = new StringBuilder();

  private Report() {}

  public static void main(String[] arguments) throws IOException {
    final Path folder = Path.of(arguments[0]);
    new Report().write(folder, arguments[1]);
  }

  private void write(Path folder, String title) throws IOException {
    final JsonObject all = new JsonObject();
    all.addProperty("title", title);
    final JsonArray stages = new JsonArray();
    page.append("# ").append(title).append("\n\n| stage | outcome | seconds |\n|---|---|---|\n");
    for (String line : Files.readAllLines(folder.resolve("stages.tsv"))) {
      final String[] field = line.split("\t", -1);
      final JsonObject stage = new JsonObject();
      stage.addProperty("stage", field[0]);
      stage.addProperty("outcome", field[1]);
      stage.addProperty("seconds", Double.parseDouble(field[2]));
      stages.add(stage);
      page.append("| ").append(String.join(" | ", field)).append(" |\n");
    }
    all.add("stages", stages);
    for (String part : PARTS) {
      final List<JsonObject> read = read(folder.resolve(part + ".jsonl"));
      rows.put(part, read);
      final JsonArray array = new JsonArray();
      read.forEach(array::add);
      all.add(part, array);
    }
    targets();
    steps();
    sweeps();
    hostTimes();
    Files.writeString(folder.resolve("result.json"), new GsonBuilder().setPrettyPrinting().create().toJson(all) + "\n");
    Files.writeString(folder.resolve("result.md"), page);
  }

  // A stage that was stopped may have left half a line; all whole ones count.
  private static List<JsonObject> read(Path file) throws IOException {
    final List<JsonObject> read = new ArrayList<>();
    if (Files.exists(file))
      for (String line : Files.readAllLines(file))
        if (line.startsWith("{") && line.endsWith("}")) read.add(JsonParser.parseString(line).getAsJsonObject());
    return read;
  }

  private void targets() {
    page.append("\n## Targets\n\n");
    final List<JsonObject> large = rows.get("sweeps").stream()
        .filter(row -> number(row, "size") >= 1e7 && text(row, "dtype").equals("float32")).toList();
    final long good = large.stream().filter(row -> number(row, "fractionOfCeiling") >= COPY_SHARE).count();
    line("- Sweeps in float32 from d = 1e7 at %.0f %% of the copy or more: %s", 100 * COPY_SHARE,
        large.isEmpty() ? "not measured" : good + " of " + large.size());
    for (JsonObject fused : rows.get("peers"))
      if (text(fused, "benchmark").equals(FUSED))
        for (JsonObject ours : rows.get("steps"))
          if (text(ours, "benchmark").equals("Mechanic over AdamW") && sameShape(ours, fused) && number(ours, "size") >= 1e7)
            line("- Mechanic over AdamW / %s, %s: %.3f (at most %.2f)", FUSED, shape(ours),
                number(ours, "timeNs") / number(fused, "timeNs"), MECHANIC_BOUND);
    if (rows.get("peers").isEmpty()) line("- Against PyTorch's fused AdamW: not measured");
  }

  private void steps() {
    if (rows.get("steps").isEmpty()) return;
    page.append("\n## Steps\n\n| step | tensors | µs | words | GB/s | over fused AdamW |\n|---|---|---|---|---|---|\n");
    final List<JsonObject> all = new ArrayList<>(rows.get("steps"));
    all.addAll(rows.get("peers"));
    for (JsonObject row : all) {
      final double fused = rows.get("peers").stream().filter(peer -> text(peer, "benchmark").equals(FUSED) && sameShape(peer, row))
          .mapToDouble(peer -> number(peer, "timeNs")).findFirst().orElse(Double.NaN);
      line("| %s | %s | %.1f | %s | %s | %s |", text(row, "benchmark"), shape(row), number(row, "timeNs") / 1e3,
          optional(row, "wordsPerElement", "%.2f"), optional(row, "gbPerSecond", "%.0f"),
          Double.isNaN(fused) ? "" : String.format(Locale.ROOT, "%.3f", number(row, "timeNs") / fused));
    }
  }

  private void sweeps() {
    if (rows.get("sweeps").isEmpty()) return;
    final Map<String, Map<Double, JsonObject>> table = new TreeMap<>();
    final Map<Double, Boolean> sizes = new TreeMap<>();
    for (JsonObject row : rows.get("sweeps")) {
      table.computeIfAbsent(text(row, "benchmark") + ", " + text(row, "dtype"), key -> new TreeMap<>()).put(number(row, "size"), row);
      sizes.put(number(row, "size"), true);
    }
    page.append("\n## Sweeps: GB/s, and the share of a copy that moves as many bytes\n\n| sweep | bytes an element |");
    sizes.keySet().forEach(size -> page.append(String.format(Locale.ROOT, " %.0e |", size)));
    page.append("\n|---|---|").append("---|".repeat(sizes.size())).append('\n');
    table.forEach((name, bySize) -> {
      page.append("| ").append(name).append(" | ");
      page.append(optional(bySize.values().iterator().next(), "bytesPerElement", "%.1f")).append(" |");
      for (Double size : sizes.keySet()) {
        final JsonObject row = bySize.get(size);
        page.append(
            row == null
                ? " |"
                : String.format(Locale.ROOT, " %.0f, %.2f |", number(row, "gbPerSecond"), number(row, "fractionOfCeiling")));
      }
      page.append('\n');
    });
  }

  private void hostTimes() {
    if (rows.get("host").isEmpty()) return;
    page.append("\n## What a step over 1,000 elements costs its caller\n\n| step | µs | heap bytes |\n|---|---|---|\n");
    for (JsonObject row : rows.get("host"))
      line("| %s | %.2f | %.3f |", text(row, "benchmark"), number(row, "hostNs") / 1e3, number(row, "allocatedBytesPerOp"));
  }

  private void line(String format, Object... values) {
    page.append(String.format(Locale.ROOT, format, values)).append('\n');
  }

  private static boolean sameShape(JsonObject a, JsonObject b) {
    return number(a, "tensors") == number(b, "tensors") && number(a, "size") == number(b, "size");
  }

  private static String shape(JsonObject row) {
    final double tensors = number(row, "tensors");
    return String.format(Locale.ROOT, "%.0f of %.0f", tensors, number(row, "size") / tensors);
  }

  private static String optional(JsonObject row, String key, String format) {
    final JsonElement value = row.get(key);
    return value == null ? "" : String.format(Locale.ROOT, format, value.getAsDouble());
  }

  private static String text(JsonObject row, String key) {
    return row.get(key).getAsString();
  }

  private static double number(JsonObject row, String key) {
    return row.get(key).getAsDouble();
  }
}
