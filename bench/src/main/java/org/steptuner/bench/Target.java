// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;
import java.util.function.IntToDoubleFunction;
import java.util.function.Predicate;

/**
 * What a run must show.
 *
 * @param what is measured
 * @param bound to be kept
 * @param figures by number of threads, in order; empty where it was not measured
 */
record Target(String what, String bound, List<Figure> figures) {
  /**
   * What was measured.
   *
   * @param reached the figure
   * @param met whether it keeps the bound
   */
  record Figure(int threads, String reached, boolean met) {}

  private static final long OUT_OF_CACHE = 10_000_000;
  /** JMH counts what its own thread allocates around the operations, a part of a byte for each; an object has 16 bytes or more. */
  private static final double NO_BYTES = 1;
  /** How much more than the ratio of their words a rule under MetaOptimize may take over the rule alone. */
  private static final double META_OVER_WORDS = 1.1;

  static List<Target> all(List<Row> rows) {
    final List<Target> targets = new ArrayList<>();
    for (String dtype : List.of("float32", "bfloat16", "state bfloat16", "all bfloat16")) {
      final double bound = dtype.equals("float32") ? 0.95 : 0.93;
      targets.add(sweeps(rows, "beyond the caches (1e7 elements or more)", bound, dtype, row -> row.size() >= OUT_OF_CACHE));
      targets.add(sweeps(rows, "in cache (fewer than 1e7 elements)", 0.80, dtype, row -> row.size() < OUT_OF_CACHE));
    }
    targets.add(ratio(rows, StepSuite.ADAMW, StepSuite.FUSED, 100_000, 1.15));
    for (long size : new long[] {10_000_000, 50_000_000}) {
      targets.add(ratio(rows, StepSuite.ADAMW, StepSuite.FUSED, size, 1.00));
      targets.add(ratio(rows, StepSuite.MECHANIC, StepSuite.FUSED, size, 1.80));
    }
    for (long size : HalfSuite.SIZES) {
      targets.add(ratio(rows, HalfSuite.ADAMW_STATE, StepSuite.FUSED, size, 0.80));
      targets.add(ratio(rows, HalfSuite.MECHANIC_STATE, StepSuite.FUSED, size, threads -> threads == 1 ? 1.25 : 1.15));
      targets.add(ratio(rows, HalfSuite.MECHANIC_ALL, StepSuite.FUSED, size, threads -> threads == 1 ? 1.05 : 0.95));
    }
    targets.add(ratio(rows, StepSuite.SCHEDULE_FREE, StepSuite.ADAMW_FIXED, 10_000_000, 1.02));
    for (String delta : List.of("stored", "recomputed"))
      targets.add(ratio(rows, StepSuite.MECHANIC, "Mechanic in libtorch operations, Delta " + delta, 10_000_000, 1 / 25.0));
    for (String tuner : List.of(StepSuite.ADAMW, StepSuite.MECHANIC))
      targets.add(ratio(rows, tuner + ": " + Shapes.many(10_000, 1_000).name(), "one tensor", 10_000_000, 1.10));
    for (String rebind : List.of(RebindSuite.IN_ONE_BLOCK, RebindSuite.IN_MAPPINGS))
      targets.add(ratio(rows, rebind, RebindSuite.STEP, 4_000_000, 0.5));
    targets.add(meta(rows, "one step size", row -> row.benchmark().endsWith(MetaSuite.UNDER)));
    targets.add(meta(rows, "a step size per weight", row -> row.benchmark().contains(MetaSuite.UNDER + ", per weight")));
    targets.add(
        new Target(
            "Java heap bytes per step or sweep, the most of all rows", "0",
            byThreads(rows, row -> row.allocatedBytesPerOp() != null, some -> {
              final double most = some.stream().mapToDouble(Row::allocatedBytesPerOp).max().orElseThrow();
              return new Figure(some.get(0).threads(), number("%.3f", most), most < NO_BYTES);
            })));
    return targets;
  }

  /** The numbers of threads that rows were measured with. */
  static List<Integer> threads(List<Row> rows) {
    return rows.stream().map(Row::threads).distinct().sorted().toList();
  }

  private static List<Figure> byThreads(List<Row> rows, Predicate<Row> wanted, Function<List<Row>, Figure> figure) {
    final List<Row> some = rows.stream().filter(wanted).toList();
    return threads(some).stream().map(n -> figure.apply(some.stream().filter(row -> row.threads() == n).toList())).toList();
  }

