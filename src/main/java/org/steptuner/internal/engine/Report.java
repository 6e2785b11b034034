// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Arrays;
import org.steptuner.StepReport;

/** The report of an optimizer, which overwrites it at every step. */
public final class Report implements StepReport {
  long step;
  long skippedSteps;
  Skip skip = Skip.NONE;
  double loss = Double.NaN;
  double gradientNorm = Double.NaN;
  double gradientL1 = Double.NaN;
  double clipFactor = 1;
  double rate = Double.NaN;
  boolean decayBounded;
  Hold hold = Hold.NONE;
  double lossScale = 1;
  boolean lossScaleExhausted;
  final double[] learnedScale;
  final double[] effectiveRate;
  // Where an optimizer takes the last step's sums late, this takes them.
  Runnable pending; // null where there is nothing to take
  ExclusiveUse use; // of the optimizer; null in a copy

  Report(int scopes) {
    learnedScale = new double[scopes];
    Arrays.fill(learnedScale, 1);
    effectiveRate = new double[scopes];
    Arrays.fill(effectiveRate, Double.NaN);
  }

  /** A run goes on from a checkpoint: until it makes a step, there is nothing to say of one. */
  void resumed(long stepsMade, long stepsSkipped) {
    step = stepsMade;
    skippedSteps = stepsSkipped;
    skip = Skip.NONE;
    loss = Double.NaN;
    gradientNorm = Double.NaN;
    gradientL1 = Double.NaN;
    clipFactor = 1;
    rate = Double.NaN;
    decayBounded = false;
    hold = Hold.NONE;
    lossScale = 1;
    lossScaleExhausted = false;
    Arrays.fill(effectiveRate, Double.NaN);
  }

  /**
   * Takes the sums of the last step, if they wait for that. A report may be read on any thread and at any time: during a call, and after
   * the optimizer was closed, it says what it said before.
   */
  private void takePending() {
    if (pending == null || use == null || !use.beginLooking()) return;
    try {
      pending.run();
    } finally {
      use.end();
    }
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
  public double gradientL1() {
    return gradientL1;
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
  public Hold hold() {
    return hold;
  }

  @Override
  public double lossScale() {
    return lossScale;
  }

  @Override
  public boolean lossScaleExhausted() {
    return lossScaleExhausted;
  }

  @Override
  public boolean decayBounded() {
    return decayBounded;
  }

  @Override
  public int scopes() {
    return learnedScale.length;
  }

  @Override
  public double learnedScale(int scope) {
    takePending();
    return learnedScale[scope];
  }

  @Override
  public double effectiveRate(int scope) {
    return effectiveRate[scope];
  }

  @Override
  public Report copy() {
    final Report copy = new Report(learnedScale.length);
    copy.step = step;
    copy.skippedSteps = skippedSteps;
    copy.skip = skip;
    copy.loss = loss;
    copy.gradientNorm = gradientNorm;
    copy.gradientL1 = gradientL1;
    copy.clipFactor = clipFactor;
    copy.rate = rate;
    copy.decayBounded = decayBounded;
    copy.hold = hold;
    copy.lossScale = lossScale;
    copy.lossScaleExhausted = lossScaleExhausted;
    takePending();
    System.arraycopy(learnedScale, 0, copy.learnedScale, 0, learnedScale.length);
    System.arraycopy(effectiveRate, 0, copy.effectiveRate, 0, effectiveRate.length);
    return copy;
  }

  @Override
  public String toString() {
    takePending();
    final String outcome = skipped() ? " skipped (" + skip + ")" : standsStill() ? " stands still (" + hold + ")" : "";
    return "step " + step + outcome + ", loss " + loss + ", gradient norm " + gradientNorm
        + ", learned scale " + Arrays.toString(learnedScale) + ", effective rate " + Arrays.toString(effectiveRate);
  }
}
