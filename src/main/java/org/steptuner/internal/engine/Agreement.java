// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.steptuner.SumReducer;

/**
 * Finds out, by sums over all processes alone, what the processes have in common. No process has a number, and all of them come to the same
 * result.
 *
 * <p>Whether something is equal everywhere: its hash is cut into pieces p. With n processes and any q, {@code sum(p) = n q} and {@code
 * sum(p^2) = n q^2} hold together only if every p is q. So a process that puts its own p for q learns whether all have it. The sums are
 * exact: a piece has 20 bits, and there are at most 2^13 processes.
 *
 * <p>Which names there are: all processes search a tree of hashes together, 4 bits at a time. They count how many of them have a hash that
 * begins in each way, and go on where the count is not 0.
 */
final class Agreement {
  /** The pieces of a hash that is compared with care. */
  static final int PIECES = 3;
  /** The most processes for which the sums are exact. */
  static final int MOST_PROCESSES = 1 << 13;
  private static final int PIECE_BITS = 20;
  private static final int HASH_BITS = PIECES * PIECE_BITS;
  private static final int LEVEL_BITS = 4;
  private static final int BRANCHES = 1 << LEVEL_BITS;

  private final SumReducer reducer;

  Agreement(SumReducer reducer) {
    this.reducer = reducer;
  }

  /**
   * What all processes have together.
   *
   * @param hashes in order, the same in every process
   * @param holders of each: how many processes have it
   */
  record Union(long[] hashes, int[] holders) {
    /** The place of something that this process has. */
    int place(String name) {
      return Arrays.binarySearch(hashes, hash(name));
    }
  }

  /**
   * Ensures that all processes have the same facts.
   *
   * @param facts values by name; in the same order everywhere if they are the same
   * @return how many processes there are
   * @throws IllegalStateException in every process, if the facts differ
   */
  int check(Map<String, String> facts) {
    final long all = hash(facts.toString());
    final double[] sums = new double[1 + 2 * PIECES];
    sums[0] = 1;
    put(sums, 1, all, PIECES);
    reducer.reduce(sums, sums.length);
    final double processes = sums[0];
    if (!(processes >= 1 && processes <= MOST_PROCESSES && processes == Math.rint(processes)))
      throw new IllegalStateException(
          "the sum reducer makes " + processes + " of a 1 of each process; there may be up to " + MOST_PROCESSES + " processes");
    final int count = (int) processes;
    if (same(sums, 1, all, PIECES, count)) return count;
    final List<String> own = facts.entrySet().stream().map(fact -> fact.getKey() + ": " + fact.getValue()).toList();
    final Union union = union(own);
    final List<String> differing = new ArrayList<>();
    for (String fact : own) if (union.holders[union.place(fact)] != count) differing.add(fact);
    if (differing.isEmpty() && union.hashes.length == own.size()) throw inconsistent();
    throw new IllegalStateException(
        "the processes that train together do not agree. Of " + count + " processes not all have what this one has: "
            + (differing.isEmpty() ? "others have more settings" : String.join("; ", differing)));
  }

  /** The names that there are in any process. */
  Union union(Collection<String> names) {
    final long[] own = names.stream().mapToLong(Agreement::hash).sorted().toArray();
    for (int i = 1; i < own.length; ++i)
      if (own[i] == own[i - 1]) throw new IllegalStateException("two names have the same hash: rename one of " + names);
    long[] known = {0};
    int[] holders = {};
    for (int shift = HASH_BITS - LEVEL_BITS; shift >= 0; shift -= LEVEL_BITS) {
      final double[] counts = counts(own, known, shift);
      int found = 0;
      for (double count : counts) if (count != 0) ++found;
      final long[] next = new long[found];
      holders = new int[found];
      for (int i = 0, at = 0; i < counts.length; ++i) {
        if (counts[i] == 0) continue;
        next[at] = known[i / BRANCHES] << LEVEL_BITS | i % BRANCHES;
        holders[at++] = (int) counts[i];
      }
      known = next;
    }
    for (long hash : own) if (Arrays.binarySearch(known, hash) < 0) throw inconsistent();
    return new Union(known, holders);
  }

  // How many processes have a hash below each branch of what is known. Several hashes of a process below one branch count once.
  private double[] counts(long[] own, long[] known, int shift) {
    final double[] counts = new double[known.length * BRANCHES];
    for (long hash : own) {
      final long beginning = hash >>> shift;
      final int parent = Arrays.binarySearch(known, beginning >>> LEVEL_BITS);
      if (parent < 0) throw inconsistent();
      counts[parent * BRANCHES + (int) (beginning % BRANCHES)] = 1;
    }
    reducer.reduce(counts, counts.length);
    for (double count : counts) if (!(count >= 0 && count <= MOST_PROCESSES && count == Math.rint(count))) throw inconsistent();
    return counts;
  }

  private static IllegalStateException inconsistent() {
    return new IllegalStateException(
        "the sum reducer does not give every process the exact sums of all of them, the same bits in each");
  }

  /** A hash of 60 bits, the same in every process. */
  static long hash(String text) {
    try {
      final byte[] digest = MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
      return ByteBuffer.wrap(digest).getLong() >>> Long.SIZE - HASH_BITS;
    } catch (NoSuchAlgorithmException e) {
      throw new AssertionError(e); // every Java platform has it
    }
  }

  /** Puts the pieces of a hash, and their squares, where they will be added over all processes. */
  static void put(double[] to, int at, long hash, int pieces) {
    for (int i = 0; i < pieces; ++i) {
      final double piece = piece(hash, i);
      to[at + 2 * i] = piece;
      to[at + 2 * i + 1] = piece * piece;
    }
  }

  /** Whether every process has put the hash of this one. If not, no process finds its own. */
  static boolean same(double[] sums, int at, long hash, int pieces, int processes) {
    for (int i = 0; i < pieces; ++i) {
      final double piece = piece(hash, i);
      if (sums[at + 2 * i] != processes * piece || sums[at + 2 * i + 1] != processes * (piece * piece)) return false;
    }
    return true;
  }

  private static double piece(long hash, int number) {
    return hash >>> number * PIECE_BITS & (1 << PIECE_BITS) - 1;
  }
}
