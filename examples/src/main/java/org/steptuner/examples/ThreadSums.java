// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Phaser;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.IntConsumer;
import org.steptuner.SumReducer;

/** Threads that stand for processes: they meet, and add their sums. Processes would do that with NCCL, MPI or Gloo. */
final class ThreadSums {
  private static final int SECONDS = 30;

  private final double[][] parts;
  private final Phaser phaser;

  ThreadSums(int ranks) {
    parts = new double[ranks][];
    phaser = new Phaser(ranks);
  }

  /** Adds in the order of the ranks, so that all get the same bits. */
  SumReducer reducer(int rank) {
    return (sums, count) -> {
      parts[rank] = Arrays.copyOf(sums, count);
      meet();
      Arrays.fill(sums, 0, count, 0);
      for (double[] part : parts) for (int i = 0; i < count; ++i) sums[i] += part[i];
      meet(); // now a rank may give its next sums
    };
  }

  /** Waits for all ranks; throws if one of them failed, or does not come. */
  void meet() {
    try {
      if (phaser.awaitAdvanceInterruptibly(phaser.arrive(), SECONDS, TimeUnit.SECONDS) >= 0) return;
      throw new IllegalStateException("another process has failed");
    } catch (TimeoutException e) {
      throw new IllegalStateException("another process has not come within " + SECONDS + " seconds", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted", e);
    }
  }

  /** Runs every rank in a thread of its own, and waits for all of them. Throws what the first one threw that failed. */
  void run(IntConsumer work) {
    final List<Throwable> failures = new ArrayList<>();
    final List<Thread> threads = new ArrayList<>();
    for (int rank = 0; rank < parts.length; ++rank) {
      final int own = rank;
      threads.add(new Thread(() -> {
        try {
          work.accept(own);
        } catch (RuntimeException | Error e) {
          synchronized (failures) {
            failures.add(e);
          }
          phaser.forceTermination(); // the others need not wait
        }
      }, "process " + rank));
    }
    threads.forEach(Thread::start);
    for (Thread thread : threads) join(thread);
    if (failures.isEmpty()) return;
    if (failures.get(0) instanceof Error error) throw error;
    throw (RuntimeException) failures.get(0);
  }

  // Until it has ended, whatever happens: it uses memory that is freed after it.
  private static void join(Thread thread) {
    boolean interrupted = false;
    while (true) {
      try {
        thread.join();
        if (interrupted) Thread.currentThread().interrupt();
        return;
      } catch (InterruptedException e) {
        interrupted = true;
        thread.interrupt();
      }
    }
  }
}
