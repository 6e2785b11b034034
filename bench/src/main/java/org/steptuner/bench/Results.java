// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;

/** The rows of a run, printed as they come. */
final class Results {
  private static final String FORMAT = "%-34s %11s %-8s %2s %12s %6s %7s %6s  %-30s %8s %7s%n";

  private final List<Row> rows = new ArrayList<>();
  private final List<String> notes = new ArrayList<>();
  private String title;

  /** Begins a table, printed with its first row. */
  void header(String name) {
    title = name;
  }

  private void printHeader() {
    System.out.printf(Locale.ROOT, "%n%s%n" + FORMAT, title, "benchmark", "size", "dtype", "th", "time us", "words", "GB/s", "twin",
        "peer", "x peer", "B/op");
    title = null;
  }

  void add(Row row) {
    rows.add(row);
    if (title != null) printHeader();
    System.out.printf(Locale.ROOT, FORMAT, row.benchmark(), row.size(), row.dtype(), row.threads(),
        number("%.3f", row.timeNs() / 1e3), number("%.1f", row.wordsPerElement()), number("%.1f", row.gbPerSecond()),
        number("%.2f", row.fractionOfCeiling()), Objects.requireNonNullElse(row.peer(), ""), number("%.3f", row.timeOverPeer()),
        number("%.1f", row.allocatedBytesPerOp()));
  }

  /** Something that a reader of the page must know, such as a peer that is not there. */
  void note(String text) {
    notes.add(text);
    System.out.println("note: " + text);
  }

  List<Row> rows() {
    return rows;
  }

  List<String> notes() {
    return notes;
  }

  static String number(String format, Double value) {
    return value == null ? "" : String.format(Locale.ROOT, format, value);
  }
}
