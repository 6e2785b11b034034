// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Arrays;
import java.util.function.Supplier;

/**
 * Sums over the state of tensors that sit out, while others of their scope do not. An estimate that divides a sum over the past of all of
 * them by a norm of their state needs the norm over all of them: without those that sit out it would jump up, and a scale that only grows
 * would never come back.
 */
public final class AbsentSums {
  private final Supplier<Sweep> bind;
  private final String[] names;
  private final double[][] values; // by sum and segment
  private Sweep sweep; // null until a tensor sits out

  /**
   * @param bind binds the sweep, and puts its coefficients
   * @param names the names of its sums
   */
  AbsentSums(int segments, Supplier<Sweep> bind, String... names) {
    this.bind = bind;
    this.names = names;
    values = new double[names.length][segments];
  }

  /** A sum, by its place among the names, over those tensors of a segment that sit out; 0 where none does. */
  public double of(int sum, int segment) {
    return values[sum][segment];
  }

  /** Makes the sums of a segment 0. */
  public void clear(int segment) {
    for (double[] sum : values) sum[segment] = 0;
  }

  void clear() {
    for (double[] sum : values) Arrays.fill(sum, 0);
  }

  /** Takes the sums of the tensors that sweeps go over now. */
  void take() {
    if (sweep == null) sweep = bind.get();
    sweep.run();
    sweep.await();
    for (int i = 0; i < names.length; ++i) {
      final Sweep.Sum sum = sweep.sum(names[i]);
      for (int segment = 0; segment < values[i].length; ++segment) values[i][segment] = sum.of(segment);
    }
  }
}
