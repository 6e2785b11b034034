// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.steptuner.Ranks;

/** Processes that know nothing but sums find out what they have in common. */
@Timeout(60)
class AgreementTest {
  @Test
  void everyProcessFindsTheSameNamesAndHowManyHaveThem() throws Exception {
    final SplittableRandom random = new SplittableRandom(5);
    for (int count = 1; count <= 4; ++count) {
      final List<List<String>> names = new ArrayList<>();
      final Map<Long, Integer> expected = new TreeMap<>();
      for (int rank = 0; rank < count; ++rank) {
        names.add(new ArrayList<>());
        for (int name = 0; name < 60; ++name)
          if (random.nextInt(2) == 0) names.get(rank).add(random.nextInt(names.get(rank).size() + 1), "encoder/" + name);
        names.get(rank).forEach(name -> expected.merge(Agreement.hash(name), 1, Integer::sum));
      }
      try (Ranks ranks = new Ranks(count)) {
        for (Agreement.Union union : ranks.all(rank -> () -> new Agreement(ranks.reducer(rank)).union(names.get(rank)))) {
          assertArrayEquals(expected.keySet().stream().mapToLong(hash -> hash).toArray(), union.hashes());
          assertArrayEquals(expected.values().stream().mapToInt(holders -> holders).toArray(), union.holders());
          for (String name : names.get(0)) assertEquals(Agreement.hash(name), union.hashes()[union.place(name)]);
        }
        assertEquals(15, ranks.calls());
      }
    }
  }

  @Test
  void theSameFactsAreOneCall() throws Exception {
    for (int count = 1; count <= 3; ++count)
      try (Ranks ranks = new Ranks(count)) {
        final int expected = count;
        final List<Integer> found = ranks.all(rank -> () -> new Agreement(ranks.reducer(rank)).check(Map.of("tuner", "Mechanic")));
        found.forEach(processes -> assertEquals(expected, processes));
        assertEquals(1, ranks.calls());
      }
  }

  @Test
  void whateverDiffersIsNamedInEveryProcess() throws Exception {
    try (Ranks ranks = new Ranks(3)) {
      final List<Throwable> failures = ranks.failures(rank -> () -> {
        final Map<String, String> facts = new TreeMap<>(Map.of("same", "7", "clipNorm", rank == 1 ? "1.0" : "2.0"));
        if (rank == 2) facts.put("group 'x'", "SGD");
        return new Agreement(ranks.reducer(rank)).check(facts);
      });
      for (int rank = 0; rank < 3; ++rank) {
        final String message = failures.get(rank).getMessage();
        assertEquals(IllegalStateException.class, failures.get(rank).getClass(), message);
        assertTrue(message.contains("clipNorm: " + (rank == 1 ? "1.0" : "2.0")), message);
        assertEquals(rank == 2, message.contains("group 'x': SGD"), message);
        assertFalse(message.contains("same"), message);
      }
    }
  }

  @Test
  void aProcessThatLacksSomethingSaysThatOthersHaveMore() throws Exception {
    try (Ranks ranks = new Ranks(2)) {
      final List<Throwable> failures = ranks.failures(
          rank -> () -> new Agreement(ranks.reducer(rank)).check(rank == 0 ? Map.of("a", "1") : new TreeMap<>(Map.of("a", "1", "b", "2"))));
      assertTrue(failures.get(0).getMessage().contains("others have more settings"), failures.get(0).getMessage());
      assertTrue(failures.get(1).getMessage().contains("b: 2"), failures.get(1).getMessage());
    }
  }

  /** The largest number of processes, and the largest pieces: a single one that differs in one bit is noticed by all. */
  @Test
  void sumsAreExactForTheMostProcesses() {
    final long largest = -1L >>> 4;
    for (long other : new long[] {largest, largest - 1, largest ^ 1L << 59, 0}) {
      final double[] sums = new double[2 * Agreement.PIECES];
      for (int process = 0; process < Agreement.MOST_PROCESSES; ++process) {
        final double[] own = new double[sums.length];
        Agreement.put(own, 0, process == 4000 ? other : largest, Agreement.PIECES);
        for (int i = 0; i < sums.length; ++i) sums[i] += own[i];
      }
      final boolean same = other == largest;
      assertEquals(same, Agreement.same(sums, 0, largest, Agreement.PIECES, Agreement.MOST_PROCESSES));
      assertEquals(same, Agreement.same(sums, 0, other, Agreement.PIECES, Agreement.MOST_PROCESSES));
    }
  }

  /** Values whose mean is one of them: its process does not take them for equal. */
  @Test
  void noProcessFindsItsOwnAmongOthers() {
    final double[] sums = new double[2];
    for (long value : new long[] {1, 2, 3}) {
      final double[] own = new double[2];
      Agreement.put(own, 0, value, 1);
      for (int i = 0; i < 2; ++i) sums[i] += own[i];
    }
    for (long value : new long[] {1, 2, 3}) assertFalse(Agreement.same(sums, 0, value, 1, 3));
  }

  @Test
  void aReducerThatRoundsIsRefused() {
    final Agreement agreement = new Agreement((sums, count) -> {
      for (int i = 0; i < count; ++i) sums[i] = (float) (2 * sums[i]);
    });
    final String message = assertThrows(IllegalStateException.class, () -> agreement.check(Map.of("a", "1"))).getMessage();
    assertTrue(message.contains("exact sums"), message);
  }

  @Test
  void aReducerThatDoesNotAddIsRefused() {
    for (double factor : new double[] {0, 0.5, Double.NaN, 9000}) {
      final Agreement agreement = new Agreement((sums, count) -> {
        for (int i = 0; i < count; ++i) sums[i] *= factor;
      });
      assertThrows(IllegalStateException.class, () -> agreement.check(Map.of("a", "1")), "" + factor);
      assertThrows(IllegalStateException.class, () -> agreement.union(List.of("a", "b")), "" + factor);
    }
  }
}
