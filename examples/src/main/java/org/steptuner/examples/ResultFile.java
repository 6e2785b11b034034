// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import java.io.IOException;
import java.io.Writer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** The results for programs: result.json, and every step of every run in curves.csv. */
final class ResultFile {
  private static final Gson GSON = new GsonBuilder().setPrettyPrinting().serializeSpecialFloatingPointValues().create();

  /**
   * A run in result.json.
   *
   * @param testAccuracy after each epoch, between 0 and 1
   * @param learnedScale at the end; the geometric mean where tensors have scales of their own, and 1 at a fixed rate
   * @param learnedScales by tensor, or one under "all"
   * @param effectiveRate of the last step, likewise
   * @param effectiveRates by tensor, or one under "all"
   * @param steps made
   * @param optimizerSeconds in the optimizer's step alone
   * @param optimizerMedianMilliseconds of a step
   * @param totalSeconds all of it: data, forward, backward, optimizer, tests
   */
  private record Entry(
      String name,
      String title,
      double[] testAccuracy,
      double learnedScale,
      Map<String, Double> learnedScales,
      double effectiveRate,
      Map<String, Double> effectiveRates,
      int steps,
      double optimizerSeconds,
      double optimizerMedianMilliseconds,
      double totalSeconds) {}

  private record Result(Map<String, Object> setting, List<Entry> runs) {}

  private ResultFile() {}

  /**
   * Writes both files.
   *
   * @param setting what the runs have in common, by name
   */
  static void write(Map<String, Object> setting, List<Outcome> outcomes, Path folder) throws IOException {
    writeJson(new Result(setting, outcomes.stream().map(ResultFile::entry).toList()), folder);
    try (Writer out = Files.newBufferedWriter(folder.resolve("curves.csv"))) {
      out.write("run,step,loss,scope,scale,rate\n");
      for (Outcome outcome : outcomes)
        for (int step = 0; step < outcome.steps(); ++step)
          for (int scope = 0; scope < outcome.scopes(); ++scope)
            out.write(
                String.format(
                    Locale.ROOT, "%s,%d,%.6g,%s,%.6g,%.6g%n", outcome.run().name(), step + 1, outcome.loss(step), outcome.scope(scope),
                    outcome.scale(scope, step), outcome.rate(scope, step)));
    }
  }

  /** Writes result.json alone: records, lists and maps of them. */
  static void writeJson(Object result, Path folder) throws IOException {
    try (Writer out = Files.newBufferedWriter(folder.resolve("result.json"))) {
      GSON.toJson(result, out);
      out.write('\n');
    }
  }

  private static Entry entry(Outcome outcome) {
    final Map<String, Double> scales = new LinkedHashMap<>();
    final Map<String, Double> rates = new LinkedHashMap<>();
    for (int scope = 0; scope < outcome.scopes(); ++scope) {
      scales.put(outcome.scope(scope), outcome.scale(scope, outcome.steps() - 1));
      rates.put(outcome.scope(scope), outcome.rate(scope, outcome.steps() - 1));
    }
    return new Entry(
        outcome.run().name(), outcome.run().title(), outcome.accuracies(), outcome.learnedScale(), scales,
        outcome.effectiveRate(), rates, outcome.steps(),
        outcome.optimizerSeconds(), outcome.medianMilliseconds(), outcome.totalSeconds());
  }
}
