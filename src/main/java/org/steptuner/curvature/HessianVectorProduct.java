// SPDX-License-Identifier: Apache-2.0
package org.steptuner.curvature;

/** The Hessian H of the loss at the parameters as they are in memory now, times a vector. */
@FunctionalInterface
public interface HessianVectorProduct {
  /**
   * Computes {@code product <- H vector}. Both vectors are memory of the library, to be used only during the call.
   *
   * @param vector may only be read
   * @param product receives the product; it is filled with zeros, so that the trainer may write or add
   */
  void multiply(ParameterVector vector, ParameterVector product);
}
