// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/** Checks of hyperparameters, with messages that name the argument, its value and what is allowed. */
final class Check {
  private Check() {}

  static double notNegative(String name, double value) {
    if (!(value >= 0 && value <= Double.MAX_VALUE))
      throw new IllegalArgumentException(name + " must be finite and not negative, not " + value);
    return value;
  }

  /** In [0, 1). */
  static double decay(String name, double value) {
    if (!(value >= 0 && value < 1)) throw new IllegalArgumentException(name + " must be in [0, 1), not " + value);
    return value;
  }
}
