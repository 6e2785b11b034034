// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.List;
import java.util.Locale;
import java.util.Objects;

/** The page about a run: what it ran on, the targets, the picture, every row. */
final class Page {
  private Page() {}

  static void write(Path folder, String name, Results results, List<Target> targets, boolean quick, double minutes) {
    final StringBuilder page = new StringBuilder();
    page.append("# Benchmarks, ").append(Machine.cpu()).append("\n\n");
    page.append(
        String.format(
            Locale.ROOT, "Written by `bench/run%s` on %s in %.0f minutes; what the columns mean: [../README.md](../README.md).%n%n",
            quick ? " --quick" : "", LocalDate.now(), minutes));
    page.append("- processors: ").append(Machine.processors()).append("; caches of one: ").append(Machine.caches()).append('\n');
    page.append("- ").append(Machine.java()).append("; load average at the end: ").append(Machine.load()).append("\n");
    for (String note : results.notes()) page.append("- ").append(note).append('\n');
    page.append("\n## Targets\n\n| what | bound | reached | |\n|---|---|---|---|\n");
    for (Target target : targets)
      page.append("| ").append(target.what()).append(" | ").append(target.bound()).append(" | ").append(target.reached()).append(" | ")
          .append(target.verdict()).append(" |\n");
    try {
      Files.createDirectories(folder);
      if (Picture.write(folder.resolve(name + ".png"), results))
        page.append("\n![throughput of sweeps by size, and steps against libtorch](").append(name).append(".png)\n");
      page.append("\n## Rows\n\n| benchmark | size | dtype | threads | time us | words | GB/s | of twin | peer | time / peer | B/op |\n");
      page.append("|---|--:|---|--:|--:|--:|--:|--:|---|--:|--:|\n");
      for (Row row : results.rows())
        page.append(
            String.format(
                Locale.ROOT, "| %s | %d | %s | %d | %.3f | %s | %s | %s | %s | %s | %s |%n", row.benchmark(), row.size(), row.dtype(),
                row.threads(), row.timeNs() / 1e3, Results.number("%.1f", row.wordsPerElement()), Results.number("%.1f", row.gbPerSecond()),
                Results.number("%.3f", row.fractionOfCeiling()), Objects.requireNonNullElse(row.peer(), ""),
                Results.number("%.3f", row.timeOverPeer()), Results.number("%.1f", row.allocatedBytesPerOp())));
      Files.writeString(folder.resolve(name + ".md"), page.toString());
    } catch (IOException e) {
      throw new UncheckedIOException("cannot write the page", e);
    }
  }
}
