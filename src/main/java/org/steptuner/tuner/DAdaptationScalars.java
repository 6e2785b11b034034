// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

/** The scalar half of D-Adaptation: the bound d of one scope. */
final class DAdaptationScalars {
  private final double growthRate;
  private final double maxRate;

  double d;
  double numerator; // SGD, Adam, Lion
  double firstNorm; // SGD: |g_1|; 0 until there was a gradient
  double gradientWeighted; // B of AdaGrad and Adan
  double sumWeighted; // A of AdaGrad and Adan
  double sumNorm; // |s|_1, for SGD |s|
  long t; // steps that were not frozen

  DAdaptationScalars(DAdaptation settings) {
    growthRate = settings.growthRate;
    maxRate = settings.maxRate;
    d = settings.initialRate;
  }

  /** Raises d to an estimate. One that is not a number says nothing. */
  private void raise(double estimate) {
    final double limited = Math.min(estimate, growthRate * d);
    if (limited > d) d = Math.min(limited, maxRate);
  }

  /**
   * SGD.
   *
   * @param gradientSum {@code r <g, s>} of the old s
   * @param sumSquare {@code |s|^2}
   */
  void sgd(double gradientSum, double sumSquare) {
    if (sumSquare == 0) return;
    ++t;
    numerator += gradientSum;
    sumNorm = Math.sqrt(sumSquare);
    raise(2 * numerator / sumNorm);
  }

  /**
   * Adam and Lion.
   *
   * @param retention {@code b}, the square root of beta2
   * @param product {@code r} times the inner product of the old s with what it is to be compared with
   * @param norm {@code |s|_1}
   * @param moves whether the rate was positive
   */
  void averaged(double retention, double product, double norm, boolean moves) {
    if (norm == 0) return;
    ++t;
    if (!moves) return;
    numerator = retention * numerator + (1 - retention) * product;
    sumNorm = norm;
    raise(numerator / ((1 - retention) * norm));
  }

  /**
   * AdaGrad.
   *
   * @param gradients {@code r^2 <g, g / (sqrt(a) + epsilon)>}
   * @param weighted {@code <s, s / (sqrt(a) + epsilon)>}
   * @param norm {@code |s|_1}
   * @param moves whether the rate was positive
   */
  void adaGrad(double gradients, double weighted, double norm, boolean moves) {
    if (norm == 0) return;
    ++t;
    gradientWeighted += gradients;
    sumWeighted = weighted;
    sumNorm = norm;
    if (moves) raise((sumWeighted - gradientWeighted) / sumNorm);
  }

  /**
   * Adan.
   *
   * @param retention {@code beta3}
   * @param gradients {@code r^2 <g, g / (sqrt(v) + epsilon)>}
   * @param weighted {@code <s, s / (sqrt(v) + epsilon)>}
   * @param norm {@code |s|_1}
   * @param moves whether the rate was positive
   */
  void adan(double retention, double gradients, double weighted, double norm, boolean moves) {
    if (norm == 0) return;
    ++t;
    gradientWeighted = retention * gradientWeighted + (1 - retention) * gradients;
    sumWeighted = weighted;
    sumNorm = norm;
    if (moves) raise((sumWeighted / (1 - retention) - gradientWeighted) / sumNorm);
  }
}
