// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench.gpu;

import static org.steptuner.bench.gpu.Results.number;
import static org.steptuner.bench.gpu.Results.sameShape;
import static org.steptuner.bench.gpu.Results.text;

import com.google.gson.JsonObject;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/** What the library aims at on a GPU, and whether it gets there: lines of a table. */
final class Targets {
  static final String FUSED = "PyTorch AdamW, fused";

  private static final String CAPTURED = ", captured";
  private static final String GRAPH = ", graph";
  private static final String ROW = "| %s | %s | %s |";
  private final Results results;
  private final List<String> lines = new ArrayList<>();

  private Targets(Results results) {
    this.results = results;
  }

  /** Of each aim: what it is, whether it is met, and where it is not, by how much. */
  static List<String> of(Results results) {
    final Targets targets = new Targets(results);
    targets.add("All memory and all sums have the CPU's bits", results.outcome("bits").replace("passed", "met"), "");
    targets.shareOfTwin("float32 from 1e8", 0.95, row -> text(row, "dtype").equals("float32") && number(row, "size") >= 1e8);
    targets.shareOfTwin("float32 at 1e7", 0.93, row -> text(row, "dtype").equals("float32") && number(row, "size") == 1e7);
    targets.shareOfTwin("bfloat16 from 1e7", 0.90, row -> text(row, "dtype").equals("bfloat16") && number(row, "size") >= 1e7);
    targets.againstFused("Mechanic over AdamW", 1.50);
    targets.againstFused("AdamW", 0.98);
    targets.smallSteps("read back or not", 12,
        row -> !text(row, "benchmark").endsWith(GRAPH) && !text(row, "benchmark").endsWith(CAPTURED));
    targets.smallSteps("from a CUDA graph", 5, row -> text(row, "benchmark").endsWith(GRAPH));
    return targets.lines;
  }

  private void shareOfTwin(String which, double least, Predicate<JsonObject> wanted) {
    final List<JsonObject> rows = results.of("sweeps").stream().filter(wanted).toList();
    judge(
        String.format(Locale.ROOT, "Sweeps, %s: at least %.2f of the twin's speed", which, least), rows,
        row -> number(row, "shareOfTwin") >= least, row -> {
          final double share = number(row, "shareOfTwin");
          final String name = text(row, "benchmark").replaceFirst("^sweep/", "");
          return String.format(Locale.ROOT, "%s, %.0e: %.3f (%.3f short)", name, number(row, "size"), share, least - share);
        });
  }

  // One line for each size that both were measured at.
  private void againstFused(String step, double most) {
    boolean any = false;
    for (JsonObject ours : results.of("steps"))
      for (JsonObject fused : results.of("peers"))
        if (text(ours, "benchmark").equals(step) && text(fused, "benchmark").equals(FUSED) && sameShape(ours, fused)
            && number(ours, "size") >= 1e7 && number(ours, "tensors") == 1) {
              final double ratio = number(ours, "timeNs") / number(fused, "timeNs");
              any = true;
              add(
                  String.format(Locale.ROOT, "%s, %.0e: at most %.2f times %s", step, number(ours, "size"), most, FUSED),
                  ratio <= most ? "met" : "missed",
                  String.format(Locale.ROOT, "%.3f", ratio)
                      + (ratio <= most ? "" : String.format(Locale.ROOT, " (%.3f over)", ratio - most)));
            }
    if (!any) add(String.format(Locale.ROOT, "%s: at most %.2f times %s at 1e7 and 1e8", step, most, FUSED), "not measured", "");
  }

  private void smallSteps(String which, double mostMicros, Predicate<JsonObject> wanted) {
    final List<JsonObject> rows =
        results.of("steps").stream().filter(row -> number(row, "size") == 1e5 && number(row, "tensors") == 1).filter(wanted).toList();
    judge(
        String.format(Locale.ROOT, "A step over 1e5, %s: at most %.0f µs", which, mostMicros), rows,
        row -> number(row, "timeNs") / 1e3 <= mostMicros, row -> {
          final double micros = number(row, "timeNs") / 1e3;
          return String.format(Locale.ROOT, "%s %.1f (%.1f over)", text(row, "benchmark"), micros, micros - mostMicros);
        });
  }

  private void judge(String aim, List<JsonObject> rows, Predicate<JsonObject> met, Function<JsonObject, String> missed) {
    final List<JsonObject> missing = rows.stream().filter(met.negate()).toList();
    if (rows.isEmpty()) add(aim, "not measured", "");
    else if (missing.isEmpty()) add(aim, "met", "all " + rows.size());
    else
      add(
          aim, "missed by " + missing.size() + " of " + rows.size(),
          missing.stream().map(missed).collect(Collectors.joining("; ")));
  }

  private void add(String aim, String outcome, String by) {
    lines.add(String.format(Locale.ROOT, ROW, aim, outcome, by));
  }
}
