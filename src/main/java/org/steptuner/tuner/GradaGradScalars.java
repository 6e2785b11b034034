// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

/** The scalar half of GradaGrad: the rate of one scope. */
final class GradaGradScalars {
  private final double rho;
  private final double r;
  private final double largest; // gamma

  double alpha;
  double gamma;

  GradaGradScalars(GradaGrad settings) {
    rho = settings.rho;
    r = settings.r;
    alpha = settings.initialAccumulator;
    gamma = settings.initialRate;
    largest = settings.initialRate * settings.maxGrowth;
  }

  /**
   * Takes what is known of a gradient.
   *
   * @param square {@code |g|^2}
   * @param product {@code <g, g'>} with the gradient of the last step
   */
  void update(double square, double product) {
    final double v = square - rho * product;
    if (v >= 0) alpha += v;
    else if (v < 0 && alpha > 0) gamma = Math.min(largest, gamma * Math.sqrt(1 - Math.max(v, -r * alpha) / alpha));
  }

  /** Takes gamma back from a checkpoint, within the limit that there is now. Where it is not learned, it is the present setting. */
  void restore(double value) {
    gamma = rho > 0 ? Math.min(largest, value) : gamma;
  }

  /** {@code gamma / sqrt(alpha)}; 0 before there was a gradient. */
  double rate() {
    return alpha > 0 ? gamma / Math.sqrt(alpha) : 0;
  }
}
