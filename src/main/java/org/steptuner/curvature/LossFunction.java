// SPDX-License-Identifier: Apache-2.0
package org.steptuner.curvature;

/**
 * The loss at trial parameters, on the batch of the step. A tuner moves the parameters in place, calls this, and moves them back. If
 * several processes train together, each returns the loss of its part of the batch, and the tuner goes by their mean.
 */
@FunctionalInterface
public interface LossFunction {
  /** The loss at the parameters as they are in memory now; infinite or NaN where it is not defined. */
  double loss();
}
