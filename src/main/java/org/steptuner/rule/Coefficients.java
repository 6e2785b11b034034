// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/** Takes the coefficients of a formula by their names, which are those of the native formula. */
public interface Coefficients {
  /**
   * Puts one coefficient.
   *
   * @param name a name of the formula's; give it as a literal, so that it is found without comparing letters
   * @param value its value from now on
   * @return this
   * @throws IllegalArgumentException if the formula has no such coefficient
   */
  Coefficients put(String name, double value);
}