  private static Target sweeps(List<Row> rows, String where, double bound, String dtype, Predicate<Row> size) {
    return new Target(
        "time of the twin over a sweep's, " + where + ", " + dtype, "every sweep >= " + number("%.2f", bound),
        byThreads(rows, row -> row.fractionOfCeiling() != null && row.peer() == null && row.dtype().equals(dtype) && size.test(row),
            some -> {
              final long good = some.stream().filter(row -> row.fractionOfCeiling() >= bound).count();
              final Row worst = some.stream().min(Comparator.comparing(Row::fractionOfCeiling)).orElseThrow();
              return new Figure(
                  worst.threads(),
                  String.format(
                      Locale.ROOT, "%d of %d; least %.2f (%s, %s)", good, some.size(), worst.fractionOfCeiling(), worst.benchmark(),
                      elements(worst.size())),
                  good == some.size());
            }));
  }

  private static Target ratio(List<Row> rows, String benchmark, String peer, long size, double bound) {
    final boolean faster = bound < 0.5; // told as "times faster"
    return new Target(
        benchmark + " / " + peer + ", " + elements(size), faster ? number("%.0f times faster", 1 / bound) : "<= " + number("%.2f", bound),
        byThreads(rows, row -> row.benchmark().equals(benchmark) && peer.equals(row.peer()) && row.size() == size, some -> {
          final Row row = some.get(0);
          return new Figure(
              row.threads(), faster ? number("%.1f times", 1 / row.timeOverPeer()) : number("%.2f", row.timeOverPeer()),
              row.timeOverPeer() <= bound);
        }));
  }

  private static Target ratio(List<Row> rows, String benchmark, String peer, long size, IntToDoubleFunction bound) {
    return new Target(
        benchmark + " / " + peer + ", " + elements(size),
        "<= " + number("%.2f", bound.applyAsDouble(1)) + " on 1 thread, " + number("%.2f", bound.applyAsDouble(2)) + " on more",
        byThreads(rows, row -> row.benchmark().equals(benchmark) && peer.equals(row.peer()) && row.size() == size, some -> {
          final Row row = some.get(0);
          return new Figure(row.threads(), number("%.2f", row.timeOverPeer()), row.timeOverPeer() <= bound.applyAsDouble(row.threads()));
        }));
  }

  // What a rule takes under MetaOptimize over its own time, beside the ratio of the words that both move.
  private static Target meta(List<Row> rows, String steps, Predicate<Row> form) {
    return new Target(
        "MetaOptimize with " + steps + " / the rule alone, over the ratio of their words, " + elements(MetaSuite.SIZE),
        "every rule <= " + number("%.2f", META_OVER_WORDS),
        byThreads(rows, form, some -> {
          final long good = some.stream().filter(row -> overWords(row, rows) <= META_OVER_WORDS).count();
          final Row worst = some.stream().max(Comparator.comparing(row -> overWords(row, rows))).orElseThrow();
          return new Figure(
              worst.threads(),
              String.format(Locale.ROOT, "%d of %d; most %.2f (%s)", good, some.size(), overWords(worst, rows), worst.benchmark()),
              good == some.size());
        }));
  }

  private static double overWords(Row row, List<Row> rows) {
    final Row alone =
        rows.stream()
            .filter(r -> r.benchmark().equals(row.peer()) && r.size() == row.size() && r.threads() == row.threads() && r.peer() == null)
            .findFirst().orElseThrow();
    return row.timeOverPeer() / (row.wordsPerElement() / alone.wordsPerElement());
  }

  /** met, missed, missed on some numbers of threads, or not measured. */
  String verdict() {
    if (figures.isEmpty()) return "not measured";
    final List<Integer> missed = figures.stream().filter(figure -> !figure.met).map(Figure::threads).toList();
    if (missed.isEmpty()) return "met";
    if (missed.size() == figures.size()) return "missed";
    return "missed on " + String.join(" and ", missed.stream().map(Target::threadCount).toList());
  }

  /** "1 thread", "2 threads". */
  static String threadCount(int threads) {
    return threads + (threads == 1 ? " thread" : " threads");
  }

  /** "1e7 elements" where that says it, else the number. */
  static String elements(long count) {
    final int zeros = (int) Math.floor(Math.log10(Math.max(count, 1)) + 1e-12);
    final long power = (long) Math.pow(10, zeros);
    return zeros >= 4 && count % power == 0 ? count / power + "e" + zeros : Long.toString(count);
  }

  static void print(List<Target> targets) {
    System.out.println("\nTargets");
    for (Target target : targets)
      for (Figure figure : target.figures)
        System.out.printf(
            Locale.ROOT, "%-105s %-20s %2d thr. %-70s %s%n", target.what, target.bound, figure.threads, figure.reached,
            figure.met ? "met" : "missed");
  }

  private static String number(String format, double value) {
    return String.format(Locale.ROOT, format, value);
  }
}
