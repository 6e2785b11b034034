// SPDX-License-Identifier: Apache-2.0
package org.steptuner.curvature;

/**
 * The gradient of the loss at displaced parameters, for curvature by finite difference. It must be computed on the batch of the step, and
 * must not overwrite the step's own gradients, because the step still needs them. So it is written into memory of the library.
 */
@FunctionalInterface
public interface GradientFunction {
  /**
   * Computes the gradient at the parameters as they are in memory now, which are not those of the step.
   *
   * @param gradient receives the gradient, without a loss scale. It is filled with zeros, so that the trainer may write or add. To be used
   *     only during the call
   */
  void gradient(ParameterVector gradient);
}
