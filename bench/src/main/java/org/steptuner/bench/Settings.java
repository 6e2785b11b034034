// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.util.regex.Pattern;
import org.steptuner.Device;

/**
 * How much is measured.
 *
 * @param quick a selection of sweeps and sizes, and few rounds
 * @param filter what to run: groups whose name it finds
 */
record Settings(boolean quick, Pattern filter) {
  private static final double LONG_ROUND = 2e9;

  boolean wants(String group) {
    return filter.matcher(group).find();
  }

  /** One thread, and one for each processor. */
  int[] threads() {
    final int all = Device.cpu(0).threads();
    return all == 1 ? new int[] {1} : new int[] {1, all};
  }

  long[] sizes() {
    return quick ? new long[] {100_000, 10_000_000} : new long[] {10_000, 100_000, 1_000_000, 10_000_000, 50_000_000};
  }

  long[] stepSizes() {
    return quick ? new long[] {100_000, 10_000_000, 50_000_000} : sizes();
  }

  double sampleNanos() {
    return quick ? 4e6 : 10e6;
  }

  /** What a group of contenders may take, as far as its least number of rounds allows. */
  double groupNanos() {
    return quick ? 0.5e9 : 1e9;
  }

  /** By what a round takes: where it takes seconds, a quick run cannot have many. */
  int leastRounds(double roundNanos) {
    return !quick ? 7 : roundNanos < LONG_ROUND ? 5 : 3;
  }

  int mostRounds() {
    return quick ? 9 : 31;
  }
}
