// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

/** The scalar half of DoG and DoWG: the rate of one scope. */
final class DoGScalars {
  private final boolean weighted;
  private final double factor;
  private final double relativeDistance;
  private final double epsilon;
  private final double initialStep;

  double r;
  double gradients; // G, without epsilon
  double eta;
  boolean begun; // whether there is an x0, and an r

  DoGScalars(DoG settings) {
    weighted = settings.variant == DoG.Variant.DOWG;
    factor = settings.factor;
    relativeDistance = settings.startsByStep() ? 0 : settings.relativeDistance;
    epsilon = settings.epsilon;
    initialStep = settings.initialStep;
  }

  /** @param norm {@code |x0|} */
  void start(double norm) {
    r = relativeDistance * (1 + norm);
    begun = true;
  }

  /**
   * Finds the rate of a step.
   *
   * @param distance {@code |x - x0|}
   * @param square {@code |g|^2}
   */
  void update(double distance, double square) {
    r = Math.max(r, distance);
    // Put together of sums with a decay, the square of a gradient near 0 may round to less than 0.
    gradients += Math.max(0, weighted ? r * r * square : square);
    final double root = Math.sqrt(gradients + epsilon);
    if (r == 0) eta = initialStep;
    else eta = root > 0 ? factor * (weighted ? r * r : r) / root : 0;
  }
}
