// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/**
 * Adds the sums of a sweep over all processes of a sharded training, between the sweeps of a step. Each process owns a part of the
 * parameters. Every process must call {@code step} the same number of times; then all have the same scalars.
 */
@FunctionalInterface
public interface SumReducer {
  /**
   * Replaces every element by its total over all processes, the same bits on each of them.
   *
   * @param sums the sums of this process; to be used only during the call
   * @param count the number of leading elements to replace
   */
  void reduce(double[] sums, int count);
}
