// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

/** The scalar half of the Newton-based rate and of the first-order one: the rate of one scope. */
final class NewtonRateScalars {
  private final NewtonRate.Variant variant;
  private final double gamma;
  private final double eta;
  private final double maxFactor;
  private final double smallestRate;
  private final double largestRate;

  double rate;
  double factor; // by which the last step has multiplied the rate; 0 where it ended no window

  NewtonRateScalars(NewtonRate settings) {
    variant = settings.variant;
    gamma = settings.gamma;
    eta = settings.eta;
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
   * @param squareNow {@code |u'|^2}
   */
  void update(double product, double square, double squareNow) {
    double after = wanted(product, square, squareNow);
    factor = after / rate;
    if (variant != NewtonRate.Variant.RELEASED) after = Math.min(largestRate, Math.max(smallestRate, after));
    // A rate of 0 could not leave it, and has no window to look back at.
    if (Double.isFinite(after) && after != 0) rate = after;
  }

  /** Takes the rate back from a checkpoint, within the bounds that there are now. */
  void restore(double value) {
    rate = variant == NewtonRate.Variant.RELEASED ? value : Math.min(largestRate, Math.max(smallestRate, value));
  }

  private double wanted(double product, double square, double squareNow) {
    final double difference = square - product;
    final double norms = Math.sqrt(square) * Math.sqrt(squareNow);
    return switch (variant) {
      case PAPER -> difference > 0 ? rate * Math.min(1 + gamma * product / difference, maxFactor) : rate;
      case RELEASED -> rate * (1 + gamma * product / (difference + 1e-10));
      case FIRST_ORDER_ADDITIVE -> norms > 0 ? rate + eta * product : rate;
      case FIRST_ORDER_MULTIPLICATIVE -> norms > 0 ? rate * (1 + eta * product / norms) : rate;
    };
  }
}
