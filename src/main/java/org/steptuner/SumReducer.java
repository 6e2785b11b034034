// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/**
 * Adds the sums of a sweep over all processes of a sharded training, between a step's sweeps. Each process owns a part of the
 * parameters; every process must call {@code step} the same number of times and then holds the same scalars.
 */
@FunctionalInterface
public interface SumReducer {
  /**
   * Replaces every element by its total over all processes, the same bits on each of them.
   *
   * @param sums the sums of this process; only for the duration of the call
   * @param count the number of leading elements to replace
   */
  void reduce(double[] sums, int count);
}
