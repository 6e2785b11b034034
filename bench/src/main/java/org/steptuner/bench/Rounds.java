// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.List;

/**
 * Times contenders alternately: a round takes one sample of each, and the next round begins with the next contender. Speeds of one
 * machine drift by far more than the differences that are asked for; ratios are therefore taken within a round, and their median is
 * reported.
 */
final class Rounds {
  // Threads of the last contender that still spin (libgomp's do, for milliseconds) must not run into the next one's sample.
  private static final long PAUSE_MILLIS = 8;
  private static final double LONG_OPERATION = 0.3e9;

  private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();

  private final double[][] times; // [contender][round], ns per operation
  private final double[][] shares; // of these times
  private final double[] allocated;

  private Rounds(double[][] times, double[][] shares, double[] allocated) {
    this.times = times;
    this.shares = shares;
    this.allocated = allocated;
  }

  static Rounds of(List<? extends Contender> contenders, Settings settings) {
    final int n = contenders.size();
    final int[] repetitions = new int[n];
    final int[] ahead = new int[n];
    double round = 0;
    for (int c = 0; c < n; ++c) {
      final Contender contender = contenders.get(c);
      double time = contender.time(1);
      if (time < 2 * LONG_OPERATION) time = contender.time(1); // what is longer is so by itself, and not because it is the first
      if (time < settings.sampleNanos())
        time = contender.time((int) Math.min(2000, 1 + settings.sampleNanos() / time)) / Math.min(2000, 1 + settings.sampleNanos() / time);
      repetitions[c] = (int) Math.max(1, Math.min(200_000, settings.sampleNanos() / time));
      ahead[c] = time > LONG_OPERATION ? 0 : 1 + repetitions[c] / 4;
      round += time * (repetitions[c] + ahead[c]) + PAUSE_MILLIS * 1e6;
    }
    final int rounds = (int) Math.max(settings.leastRounds(round), Math.min(settings.mostRounds(), settings.groupNanos() / round));
    final double[][] times = new double[n][rounds];
    final double[][] shares = new double[n][rounds];
    final double[] allocated = new double[n];
    Arrays.fill(allocated, Double.NaN);
    for (int r = 0; r < rounds; ++r)
      for (int k = 0; k < n; ++k) {
        final int c = (r + k) % n;
        final Contender contender = contenders.get(c);
        pause();
        if (ahead[c] > 0) contender.time(ahead[c]);
        final long bytes = contender.countsAllocation() ? THREADS.getCurrentThreadAllocatedBytes() : 0;
        times[c][r] = (double) contender.time(repetitions[c]) / repetitions[c];
        shares[c][r] = contender.share();
        if (contender.countsAllocation()) {
          final double each = (double) (THREADS.getCurrentThreadAllocatedBytes() - bytes) / repetitions[c];
          allocated[c] = Double.isNaN(allocated[c]) ? each : Math.min(allocated[c], each);
        }
      }
    return new Rounds(times, shares, allocated);
  }

  /** Median nanoseconds of an operation. */
  double time(int contender) {
    return median(times[contender].clone());
  }

  /** Median nanoseconds of the part of an operation that is timed by itself. */
  double part(int contender) {
    final double[] parts = new double[times[contender].length];
    for (int r = 0; r < parts.length; ++r) parts[r] = times[contender][r] * shares[contender][r];
    return median(parts);
  }

  /** Median over the rounds of that part over the operation that it is a part of. */
  double share(int contender) {
    return median(shares[contender].clone());
  }

  /** Median over the rounds of one contender's time over another's. */
  double ratio(int contender, int over) {
    final double[] ratios = new double[times[contender].length];
    for (int r = 0; r < ratios.length; ++r) ratios[r] = times[contender][r] / times[over][r];
    return median(ratios);
  }

  /** Java heap bytes of an operation, the least over the rounds (other code of the thread may be compiled in between). */
  Double allocated(int contender) {
    return Double.isNaN(allocated[contender]) ? null : allocated[contender];
  }

  int rounds() {
    return times[0].length;
  }

  private static double median(double[] values) {
    Arrays.sort(values);
    final int n = values.length;
    return n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
  }

  private static void pause() {
    try {
      Thread.sleep(PAUSE_MILLIS);
    } catch (InterruptedException e) {
      throw new IllegalStateException("interrupted", e);
    }
  }
}
