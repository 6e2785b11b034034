// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench.gpu;

import com.google.gson.JsonObject;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * What the profiler measured in one launch: a line of {@code ncu --page raw --csv --print-units base}.
 *
 * @param kernel the kernel's name without its arguments
 * @param values numbers by the profiler's names
 * @param what which sweep it was, of what type and size; null if that is not known
 */
record Profile(String kernel, Map<String, Double> values, JsonObject what) {
  private static final Pattern STALL = Pattern.compile("smsp__average_warps_issue_stalled_(\\w+?)_per_issue_active(?:\\.ratio)?");
  private static final int REASONS = 3;

  /**
   * @param lines the profiler's, whose first one with a column "Kernel Name" says what the columns are
   * @param launches which sweeps were launched, in their order
   */
  static List<Profile> read(List<String> lines, List<JsonObject> launches) {
    List<String> names = null;
    final List<Profile> found = new ArrayList<>();
    for (String line : lines) {
      final List<String> cells = cells(line);
      if (names == null) {
        if (cells.contains("Kernel Name")) names = cells;
        continue;
      }
      final Map<String, Double> values = new LinkedHashMap<>();
      for (int i = 0; i < Math.min(cells.size(), names.size()); ++i) {
        final Double value = number(cells.get(i));
        // The profiler's own numbers; others number launches, processes and devices.
        if (value != null && names.get(i).contains("__")) values.put(names.get(i), value);
      }
      final int at = names.indexOf("Kernel Name");
      // The line after the names has their units, and no kernel.
      if (at < cells.size() && !cells.get(at).isEmpty())
        found.add(new Profile(cells.get(at).replaceFirst("^void ", "").replace("steptuner::", "").replaceFirst("\\(.*", ""), values, null));
    }
    if (found.size() != launches.size()) return found;
    for (int i = 0; i < found.size(); ++i) found.set(i, new Profile(found.get(i).kernel, found.get(i).values, launches.get(i)));
    return found;
  }

  /** The number that is called so; NaN if it was not measured. */
  double of(String name) {
    return values.getOrDefault(name, Double.NaN);
  }

  /** What warps wait for most, each with the cycles that an instruction waits for it. */
  String stalls() {
    final Map<String, Double> stalls = new LinkedHashMap<>();
    values.forEach((name, value) -> {
      final Matcher stall = STALL.matcher(name);
      if (stall.matches() && !stall.group(1).contains("not_issued")) stalls.put(stall.group(1), value);
    });
    return stalls.entrySet().stream().sorted(Map.Entry.<String, Double>comparingByValue(Comparator.reverseOrder())).limit(REASONS)
        .map(stall -> String.format(Locale.ROOT, "%s %.1f", stall.getKey().replace('_', ' '), stall.getValue()))
        .collect(Collectors.joining(", "));
  }

  private static Double number(String cell) {
    try {
      return Double.valueOf(cell.replace(",", ""));
    } catch (NumberFormatException e) {
      return null;
    }
  }

  // Cells between commas; those in quotes may have commas themselves.
  private static List<String> cells(String line) {
    final List<String> cells = new ArrayList<>();
    final StringBuilder cell = new StringBuilder();
    boolean quoted = false;
    for (char c : line.toCharArray())
      if (c == '"') {
        quoted = !quoted;
      } else if (c == ',' && !quoted) {
        cells.add(cell.toString());
        cell.setLength(0);
      } else {
        cell.append(c);
      }
    cells.add(cell.toString());
    return cells;
  }
}
