// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/**
 * The library computes what the reference implementations computed. How near it must come, and why not nearer: {@link Tolerance}.
 *
 * <pre>
 * mvn test -Dtest=ConformanceTest -Dsteptuner.golden=DIRECTORY -Dsteptuner.devices=cpu,library:PATH
 * </pre>
 *
 * runs the cases of any directory in the format of {@code src/test/resources/golden} (the default) and writes what became of each
 * to {@code target/conformance.json}.
 */
class ConformanceTest {
  private static final Path REPORT = Path.of(System.getProperty("basedir", "."), "target", "conformance.json");

  @Test
  void agreesWithTheRecordedTrajectories() throws IOException, URISyntaxException {
    // A report of an earlier run must not pass for this one's.
    Files.deleteIfExists(REPORT);
    final String directory = System.getProperty("steptuner.golden");
    final Path path =
        directory != null ? Path.of(directory) : Path.of(ConformanceTest.class.getResource("/golden").toURI());
    final List<Result> results =
        ConformanceRunner.run(path, ConformanceRunner.devices(System.getProperty("steptuner.devices", "cpu")));
    Result.write(results, REPORT);
    System.out.print(summary(results));
    final List<Result> failed = results.stream().filter(result -> result.status() == Result.Status.FAILED).toList();
    assertTrue(
        failed.isEmpty(),
        () -> failed.size() + " of " + results.size() + " failed:\n"
            + failed.stream()
                .map(r -> r.name() + " (" + r.dtype() + ", " + r.device() + "): " + r.message())
                .collect(Collectors.joining("\n")));
  }

  private static String summary(List<Result> results) {
    final Map<String, long[]> counts = new TreeMap<>();
    for (Result result : results) {
      final String kind = result.kind().isEmpty() ? "(none)" : result.kind();
      ++counts.computeIfAbsent(kind, key -> new long[Result.Status.values().length])[result.status().ordinal()];
    }
    final StringBuilder text = new StringBuilder("Conformance, by kind:       passed  failed  unsupported\n");
    counts.forEach((kind, n) -> text.append(String.format(Locale.ROOT, "  %-24s %7d %7d %12d%n", kind, n[0], n[1], n[2])));
    return text.toString();
  }
}
