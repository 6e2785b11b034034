// SPDX-License-Identifier: Apache-2.0
package org.steptuner.curvature;

/**
 * The loss at parameters on trial. A tuner moves the parameters in place, calls this, and moves them back; the gradients and the batch
 * are those of the step. What one process of several returns must be the loss of all of them.
 */
@FunctionalInterface
public interface LossFunction {
  /** The loss at the parameters as they are in memory now; not finite where there is none. */
  double loss();
}
