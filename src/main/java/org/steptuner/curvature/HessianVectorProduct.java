// SPDX-License-Identifier: Apache-2.0
package org.steptuner.curvature;

/** The Hessian H of the loss at the parameters as they are in memory now, times a vector. */
@FunctionalInterface
public interface HessianVectorProduct {
  /**
   * {@code product <- H vector}.
   *
   * @param vector only to be read
   * @param product full of zeros, so that it may be written or added to; both are the library's memory, only for the duration of the call
   */
  void multiply(ParameterVector vector, ParameterVector product);
}
