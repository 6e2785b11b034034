// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/** An optimizer that keeps a value for each part of the data, and so must know which part a gradient belongs to. */
public interface PartedOptimizer extends Optimizer {
  /**
   * One step with the gradient and the loss of a part at the current parameters.
   *
   * @param loss of that part at the current parameters
   * @param part from 0 to {@link #parts} - 1
   * @return what it did; the same object every time, see {@link StepReport#copy}
   * @throws IllegalArgumentException if there is no such part
   */
  StepReport step(double loss, int part);

  /** The number of parts. */
  int parts();
}
