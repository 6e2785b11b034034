// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/** Takes the coefficients of a formula by their names, which are those of the native formula. */
public interface Coefficients {
  /**
   * Puts one coefficient.
   *
   * @param name a coefficient of the formula; a string literal is found fastest, because it is compared by reference first
   * @param value its value from now on
   * @return this
   * @throws IllegalArgumentException if the formula has no such coefficient
   */
  Coefficients put(String name, double value);
}
