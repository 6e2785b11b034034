// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;

/** {@code bench/run [--quick] [--json FILE] [FILTER]}, or {@code bench/run --page FILE}; see README.md. */
public final class Main {
  private Main() {}

  public static void main(String[] arguments) throws IOException {
    boolean quick = false;
    Path json = null;
    String filter = "";
    for (int i = 0; i < arguments.length; ++i) {
      switch (arguments[i]) {
        case "--quick" -> quick = true;
        case "--json" -> {
          if (++i == arguments.length) fail("--json needs a file");
          json = Path.of(arguments[i]);
          name(json);
        }
        case "--page" -> {
          if (arguments.length != 2 || i != 0) fail("--page needs a JSON file, and nothing else");
          System.out.println(page(Path.of(arguments[1])));
          return;
        }
        default -> {
          if (arguments[i].startsWith("-")) fail("unknown option " + arguments[i]);
          filter = arguments[i];
        }
      }
    }
    final long begin = System.nanoTime();
    final Settings settings = new Settings(quick, Pattern.compile(filter));
    final Results results = new Results();
    System.out.printf(Locale.ROOT, "%s, %d processors, %s; load %s%n", Machine.cpu(), Machine.processors(), Machine.caches(),
        Machine.load());
    final List<ForkedPeer> forked = Peers.start(settings, results);
    try {
      CeilingSuite.run(settings, results);
      StepSuite.run(settings, results, forked);
      HalfSuite.run(settings, results);
      MetaSuite.run(settings, results);
      ShapeSuite.run(settings, results);
      RebindSuite.run(settings, results);
      TrainingSuite.run(settings, results);
      SweepSuite.run(settings, results);
      OverheadSuite.run(settings, results);
    } finally {
      forked.forEach(ForkedPeer::end);
    }
    Target.print(Target.all(results.rows()));
    final String name = !filter.isEmpty() ? "selection" : quick ? "quick" : "cpu";
    final Path folder = Path.of(System.getProperty("bench.results", "."));
    final Path file = json != null ? json.toAbsolutePath() : folder.resolve(name + ".json");
    final Run run =
        new Run(
            "bench/run" + (arguments.length == 0 ? "" : " " + String.join(" ", shown(arguments))), LocalDate.now().toString(),
            (System.nanoTime() - begin) / 60e9, Machine.cpu(), Machine.processors(), Machine.caches(), Machine.java(), Machine.load(),
            results.notes(), results.rows());
    Json.write(file, run);
    System.out.printf(Locale.ROOT, "%n%.1f minutes; %s%n", run.minutes(), page(file));
  }

  // The page and the picture of a run, beside its file.
  private static Path page(Path json) {
    try {
      return Page.write(json.toAbsolutePath().getParent(), name(json), Json.read(json));
    } catch (IllegalArgumentException | UncheckedIOException e) {
      fail(e.getMessage());
      throw e;
    }
  }

  // Of the files of a run, without the ending.
  private static String name(Path json) {
    final String file = json.getFileName().toString();
    if (!file.endsWith(".json")) fail("the name of a run's file must end in .json: " + json);
    return file.substring(0, file.length() - ".json".length());
  }

  // The folder of a file says nothing to a reader.
  private static List<String> shown(String[] arguments) {
    final List<String> shown = new ArrayList<>(List.of(arguments));
    final int json = shown.indexOf("--json");
    if (json >= 0) shown.subList(json, json + 2).clear();
    return shown;
  }

  private static void fail(String message) {
    System.err.println(message + "\nusage: bench/run [--quick] [--json FILE] [FILTER]\n       bench/run --page FILE");
    System.exit(2);
  }
}
