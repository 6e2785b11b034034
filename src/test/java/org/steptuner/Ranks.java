// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.function.IntFunction;

/** Processes as threads of one JVM, which add their sums. A rank that fails lets the others fail too instead of waiting for it. */
public final class Ranks implements AutoCloseable {
  private final int count;
  private final double[][] parts;
  private final ExecutorService threads;
  private int calls;
  private int arrived;
  private long meetings;
  private boolean failed;

  public Ranks(int count) {
    this.count = count;
    parts = new double[count][];
    threads = Executors.newFixedThreadPool(count);
  }

  public int count() {
    return count;
  }

  /** How often sums have been added. */
  public int calls() {
    return calls;
  }

  public SumReducer reducer(int rank) {
    return (sums, length) -> {
      parts[rank] = Arrays.copyOf(sums, length);
      meet();
      for (double[] part : parts)
        if (part.length != length) throw new AssertionError("one rank adds " + part.length + " sums, another one " + length);
      Arrays.fill(sums, 0, length, 0);
      for (double[] part : parts) for (int i = 0; i < length; ++i) sums[i] += part[i];
      meet();
      if (rank == 0) ++calls;
    };
  }

  /** Waits for all ranks. */
  public synchronized void meet() {
    final long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
    final long meeting = meetings;
    if (++arrived == count) {
      arrived = 0;
      ++meetings;
      notifyAll();
    }
    while (meetings == meeting) {
      final long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
      if (failed || left <= 0) throw new AssertionError("a rank is missing");
      try {
        wait(left);
      } catch (InterruptedException e) {
        throw new AssertionError(e);
      }
    }
  }

  private synchronized void fail() {
    failed = true;
    notifyAll();
  }

  /** What every rank gives, each in a thread of its own. The first failure is thrown. */
  public <T> List<T> all(IntFunction<Callable<T>> work) throws Exception {
    final List<T> results = new ArrayList<>();
    for (Future<T> rank : begin(work)) {
      try {
        results.add(rank.get(40, TimeUnit.SECONDS));
      } catch (ExecutionException e) {
        if (e.getCause() instanceof Exception cause) throw cause;
        throw (Error) e.getCause();
      }
    }
    return results;
  }

  /** What every rank throws, by rank; null for one that does not. */
  public <T> List<Throwable> failures(IntFunction<Callable<T>> work) throws Exception {
    final List<Throwable> failures = new ArrayList<>();
    for (Future<T> rank : begin(work)) {
      try {
        rank.get(40, TimeUnit.SECONDS);
        failures.add(null);
      } catch (ExecutionException e) {
        failures.add(e.getCause());
      }
    }
    return failures;
  }

  private <T> List<Future<T>> begin(IntFunction<Callable<T>> work) {
    final List<Future<T>> futures = new ArrayList<>();
    synchronized (this) {
      arrived = 0;
      failed = false;
    }
    for (int rank = 0; rank < count; ++rank) {
      final Callable<T> task = work.apply(rank);
      futures.add(threads.submit(() -> {
        try {
          return task.call();
        } catch (Throwable e) {
          fail();
          throw e;
        }
      }));
    }
    return futures;
  }

  @Override
  public void close() {
    threads.shutdownNow();
  }
}
