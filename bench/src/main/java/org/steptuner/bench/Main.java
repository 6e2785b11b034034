// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;

/** {@code bench/run [--quick] [--json FILE] [FILTER]}; see README.md. */
public final class Main {
  private Main() {}

  public static void main(String[] arguments) throws IOException {
    boolean quick = false;
    Path json = null;
    String filter = "";
    for (int i = 0; i < arguments.length; ++i)
      switch (arguments[i]) {
        case "--quick" -> quick = true;
        case "--json" -> {
          if (++i == arguments.length) fail("--json needs a file");
          json = Path.of(arguments[i]);
        }
        default -> {
          if (arguments[i].startsWith("-")) fail("unknown option " + arguments[i]);
          filter = arguments[i];
        }
      }
    final long begin = System.nanoTime();
    final Settings settings = new Settings(quick, Pattern.compile(filter));
    final Results results = new Results();
    System.out.printf(Locale.ROOT, "%s, %d processors, %s; load %s%n", Machine.cpu(), Machine.processors(), Machine.caches(), Machine.load());
    final List<ForkedPeer> forked = Peers.start(settings, results);
    try {
      CeilingSuite.run(settings, results);
      StepSuite.run(settings, results, forked);
      MetaSuite.run(settings, results);
      ShapeSuite.run(settings, results);
      TrainingSuite.run(settings, results);
      SweepSuite.run(settings, results);
      OverheadSuite.run(settings, results);
    } finally {
      forked.forEach(ForkedPeer::end);
    }
    final List<Target> targets = Target.all(results);
    Target.print(targets);
    final String name = !filter.isEmpty() ? "selection" : quick ? "quick" : "cpu";
    final Path folder = Path.of(System.getProperty("bench.results", "."));
    final double minutes = (System.nanoTime() - begin) / 60e9;
    Page.write(folder, name, results, targets, quick, minutes);
    Json.write(json != null ? json : folder.resolve(name + ".json"), results.rows());
    System.out.printf(Locale.ROOT, "%n%.1f minutes; %s%n", minutes, folder.resolve(name + ".md"));
  }

  private static void fail(String message) {
    System.err.println(message + "\nusage: bench/run [--quick] [--json FILE] [FILTER]");
    System.exit(2);
  }
}
