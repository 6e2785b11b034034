// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

/** One thing that is timed: a sweep, a step, a peer's step. It holds its memory until it is closed. */
interface Contender extends AutoCloseable {
  String name();

  /** The thing once. */
  void run();

  /** Time that {@code repetitions} take, in nanoseconds. */
  default long time(int repetitions) {
    final long begin = System.nanoTime();
    for (int i = 0; i < repetitions; ++i) run();
    return System.nanoTime() - begin;
  }

  /** The share of the time that {@link #time} last returned which is asked about: all, where a part is not timed by itself. */
  default double share() {
    return 1;
  }

  /** Whether what it allocates is ours to answer for. */
  default boolean countsAllocation() {
    return false;
  }

  @Override
  default void close() {}
}
