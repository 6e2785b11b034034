// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench.gpu;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** What the stages of {@code prove} left in a folder. A stage that was stopped may have left half a line; all whole ones count. */
final class Results {
  static final String[] PARTS = {"sweeps", "steps", "host", "peers", "compilers"};

  /** What is run, on what, and when: card, driver, capability, date, command. */
  final Map<String, String> run = new LinkedHashMap<>();
  /** Stage, outcome, seconds, and the most seconds that it may take. */
  final List<String[]> stages = new ArrayList<>();
  final Map<String, List<JsonObject>> rows = new LinkedHashMap<>();
  /** What the comparison of bits said of each of its parts. */
  final List<String> bits = new ArrayList<>();
  final List<Profile> profiles;

  Results(Path folder) throws IOException {
    for (String line : lines(folder.resolve("run.tsv"))) {
      final String[] field = line.split("\t", 2);
      if (field.length == 2) run.put(field[0], field[1].strip());
    }
    for (String line : lines(folder.resolve("stages.tsv"))) stages.add(line.split("\t", -1));
    for (String part : PARTS) rows.put(part, objects(folder.resolve(part + ".jsonl")));
    for (String line : lines(folder.resolve("bits.log"))) if (line.contains("kernels and type pairs on")) bits.add(line.strip());
    profiles = Profile.read(lines(folder.resolve("ncu.csv")), objects(folder.resolve("profiled.jsonl")));
  }

  List<JsonObject> of(String part) {
    return rows.get(part);
  }

  /** Of peers and of compilers. */
  List<JsonObject> others() {
    final List<JsonObject> both = new ArrayList<>(of("peers"));
    both.addAll(of("compilers"));
    return both;
  }

  /** How a stage went; "not run" if it did not. */
  String outcome(String stage) {
    return stages.stream().filter(field -> field[0].equals(stage)).map(field -> field[1]).findFirst().orElse("not run");
  }

  static String text(JsonObject row, String key) {
    return row.get(key).getAsString();
  }

  static double number(JsonObject row, String key) {
    return row.get(key).getAsDouble();
  }

  /** Nothing where the row has no such number. */
  static String optional(JsonObject row, String key, String format) {
    final JsonElement value = row.get(key);
    return value == null ? "" : String.format(Locale.ROOT, format, value.getAsDouble());
  }

  static boolean sameShape(JsonObject a, JsonObject b) {
    return number(a, "tensors") == number(b, "tensors") && number(a, "size") == number(b, "size")
        && text(a, "dtype").equals(text(b, "dtype"));
  }

  private static List<String> lines(Path file) throws IOException {
    return Files.exists(file) ? Files.readAllLines(file) : List.of();
  }

  private static List<JsonObject> objects(Path file) throws IOException {
    final List<JsonObject> read = new ArrayList<>();
    for (String line : lines(file))
      if (line.startsWith("{") && line.endsWith("}")) read.add(JsonParser.parseString(line).getAsJsonObject());
    return read;
  }
}
