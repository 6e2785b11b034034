// SPDX-License-Identifier: Apache-2.0
package org.steptuner.curvature;

/** The curvature of the loss along a direction, which the trainer computes, by automatic differentiation or in closed form. */
@FunctionalInterface
public interface DirectionalCurvature {
  /**
   * {@code <u, H u>} with the Hessian H of the loss at the parameters as they are in memory now.
   *
   * @param u the direction; it may only be read, and only during the call
   * @return {@code <u, H u>}; if several processes share the parameters, each returns its part of the sum
   */
  double along(ParameterVector u);
}
