// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

/**
 * The scalar half of D-Adaptation and Prodigy as they are analysed: the bound d of one scope. The vectors are {@code s <- s + gain r g} and
 * {@code x <- x0 - factor s}.
 */
abstract sealed class DistanceScalars {
  private final double growthRate;
  private final double maxRate;

  double d;
  double estimate; // d_hat
  double squares; // A
  double numerator; // n; in dual averaging Q
  double bound; // G
  double sumNorm; // |s|
  double gain; // of the gradient in s, by the rate
  double stepSize; // lambda; Prodigy's eta, in which the rate is
  double factor; // gamma; 0 before the first step and after a reset, when s is 0
  double weights; // of the x in the average
  long t; // steps that were not left out
  long resets;

  // Of the step under way.
  boolean moves;
  boolean resetsNow;
  double oldFactor;
  double retention; // of the average
  double intake;

  private DistanceScalars(DistanceAdaptation settings) {
    growthRate = settings.growthRate;
    maxRate = settings.maxRate;
    d = settings.initialRate;
    bound = Double.isNaN(settings.gradientBound) ? 0 : settings.gradientBound;
  }

  static DistanceScalars of(DistanceAdaptation settings) {
    return switch (settings.form) {
      case DUAL_AVERAGING -> new DualAveraging(settings);
      case GRADIENT_DESCENT -> new GradientDescent(settings);
      case PRODIGY_GRADIENT_DESCENT -> new ProdigyDescent(settings);
      case PRODIGY_DUAL_AVERAGING -> new ProdigyAveraging(settings);
    };
  }

  /**
   * Begins a step: finds the gain, and the factor.
   *
   * @param moving whether any rate is positive
   * @param rate the rate of all, before the factors of groups
   * @param square {@code |g|^2} over what has a positive rate
   * @param rated {@code sum of r |g|^2} with the rate of each group
   * @param ratedSquare {@code sum of r^2 |g|^2}
   */
  final void begin(boolean moving, double rate, double square, double rated, double ratedSquare) {
    oldFactor = factor;
    resetsNow = false;
    moves = moving && weigh(rate, square, rated, ratedSquare);
    final double weight = moves ? weight() * rate : 0;
    weights += weight;
    // Where there is no average yet, x is x0, and so is the average.
    intake = weights > 0 ? weight / weights : 1;
    retention = 1 - intake;
    if (moves) ++t;
  }

  /** False if there has been no gradient yet. */
  abstract boolean weigh(double rate, double square, double rated, double ratedSquare);

  /** The weight of x in the average, by the rate. */
  double weight() {
    return gain;
  }

  /**
   * Takes the estimate of a step.
   *
   * @param rate as in {@link #begin}
   * @param product {@code sum of r <g, s>} of the s before the step
   * @param square {@code |s|^2} after the step
   */
  final void finish(double rate, double product, double square) {
    if (!moves || square == 0) return;
    sumNorm = Math.sqrt(square);
    take(rate, product, square);
  }

  abstract void take(double rate, double product, double square);

  /** Adds {@code <g, x0 - x>}, weighted, to n, of which the estimate is made. */
  final void add(double progress) {
    numerator += progress;
    estimate = numerator / sumNorm;
    raise();
  }

  /** The estimate within its limits. */
  final double limited() {
    return Math.min(Math.min(estimate, growthRate * d), maxRate);
  }

  /** Raises d to the estimate. One that is not a number says nothing. */
  final void raise() {
    if (limited() > d) d = limited();
  }

  /** D-Adaptation, algorithm 1; with resetting, what is behind {@link DistanceAdaptation#resetting}. */
  private static final class DualAveraging extends DistanceScalars {
    private final boolean resetting;

    DualAveraging(DistanceAdaptation settings) {
      super(settings);
      resetting = settings.resetting;
    }

    @Override
    boolean weigh(double rate, double square, double rated, double ratedSquare) {
      final double before = bound * bound + squares;
      final double after = before + square;
      if (after == 0) return false;
      numerator += d * d * ratedSquare / Math.sqrt(before > 0 ? before : square);
      squares += square;
      gain = d;
      factor = 1 / Math.sqrt(after);
      return true;
    }

    @Override
    void take(double rate, double product, double square) {
      estimate = (factor * square - numerator) / (2 * sumNorm);
      if (!resetting) raise();
      else if (limited() > 2 * d) reset();
    }

    private void reset() {
      d = limited();
      squares = 0;
      numerator = 0;
      sumNorm = 0;
      factor = 0;
      weights = 0;
      resetsNow = true;
      ++resets;
    }
  }

  /** D-Adaptation, algorithm 2. */
  private static final class GradientDescent extends DistanceScalars {
    private final boolean bounded;

    GradientDescent(DistanceAdaptation settings) {
      super(settings);
      bounded = !Double.isNaN(settings.gradientBound);
    }

    @Override
    boolean weigh(double rate, double square, double rated, double ratedSquare) {
      if (!bounded && bound == 0) bound = Math.sqrt(square);
      squares += square;
      final double root = Math.sqrt(bound * bound + squares);
      if (root == 0) return false;
      gain = d / root;
      stepSize = gain;
      factor = 1;
      return true;
    }

    @Override
    double weight() {
      return d;
    }

    @Override
    void take(double rate, double product, double square) {
      add(gain * product);
    }
  }

  /** Prodigy, algorithm 1. */
  private static final class ProdigyDescent extends DistanceScalars {
    ProdigyDescent(DistanceAdaptation settings) {
      super(settings);
    }

    @Override
    boolean weigh(double rate, double square, double rated, double ratedSquare) {
      squares += d * d * ratedSquare;
      final double root = Math.sqrt(d * d * bound * bound + squares);
      if (root == 0) return false;
      gain = d * d / root;
      stepSize = rate * gain;
      factor = 1;
      return true;
    }

    @Override
    void take(double rate, double product, double square) {
      add(gain * product);
    }
  }

  /** Prodigy, algorithm 2. */
  private static final class ProdigyAveraging extends DistanceScalars {
    ProdigyAveraging(DistanceAdaptation settings) {
      super(settings);
    }

    @Override
    boolean weigh(double rate, double square, double rated, double ratedSquare) {
      squares += d * d * rated;
      gain = d * d;
      return setFactor(rate);
    }

    // Without G this does not depend on d.
    private boolean setFactor(double rate) {
      final double root = Math.sqrt(rate * d * d * bound * bound + squares);
      if (root > 0) factor = 1 / root;
      return root > 0;
    }

    @Override
    void take(double rate, double product, double square) {
      add(gain * oldFactor * product);
      if (bound > 0) setFactor(rate);
    }
  }
}
