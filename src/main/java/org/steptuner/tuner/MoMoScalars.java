// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.rule.Coefficients;

/** The scalar half of MoMo (algorithms 1 and 2): the model of the loss and the rate that it allows. */
final class MoMoScalars {
  // What optax takes for no length at all: float64's epsilon.
  private static final double LEAST_LENGTH = Math.ulp(1.0);

  private final double beta; // without a schedule
  private final boolean corrected;
  private final boolean estimateBound;
  private final double leastBound;
  private final double leastLength;

  double momentum; // beta of this step
  double loss; // f, averaged
  double product; // gamma, the average of <x, g>
  double bound;
  double tau;
  boolean modelAtBound; // of the last step: the model of the loss is not above the bound
  double limit = Double.NaN; // what tau would be without an upper limit
  long t;

  MoMoScalars(MoMo settings) {
    beta = settings.beta;
    momentum = beta;
    corrected = settings.corrected();
    estimateBound = settings.estimateBound;
    leastBound = settings.bound;
    leastLength = settings.variant == MoMo.Variant.OPTAX ? LEAST_LENGTH : 0;
    bound = leastBound;
  }

  /** Takes the bound back from a checkpoint. The least one is a setting, and so is the bound where it is not estimated. */
  void restoreBound(double value) {
    bound = estimateBound ? Math.max(value, leastBound) : leastBound;
  }

  /** Begins a step whose momentum is that of the rule times a factor. */
  void begin(double momentumFactor) {
    momentum = beta * momentumFactor;
  }

  /** What averages keep in the step after some: nothing in a first step that does not start at 0. */
  double retention(long made) {
    return made == 0 && !corrected ? 0 : momentum;
  }

  /** The weight of what comes new into averages. */
  double gain(long made) {
    return made == 0 && !corrected ? 1 : 1 - momentum;
  }

  /** What the averages are of true averages after some steps: rho, or c. */
  double correction(long made) {
    return corrected ? 1 - Math.pow(beta, made) : 1;
  }

  /** That of the last step. */
  double correction() {
    return correction(t);
  }

  /** Puts the settings of what computes the same on devices. */
  void putSettings(Coefficients to) {
    to.put("estimateBound", estimateBound ? 1 : 0).put("leastBound", leastBound).put("leastLength", leastLength);
  }

  /**
   * Takes what a step observed and sets {@link #tau}.
   *
   * @param newLoss the loss at x
   * @param parameterGradient {@code <x, g>}
   * @param parameterAverage {@code <x, m>}
   * @param length {@code <m, m / D>}
   * @param rate the upper limit
   * @param decay the weight decay
   */
  void update(double newLoss, double parameterGradient, double parameterAverage, double length, double rate, double decay) {
    loss = retention(t) * loss + gain(t) * newLoss;
    product = retention(t) * product + gain(t) * parameterGradient;
    ++t;
    final double c = correction();
    final double k = 1 + rate * decay;
    if (estimateBound) {
      final double most = k * loss + parameterAverage - k * product;
      if (most < k * c * bound) bound = Math.max(most / (2 * k * c), leastBound);
    }
    final double above = Math.max(k * (loss - c * bound) + parameterAverage - k * product, 0);
    modelAtBound = above == 0;
    limit = length > leastLength ? above / length : 0;
    tau = Math.min(rate / c, limit);
    if (estimateBound) bound = Math.max((loss + parameterAverage - product - tau / 2 * length) / c, leastBound);
  }
}
