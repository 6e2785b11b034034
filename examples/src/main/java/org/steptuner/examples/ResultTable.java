// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.io.PrintWriter;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/** The results for people: one line a run. */
final class ResultTable {
  private static final String HEAD = "%n%-30s%14s%22s%14s%12s%12s%n";
  private static final String ROW = "%-30s%14.4f%22s%14.2f%12.2f%12.3f%n";

  private ResultTable() {}

  static void print(List<Outcome> outcomes, PrintWriter to) {
    to.printf(HEAD, "", "test accuracy", "effective rate", "optimizer s", "in all s", "median ms");
    for (Outcome outcome : outcomes)
      to.printf(
          Locale.ROOT, ROW, outcome.run().name(), outcome.accuracy(), rate(outcome), outcome.optimizerSeconds(),
          outcome.totalSeconds(), outcome.medianMilliseconds());
    to.println();
  }

  private static String rate(Outcome outcome) {
    final double[] rates = IntStream.range(0, outcome.scopes()).mapToDouble(i -> outcome.rate(i, outcome.steps() - 1)).sorted().toArray();
    if (rates.length == 1) return String.format(Locale.ROOT, "%.2e", rates[0]);
    return String.format(Locale.ROOT, "%.1e to %.1e", rates[0], rates[rates.length - 1]);
  }
}
