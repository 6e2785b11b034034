// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

/** The scalar half of CDAT: the averages of slope and curvature along u, and the rate that they make. */
final class CDATScalars {
  private final double sigma;
  private final double ema;
  private final double epsilon;
  private final double maxRate;
  private final boolean greedy;

  double numerator; // n
  double denominator; // d
  double meanNumerator;
  double meanDenominator;
  double eta;

  CDATScalars(CDAT settings) {
    sigma = settings.sigma;
    ema = settings.ema;
    epsilon = settings.epsilon;
    maxRate = settings.maxRate;
    greedy = settings.greedy;
  }

  /** A rate within the limit. */
  double limited(double rate) {
    return Math.min(rate, maxRate);
  }

  /**
   * Takes what a step measured.
   *
   * @param slope {@code <g, u>}
   * @param curvature {@code <u, H u>}
   * @return the rate that it would make; one that is not finite changes nothing, unless it is to be taken all the same
   */
  double found(double slope, double curvature) {
    final double meanN = ema * meanNumerator + (1 - ema) * numerator(slope);
    final double meanD = ema * meanDenominator + (1 - ema) * denominator(curvature);
    return meanN == 0 ? 0 : limited(sigma * (meanN / meanD));
  }

  /** Makes the rate of {@link #found} the one to use. */
  void accept(double slope, double curvature) {
    eta = found(slope, curvature);
    numerator = numerator(slope);
    denominator = denominator(curvature);
    meanNumerator = ema * meanNumerator + (1 - ema) * numerator;
    meanDenominator = ema * meanDenominator + (1 - ema) * denominator;
  }

  private double numerator(double slope) {
    return greedy ? -slope : Math.max(-slope, 0);
  }

  private double denominator(double curvature) {
    return greedy ? curvature : Math.abs(curvature) + epsilon;
  }
}
