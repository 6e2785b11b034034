// SPDX-License-Identifier: Apache-2.0
package org.steptuner.curvature;

/**
 * The gradient of the loss at displaced parameters, for curvature by finite difference. It must be of the same batch as the step's and
 * must leave the step's own gradients alone, which the step still needs: that is why it has memory of its own.
 */
@FunctionalInterface
public interface GradientFunction {
  /**
   * The gradient at the parameters as they are in memory now, which are not those of the step.
   *
   * @param gradient receives it, without a loss scale; full of zeros, so that it may be written or added to. The library's memory, only
   *     for the duration of the call
   */
  void gradient(ParameterVector gradient);
}
