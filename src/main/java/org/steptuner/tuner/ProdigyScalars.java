// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

/** The scalar half of Prodigy (algorithm 4): the estimate d of one scope. */
final class ProdigyScalars {
  private final double beta3;
  private final double initial; // d0
  private final double coefficient;
  private final double growthRate;
  private final double maxRate;

  double d;
  double largest; // d_max
  double estimate; // d_hat
  double numerator;
  double denominator; // |s|_1
  long t; // steps that were not frozen

  ProdigyScalars(Prodigy settings) {
    beta3 = settings.beta3();
    initial = settings.initialRate;
    coefficient = settings.coefficient;
    growthRate = settings.growthRate;
    maxRate = settings.maxRate;
    d = initial;
    largest = initial;
    estimate = initial;
  }

  /** {@code d / d0}, the weight of a gradient in numerator and sum. */
  double weight() {
    return d / initial;
  }

  /**
   * Takes what a step observed. An estimate that is not a number leaves d as it is.
   *
   * @param progress {@code d/d0 r <g, x0 - x>}
   * @param sumNorm {@code |s|_1}, after the step; positive
   */
  void update(double progress, double sumNorm) {
    ++t;
    final double next = beta3 * numerator + progress;
    final double hat = coefficient * next / sumNorm;
    if (Double.isNaN(hat)) return;
    numerator = next;
    denominator = sumNorm;
    estimate = hat;
    if (d == initial) d = Math.max(d, hat);
    largest = Math.max(largest, hat);
    d = Math.min(Math.min(largest, d * growthRate), maxRate);
  }
}
