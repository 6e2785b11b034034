// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

/** The scalar half of a moving target: the target of each part of the data, their mean, and the target of the loss. Given targets stay. */
final class MovingTargetScalars {
  private final double targetRate;
  private final boolean given;

  final double[] targets; // alpha_i
  double mean; // of the targets
  double target; // tau
  double rate; // c, of the last step
  long t;

  MovingTargetScalars(MovingTarget settings) {
    targetRate = settings.targetRate;
    given = settings.targets != null;
    targets = given ? settings.targets.clone() : new double[settings.parts];
    target = settings.target;
  }

  /** The part that comes next where the trainer names none. */
  int nextPart() {
    return (int) (t % targets.length);
  }

  /** The rate that a step with the loss of a part takes: {@code gamma (loss - alpha_i) / (|g|^2 + 1)}; without the 1 where alpha stays. */
  double rate(double gamma, double loss, double gradientNorm, int part) {
    final double square = gradientNorm * gradientNorm;
    if (given && square == 0) return 0;
    return gamma * ((loss - targets[part]) / (given ? square : square + 1));
  }

  /** Takes a step of a part at a rate, which is finite; every n-th moves the targets towards tau. */
  void update(double gamma, double found, int part) {
    rate = found;
    if (given) {
      ++t;
      return;
    }
    final int n = targets.length;
    final double before = targets[part];
    targets[part] += found;
    mean += (targets[part] - before) / n;
    if (++t % n == 0) moveTargets(gamma);
  }

  private void moveTargets(double gamma) {
    final double n = targets.length;
    target = (1 - targetRate) * target + targetRate * (n / (1 + n)) * mean;
    final double shift = gamma * (target - mean);
    for (int i = 0; i < targets.length; ++i) targets[i] += shift;
    mean += shift;
  }
}
