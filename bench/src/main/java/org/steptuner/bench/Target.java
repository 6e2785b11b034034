// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Objects;

/**
 * What a run must show.
 *
 * @param what is measured
 * @param bound to be kept
 * @param reached the figure of this run, "not measured" where there is none
 * @param met whether; null where it was not measured or is only shown
 */
record Target(String what, String bound, String reached, Boolean met) {
  private static final long OUT_OF_CACHE = 10_000_000;
  /** JMH counts what its own thread allocates around the operations, a part of a byte for each; an object has 16 bytes or more. */
  private static final double NO_BYTES = 1;
  /** What a base rule under MetaOptimize may take over the rule alone, beside the words that it moves over the rule's. */
  private static final double META_OVER_WORDS = 1.1;

  static List<Target> all(Results results) {
    final List<Target> targets = new ArrayList<>();
    final List<Row> sweeps = results.rows().stream().filter(row -> row.fractionOfCeiling() != null && row.peer() == null).toList();
    for (String dtype : List.of("float32", "bfloat16")) {
      targets.add(sweeps("out of cache (d >= 1e7)", 0.95, sweeps.stream().filter(r -> r.dtype().equals(dtype) && r.size() >= OUT_OF_CACHE).toList(), dtype));
      targets.add(sweeps("in cache (d < 1e7)", 0.80, sweeps.stream().filter(r -> r.dtype().equals(dtype) && r.size() < OUT_OF_CACHE).toList(), dtype));
    }
    ratios(targets, results, StepSuite.ADAMW, StepSuite.FUSED, 100_000, 1.15);
    for (long size : new long[] {10_000_000, 50_000_000}) {
      ratios(targets, results, StepSuite.ADAMW, StepSuite.FUSED, size, 1.00);
      ratios(targets, results, StepSuite.ADAMW_GUARDED, StepSuite.FUSED, size, Double.NaN);
      ratios(targets, results, StepSuite.MECHANIC, StepSuite.FUSED, size, 1.80);
    }
    for (String delta : List.of("stored", "recomputed"))
      ratios(targets, results, StepSuite.MECHANIC, "Mechanic in libtorch operations, Delta " + delta, 10_000_000, 1 / 25.0);
    for (String tuner : List.of(StepSuite.ADAMW, StepSuite.MECHANIC))
      ratios(targets, results, tuner + ": " + Shapes.many(10_000, 1_000).name(), "one tensor", 10_000_000, 1.15);
    meta(targets, results);
    shares(targets, results);
    final var bytes = results.rows().stream().map(Row::allocatedBytesPerOp).filter(Objects::nonNull).max(Comparator.naturalOrder());
    targets.add(
        new Target("Java heap bytes allocated per step or sweep, the most of all rows", "0", bytes.map(b -> number("%.3f", b)).orElse("not measured"),
            bytes.map(b -> b < NO_BYTES).orElse(null)));
    return targets;
  }

  private static Target sweeps(String where, double bound, List<Row> rows, String dtype) {
    final String what = "sweep over its twin, " + where + ", " + dtype;
    final String atLeast = "every sweep >= " + number("%.2f", bound);
    if (rows.isEmpty()) return new Target(what, atLeast, "not measured", null);
    final long good = rows.stream().filter(row -> row.fractionOfCeiling() >= bound).count();
    final Row worst = rows.stream().min(Comparator.comparing(Row::fractionOfCeiling)).orElseThrow();
    return new Target(
        what, atLeast,
        String.format(Locale.ROOT, "%d of %d; least %.3f (%s, d = %.0e, %d thr.)", good, rows.size(), worst.fractionOfCeiling(),
            worst.benchmark(), (double) worst.size(), worst.threads()),
        good == rows.size());
  }

  // One line for each number of threads that was measured.
  private static void ratios(List<Target> targets, Results results, String benchmark, String peer, long size, double bound) {
    final List<Row> rows = results.of(benchmark).filter(r -> r.size() == size && peer.equals(r.peer())).toList();
    final boolean faster = bound < 0.5; // told as "times faster"
    final String least =
        Double.isNaN(bound) ? "(shown)" : faster ? ">= " + number("%.0f", 1 / bound) + " x faster" : "<= " + number("%.2f", bound) + " x";
    for (Row row : rows)
      targets.add(
          new Target(
              String.format(Locale.ROOT, "%s / %s, d = %.0e, %d thr.", benchmark, peer, (double) size, row.threads()), least,
              faster ? number("%.1f x faster", 1 / row.timeOverPeer()) : number("%.3f x", row.timeOverPeer()),
              Double.isNaN(bound) ? null : row.timeOverPeer() <= bound));
    if (rows.isEmpty())
      targets.add(new Target(String.format(Locale.ROOT, "%s / %s, d = %.0e", benchmark, peer, (double) size), least, "not measured", null));
  }

  // The time a rule takes under MetaOptimize over its own, against what the words of both let expect.
  private static void meta(List<Target> targets, Results results) {
    for (Row row : results.rows()) {
      if (!row.benchmark().contains(MetaSuite.UNDER)) continue;
      final Row alone =
          results.of(row.peer()).filter(r -> r.size() == row.size() && r.threads() == row.threads() && r.peer() == null).findFirst()
              .orElseThrow();
      final double words = row.wordsPerElement() / alone.wordsPerElement();
      targets.add(
          new Target(
              String.format(Locale.ROOT, "%s / alone, d = %.0e, %d thr.", row.benchmark(), (double) row.size(), row.threads()),
              number("<= %.3f x", META_OVER_WORDS * words),
              String.format(
                  Locale.ROOT, "%.3f x; words %.0f / %.0f = %.3f x", row.timeOverPeer(), row.wordsPerElement(), alone.wordsPerElement(),
                  words),
              row.timeOverPeer() <= META_OVER_WORDS * words));
    }
  }

  // What the optimizer takes of a training step.
  private static void shares(List<Target> targets, Results results) {
    for (Row row : results.rows())
      if (TrainingSuite.STEP.equals(row.peer()))
        targets.add(
            new Target(
                String.format(Locale.ROOT, "%s / %s, %d thr.", row.benchmark(), row.peer(), row.threads()), "(shown)",
                number("%.1f %%", 100 * row.timeOverPeer()), null));
  }

  /** pass, miss, or nothing. */
  String verdict() {
    return met == null ? "" : met ? "pass" : "miss";
  }

  static void print(List<Target> targets) {
    System.out.println("\nTargets");
    for (Target target : targets)
      System.out.printf(Locale.ROOT, "%-90s %-20s %-62s %s%n", target.what, target.bound, target.reached, target.verdict());
  }

  private static String number(String format, double value) {
    return String.format(Locale.ROOT, format, value);
  }
}
