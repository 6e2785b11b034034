// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/** An optimizer that keeps something for each part of the data, and so must know which part a gradient is of. */
public interface PartedOptimizer extends Optimizer {
  /**
   * One step with the gradient and the loss of a part at the current parameters.
   *
   * @param part from 0 to {@link #parts} - 1
   * @throws IllegalArgumentException if there is no such part
   */
  StepReport step(double loss, int part);

  /** How many parts there are. */
  int parts();
}
