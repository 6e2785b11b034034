// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import org.steptuner.StepReport.Hold;
import org.steptuner.StepReport.Skip;
import org.steptuner.internal.Natives;

/** The newest report of a device that makes its steps alone, in the order of {@code st_capture_report}. */
final class LateReport {
  private static final Skip[] SKIPS = {Skip.NONE, Skip.NON_FINITE_GRADIENT, Skip.NON_FINITE_LOSS, Skip.NOT_PREPARED};

  private final Plan plan;
  private final double[] numbers;
  private final Report report;
  private int next; // number to be read
  private long attempts; // that reports have arrived of

  LateReport(Plan plan, Report report) {
    this.plan = plan;
    this.report = report;
    numbers = new double[Natives.captureWidth(plan.handle(), Capture.REPORT)];
  }

  /** Takes the newest report that has arrived. */
  void poll() {
    if (Natives.captureReport(plan.handle(), numbers) == 0 || attempts == (long) numbers[0]) return;
    attempts = (long) numbers[0];
    show(report);
  }

  /** Steps made and skipped, according to the newest report. */
  long attempts() {
    return attempts;
  }

  /** Puts the newest report, of which there is one, into a report. */
  void show(Report to) {
    next = 1;
    to.step = (long) read();
    to.skippedSteps = (long) read();
    to.skip = SKIPS[(int) read()];
    to.gradientNorm = read();
    to.clipFactor = read();
    to.rate = read();
    to.decayBounded = read() != 0;
    final boolean atBound = read() != 0;
    to.loss = read();
    to.gradientL1 = Double.NaN;
    boolean still = !to.skipped() && to.rate != 0;
    for (int scope = 0; scope < to.scopes(); ++scope) to.learnedScale[scope] = read();
    for (int scope = 0; scope < to.scopes(); ++scope) {
      to.effectiveRate[scope] = read();
      still &= to.effectiveRate[scope] == 0;
    }
    to.hold = !still ? Hold.NONE : to.gradientNorm == 0 ? Hold.NO_GRADIENT : atBound ? Hold.LOSS_AT_BOUND : Hold.RATE_IS_ZERO;
  }

  private double read() {
    return numbers[next++];
  }
}
