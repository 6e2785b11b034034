// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.Arrays;

/**
 * The sizes of a model's tensors, and where they lie in one block of memory.
 *
 * @param name for people
 * @param counts elements of each tensor
 * @param skew bytes by which every tensor misses a cache line
 */
record Shapes(String name, long[] counts, int skew) {
  private static final int LINE = 64;

  /** Tensors of all-MiniLM-L6-v2, 101 in all: how often, and the product of which sizes. */
  private static final long[][] MINILM = {
    {1, 30522 * 384}, {1, 512 * 384}, {1, 2 * 384}, {2, 384}, // embeddings: words, positions, types, norm
    {6 * 4, 384 * 384}, {6 * 4, 384}, // attention: query, key, value, output, with biases
    {6 * 2, 1536 * 384}, {6, 1536}, {6, 384}, // feed-forward: up, down, with biases
    {6 * 2 * 2, 384} // norms
  };

  static Shapes one(long count) {
    return new Shapes("one tensor", new long[] {count}, 0);
  }

  static Shapes many(int tensors, long count) {
    final long[] counts = new long[tensors];
    Arrays.fill(counts, count);
    return new Shapes(tensors + " tensors of " + count, counts, 0);
  }

  static Shapes transformer() {
    return new Shapes(
        "MiniLM-L6", Arrays.stream(MINILM).flatMapToLong(row -> java.util.stream.LongStream.generate(() -> row[1]).limit(row[0])).toArray(),
        0);
  }

  Shapes skewed(int bytes) {
    return new Shapes(name + ", addresses off by " + bytes, counts, bytes);
  }

  int tensors() {
    return counts.length;
  }

  long elements() {
    return Arrays.stream(counts).sum();
  }

  /** Where each tensor begins in a block of elements of {@code size} bytes. */
  long[] offsets(int size) {
    final long[] offsets = new long[counts.length];
    long next = skew;
    for (int t = 0; t < counts.length; ++t) {
      offsets[t] = next;
      next += (counts[t] * size + LINE - 1) / LINE * LINE;
    }
    return offsets;
  }

  /** Bytes of the block. */
  long bytes(int size) {
    return skew + Arrays.stream(counts).map(count -> (count * size + LINE - 1) / LINE * LINE).sum() + LINE;
  }
}
