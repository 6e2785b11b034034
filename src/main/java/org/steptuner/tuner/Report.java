// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.Arrays;
import org.steptuner.StepReport;

/** The report that an optimizer fills. */
final class Report implements StepReport {
  long step;
  long skippedSteps;
  Skip skip = Skip.NONE;
  double loss = Double.NaN;
  double gradientNorm = Double.NaN;
  double clipFactor = 1;
  double rate = Double.NaN;
  final double[] learnedScale;
  Runnable late; // brings learnedScale up to date; null where it is

  Report(int scopes) {
    learnedScale = new double[scopes];
    Arrays.fill(learnedScale, 1);
  }

  @Override
  public long step() {
    return step;
  }

  @Override
  public long skippedSteps() {
    return skippedSteps;
  }

  @Override
  public Skip skip() {
    return skip;
  }

  @Override
  public double loss() {
    return loss;
  }

  @Override
  public double gradientNorm() {
    return gradientNorm;
  }

  @Override
  public double clipFactor() {
    return clipFactor;
  }

  @Override
  public double rate() {
    return rate;
  }

  @Override
  public int scopes() {
    return learnedScale.length;
  }

  @Override
  public double learnedScale(int scope) {
    settle();
    return learnedScale[scope];
  }

  @Override
  public Report copy() {
    settle();
    final Report copy = new Report(learnedScale.length);
    copy.step = step;
    copy.skippedSteps = skippedSteps;
    copy.skip = skip;
    copy.loss = loss;
    copy.gradientNorm = gradientNorm;
    copy.clipFactor = clipFactor;
    copy.rate = rate;
    System.arraycopy(learnedScale, 0, copy.learnedScale, 0, learnedScale.length);
    return copy;
  }

  @Override
  public String toString() {
    settle();
    return "step " + step + (skipped() ? " skipped (" + skip + ")" : "") + ", loss " + loss + ", gradient norm " + gradientNorm
        + ", learned scale " + Arrays.toString(learnedScale);
  }

  // Once: a failure is reported to whoever asked first.
  private void settle() {
    final Runnable task = late;
    late = null;
    if (task != null) task.run();
  }
}
