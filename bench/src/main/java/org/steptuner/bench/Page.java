// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.function.Function;

/** The page about a run: what was run on what, the targets, the picture, and the rows that most readers look for. */
final class Page {
  private static final long CACHED = 100_000;
  private static final long LARGE = 10_000_000;
  private static final long LARGEST = 50_000_000;

  /** A row of the page; {@code size} null: whatever size was measured. */
  private record Shown(String benchmark, String peer, Long size, String unit, Function<Row, String> value) {
    static Shown ratio(String benchmark, String peer, Long size) {
      return new Shown(benchmark, peer, size, "time / " + peer, row -> Results.number("%.2f", row.timeOverPeer()));
    }

    static Shown time(String benchmark, Long size) {
      return new Shown(benchmark, null, size, "microseconds", row -> Results.number("%.2f", row.timeNs() / 1e3));
    }

    boolean is(Row row) {
      return row.benchmark().equals(benchmark) && Objects.equals(row.peer(), peer) && (size == null || row.size() == size)
          && row.dtype().equals("float32");
    }
  }

  private Page() {}

  /** Writes {@code name.md} and {@code name.png} into a folder, where {@code name.json} holds the run. */
  static Path write(Path folder, String name, Run run) {
    final StringBuilder page = new StringBuilder();
    page.append("# Benchmarks, ").append(run.cpu()).append("\n\n");
    page.append(
        String.format(
            Locale.ROOT,
            "`%s` on %s, %.0f minutes. How it is measured, and what the words mean: [../README.md](../README.md). All %,d rows: "
                + "[%s.json](%s.json).%n%n",
            run.command(), run.date(), run.minutes(), run.rows().size(), name, name));
    page.append("- ").append(run.cpu()).append(", ").append(run.processors()).append(" processors; caches of one: ").append(run.caches())
        .append("\n- ").append(run.java()).append("; load average at the end: ").append(run.load()).append('\n');
    for (String note : run.notes()) page.append("- ").append(note).append('\n');
    targets(page, run);
    try {
      if (Picture.write(folder.resolve(name + ".png"), run.rows()))
        page.append("\n![throughput of sweeps by size, and steps against libtorch](").append(name).append(".png)\n");
      rows(page, run);
      final Path file = folder.resolve(name + ".md");
      Files.writeString(file, page.toString());
      return file;
    } catch (IOException e) {
      throw new UncheckedIOException("cannot write the page", e);
    }
  }

  private static void targets(StringBuilder page, Run run) {
    final List<Integer> threads = Target.threads(run.rows());
    page.append("\n## Targets\n\n");
    header(page, List.of("what (time / time unless it says otherwise)", "target"), threads, List.of("result"));
    final List<Target> all = Target.all(run.rows());
    final List<Target> measured = all.stream().filter(target -> !target.figures().isEmpty()).toList();
    for (Target target : measured) {
      page.append("| ").append(target.what()).append(" | ").append(target.bound());
      for (int n : threads)
        page.append(" | ").append(
            target.figures().stream().filter(figure -> figure.threads() == n).map(Target.Figure::reached).findFirst().orElse(""));
      page.append(" | ").append(target.verdict()).append(" |\n");
    }
    if (measured.size() < all.size())
      page.append("\nThis run did not measure ").append(all.size() - measured.size()).append(" of the ").append(all.size())
          .append(" targets.\n");
  }

  private static void rows(StringBuilder page, Run run) {
    final List<Integer> threads = Target.threads(run.rows());
    final StringBuilder table = new StringBuilder();
    for (Shown shown : shown()) {
      final List<Row> found = run.rows().stream().filter(shown::is).toList();
      if (found.isEmpty()) continue;
      table.append("| ").append(shown.benchmark).append(" | ").append(Target.elements(found.get(0).size())).append(" | ")
          .append(shown.unit);
      for (int n : threads)
        table.append(" | ").append(found.stream().filter(row -> row.threads() == n).map(shown.value).findFirst().orElse(""));
      table.append(" |\n");
    }
    if (table.length() == 0) return;
    page.append("\n## Other rows\n\n");
    header(page, List.of("what, in float32", "elements", "unit"), threads, List.of());
    page.append(table);
  }

  // Columns of text, one of figures for each number of threads, and columns of text behind them.
  private static void header(StringBuilder page, List<String> before, List<Integer> threads, List<String> after) {
    final List<String> titles = new ArrayList<>(before);
    threads.forEach(n -> titles.add(Target.threadCount(n)));
    titles.addAll(after);
    page.append("| ").append(String.join(" | ", titles)).append(" |\n");
    page.append("|---".repeat(before.size())).append("|--:".repeat(threads.size())).append("|---".repeat(after.size())).append("|\n");
  }

  private static List<Shown> shown() {
    final List<Shown> all = new ArrayList<>();
    all.add(new Shown("copy, streaming stores", null, LARGEST, "GB/s", row -> Results.number("%.1f", row.gbPerSecond())));
    all.add(Shown.ratio(StepSuite.MECHANIC, StepSuite.FUSED, CACHED));
    all.add(Shown.ratio(StepSuite.ADAMW_GUARDED, StepSuite.FUSED, LARGE));
    all.add(Shown.ratio(StepSuite.ADAMW_GUARDED, StepSuite.FUSED, LARGEST));
    all.add(Shown.ratio("SGD, momentum", "libtorch C++ SGD", LARGE));
    all.add(Shown.ratio("Lion", "Lion in libtorch operations", LARGE));
    all.add(Shown.ratio(StepSuite.PRODIGY, "Prodigy in libtorch operations", LARGE));
    all.add(Shown.ratio(StepSuite.ADAMW, "DJL AdamW", LARGE));
    all.add(Shown.ratio("Adam", "ND4J AdamUpdater", LARGE));
    for (Shapes shapes : List.of(Shapes.transformer(), Shapes.many(100_000, 7)))
      for (String tuner : List.of(StepSuite.ADAMW, StepSuite.MECHANIC))
        for (String peer : List.of("one tensor", StepSuite.FUSED))
          all.add(Shown.ratio(tuner + ": " + shapes.name(), peer, null));
    for (String network : List.of("Fashion-MNIST MLP", "MiniLM-L6"))
      for (String optimizer : List.of(StepSuite.ADAMW_GUARDED, StepSuite.MECHANIC, StepSuite.FUSED))
        all.add(
            new Shown(
                "training " + network + ": " + optimizer, TrainingSuite.STEP, null, "% of the training step",
                row -> Results.number("%.1f", 100 * row.timeOverPeer())));
    all.add(Shown.time(OverheadSuite.EMPTY, null));
    all.add(Shown.time("overhead: step, " + StepSuite.MECHANIC, 1L));
    return all;
  }
}
