// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.gson.JsonArray;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ScheduleRefinementTest {
  @Test
  void agreesWithTheRecordedRefinement() throws IOException {
    final JsonObject golden = golden("schedule_refinement.json");
    final double[] norms = numbers(golden, "gnorms");
    final ScheduleRefinement sgd = ScheduleRefinement.forSgd(norms);
    final ScheduleRefinement adam = ScheduleRefinement.forAdam(norms);
    assertArrayEquals(numbers(golden, "smoothed"), sgd.smoothed().norms());
    assertNear(numbers(golden, "sched_sgd_raw_w_g^-2"), sgd.unscaled(), 1e-13);
    assertNear(numbers(golden, "sched_sgd_smoothed"), sgd.smoothed().unscaled(), 1e-13);
    assertNear(numbers(golden, "sched_adam_l1_smoothed_w_g^-1"), adam.smoothed().unscaled(), 1e-13);
    assertNear(numbers(golden, "sched_adam_l1_smoothed_normalised_by_max"), adam.smoothed().factors(), 1e-13);
    final double[] constant = new double[10];
    Arrays.fill(constant, 1);
    assertNear(numbers(golden, "sched_constant_norm_n10"), ScheduleRefinement.forSgd(constant).unscaled(), 1e-13);
  }

  /** The recorded minimiser is a numerical one: within 2e-6 of ours, whose bound is lower. */
  @Test
  void agreesWithTheRecordedMinimiser() throws IOException {
    final JsonObject golden = golden("schedule_refinement_numeric.json");
    final double[] norms = numbers(golden, "gnorms");
    final double distance = golden.get("D").getAsDouble();
    final double[] recorded = numbers(golden, "schedule");
    final double[] rates = ScheduleRefinement.optimalRates(distance, norms);
    assertNear(recorded, rates, 2e-6);
    assertTrue(bound(distance, norms, rates) <= bound(distance, norms, recorded));
  }

  @Test
  void constantNormsGiveTheLinearDecay() {
    final double[] norms = new double[11];
    Arrays.fill(norms, 0.7);
    for (ScheduleRefinement refinement : new ScheduleRefinement[] {ScheduleRefinement.forSgd(norms), ScheduleRefinement.forAdam(norms)}) {
      final Schedule schedule = refinement.smoothed().schedule();
      for (int step = 1; step <= 11; ++step) assertEquals((11 - step) / 10.0, schedule.at(step), 1e-15);
      assertEquals(0, schedule.at(12));
    }
  }

  @Test
  void onlyTheShapeOfTheNormsMatters() {
    final double[] norms = random(300);
    final double[] factors = ScheduleRefinement.forSgd(norms).smoothed().factors();
    assertEquals(1, Arrays.stream(factors).max().orElseThrow());
    assertEquals(0, factors[299]);
    for (double scale : new double[] {0x1p-700, 0x1p+700})
      assertArrayEquals(
          factors, ScheduleRefinement.forSgd(Arrays.stream(norms).map(norm -> norm * scale).toArray()).smoothed().factors());
  }

  @Test
  void theMedianIsThatOfEachWindow() {
    for (int n : new int[] {1, 2, 3, 7, 40, 41})
      for (double fraction : new double[] {0, 0.1, 0.3, 1}) {
        final double[] norms = random(n);
        for (int i = 0; i + 3 < n; i += 4) norms[i + 3] = norms[i]; // equal ones
        final int half = (int) (fraction * n) / 2;
        final double[] wanted = new double[n];
        for (int t = 0; t < n; ++t) {
          final int at = t;
          wanted[t] =
              IntStream.rangeClosed(-half, half)
                  .map(i -> Math.max(0, at + i))
                  .map(i -> i < n ? i : n == 1 ? 0 : 2 * (n - 1) - i)
                  .mapToDouble(i -> norms[i])
                  .sorted()
                  .toArray()[half];
        }
        assertArrayEquals(wanted, ScheduleRefinement.forSgd(norms).smoothed(fraction).norms(), n + ", " + fraction);
      }
  }

  /** Nothing near the optimal rates has a lower bound, and the bound is the theorem's. */
  @Test
  void theOptimumIsOne() {
    final SplittableRandom random = new SplittableRandom(3);
    for (int n : new int[] {1, 2, 3, 10, 60}) {
      final double[] norms = random(n);
      final double[] rates = ScheduleRefinement.optimalRates(2.5, norms);
      final double least = bound(2.5, norms, rates);
      for (int trial = 0; trial < 200; ++trial) {
        final double[] other = Arrays.stream(rates).map(rate -> rate * Math.exp(0.05 * random.nextDouble(-1, 1))).toArray();
        assertTrue(bound(2.5, norms, other) >= least - 1e-12 * least, n + " steps");
      }
      final double[] doubled = ScheduleRefinement.optimalRates(5, norms);
      for (int t = 0; t < n; ++t) assertEquals(2 * rates[t], doubled[t], 1e-14 * doubled[t]);
    }
    for (double rate : ScheduleRefinement.optimalRates(1, random(1000000))) assertTrue(rate > 0 && Double.isFinite(rate));
  }

  /** The theorem as printed, double sum and all. */
  private static double bound(double distance, double[] norms, double[] rates) {
    final int n = rates.length;
    final double[] sum = new double[n + 1];
    final double[] square = new double[n + 1];
    for (int t = n - 1; t >= 0; --t) {
      sum[t] = sum[t + 1] + rates[t];
      square[t] = square[t + 1] + rates[t] * rates[t] * norms[t] * norms[t];
    }
    double result = (distance * distance + square[0]) / (2 * sum[0]);
    for (int k = 0; k < n - 1; ++k) result += rates[k] / sum[k + 1] * square[k] / sum[k] / 2;
    return result;
  }

  @Test
  void normsSurviveAFile(@TempDir Path folder) throws IOException {
    final double[] norms = random(100);
    final Path file = folder.resolve("norms.txt");
    ScheduleRefinement.save(file, norms);
    assertArrayEquals(norms, ScheduleRefinement.load(file));
    Files.writeString(file, "1.5\nmany\n");
    final IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> ScheduleRefinement.load(file));
    assertTrue(e.getMessage().contains("norm 2"), e.getMessage());
    assertThrows(UncheckedIOException.class, () -> ScheduleRefinement.load(folder.resolve("missing")));
    assertThrows(UncheckedIOException.class, () -> ScheduleRefinement.save(folder.resolve("missing/norms"), 1));
  }

  @Test
  void refusesWhatItCannotDo() {
    assertThrows(IllegalArgumentException.class, () -> ScheduleRefinement.forSgd());
    for (double bad : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY}) {
      assertThrows(IllegalArgumentException.class, () -> ScheduleRefinement.forAdam(1, bad));
      assertThrows(IllegalArgumentException.class, () -> ScheduleRefinement.optimalRates(bad, 1));
    }
    assertThrows(IllegalArgumentException.class, () -> ScheduleRefinement.forSgd(1).smoothed(1.1));
    assertArrayEquals(new double[] {1}, ScheduleRefinement.forSgd(4).smoothed().factors());
  }

  private static double[] random(int n) {
    final SplittableRandom random = new SplittableRandom(n);
    return IntStream.range(0, n).mapToDouble(t -> 0.5 + 10.0 / (1 + t) + 0.4 * random.nextDouble(-1, 1)).toArray();
  }

  private static JsonObject golden(String name) throws IOException {
    final String directory = System.getProperty("steptuner.golden");
    Assumptions.assumeTrue(directory != null || ScheduleRefinementTest.class.getResource("/golden") != null, "no recorded cases");
    final Path path = Path.of(directory != null ? directory : ScheduleRefinementTest.class.getResource("/golden").getPath());
    return JsonParser.parseString(Files.readString(path.resolve(name))).getAsJsonObject();
  }

  private static double[] numbers(JsonObject golden, String name) {
    final JsonArray array = golden.getAsJsonArray(name);
    return IntStream.range(0, array.size()).mapToDouble(i -> array.get(i).getAsDouble()).toArray();
  }

  private static void assertNear(double[] expected, double[] actual, double relative) {
    assertEquals(expected.length, actual.length);
    for (int i = 0; i < expected.length; ++i) assertEquals(expected[i], actual[i], relative * Math.abs(expected[i]), "step " + (i + 1));
  }
}
