// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/**
 * A gradient, a parameter, an element of the state, a loss or a curvature is infinite or not a number, and the optimizer was built with
 * {@link NonFinite#THROW}. The message says which, and names the first tensors. Parameters and state are as before the step.
 */
public final class NonFiniteException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /**
   * An exception without a cause.
   *
   * @param message what is wrong, and where
   */
  public NonFiniteException(String message) {
    super(message);
  }
}
