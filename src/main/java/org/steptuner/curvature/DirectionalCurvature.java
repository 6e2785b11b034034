// SPDX-License-Identifier: Apache-2.0
package org.steptuner.curvature;

/** The curvature of the loss along a direction, from a trainer that knows it: by double backward, or in closed form. */
@FunctionalInterface
public interface DirectionalCurvature {
  /**
   * {@code <u, H u>} with the Hessian H of the loss at the parameters as they are in memory now.
   *
   * @param u the direction; only to be read, and only during the call
   * @return with several processes that share out the parameters: this one's part of the sum
   */
  double along(ParameterVector u);
}
