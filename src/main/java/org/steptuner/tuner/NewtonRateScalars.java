// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

/** The scalar half of the Newton-based rate: the rate of one scope. */
final class NewtonRateScalars {
  private final boolean released;
  private final double gamma;
  private final double maxFactor;
  private final double smallestRate;
  private final double largestRate;

  double rate;
  double factor; // by which the last step has multiplied the rate; 0 where it ended no window

  NewtonRateScalars(NewtonRate settings) {
    released = settings.variant == NewtonRate.Variant.RELEASED;
    gamma = settings.gamma;
    maxFactor = settings.maxFactor;
    smallestRate = settings.smallestRate;
    largestRate = settings.largestRate;
    rate = settings.initialRate;
  }

  /**
   * Takes what a window looks back at.
   *
   * @param product {@code a = <u, u'>}
   * @param square {@code b = |u|^2}
   */
  void update(double product, double square) {
    final double difference = square - product;
    double after = rate;
    factor = 1;
    if (released) {
      factor = 1 + gamma * product / (difference + 1e-10);
      after *= factor;
    } else if (difference > 0) {
      factor = Math.min(1 + gamma * product / difference, maxFactor);
      after = Math.min(largestRate, Math.max(smallestRate, after * factor));
    }
    // A rate of 0 could not leave it, and has no window to look back at.
    if (Double.isFinite(after) && after != 0) rate = after;
  }
}
