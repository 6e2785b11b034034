// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

/** The scalar half of hypergradient descent: the rate of one scope. */
final class HypergradientScalars {
  private final boolean multiplicative;
  private final double hyperRate;
  private final double smallestRate;
  private final double largestRate;

  double rate;

  HypergradientScalars(Hypergradient settings) {
    multiplicative = settings.variant == Hypergradient.Variant.MULTIPLICATIVE;
    hyperRate = settings.hyperRate;
    smallestRate = settings.smallestRate;
    largestRate = settings.largestRate;
    rate = settings.initialRate;
  }

  /**
   * Moves the rate. It stays if it would not be finite otherwise.
   *
   * @param before the rate to start from: this scope's own, or that after the update of the tensor before
   * @param product {@code <g, u'>}
   * @param gradientSquare {@code |g|^2}
   * @param directionSquare {@code |u'|^2}
   */
  void update(double before, double product, double gradientSquare, double directionSquare) {
    double after = before - hyperRate * product;
    if (multiplicative) {
      final double norms = Math.sqrt(gradientSquare) * Math.sqrt(directionSquare);
      after = norms > 0 ? before * (1 - hyperRate * (product / norms)) : before;
    }
    rate = Double.isFinite(after) ? Math.min(largestRate, Math.max(smallestRate, after)) : before;
  }
}
