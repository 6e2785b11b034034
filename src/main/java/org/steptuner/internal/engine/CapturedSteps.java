// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Objects;
import org.steptuner.CapturableSteps;
import org.steptuner.CaptureOptions;
import org.steptuner.NonFinite;
import org.steptuner.NonFiniteException;
import org.steptuner.StepReport;
import org.steptuner.StepReport.Skip;

/** The steps that a device makes alone, and the way back to those of Java. */
final class CapturedSteps implements CapturableSteps {
  private static final int BATCH = 64; // steps prepared at a time where nobody says how many

  private final ExclusiveUse use = new ExclusiveUse();
  private final BoundOptimizer optimizer;
  private final Engine engine;
  private final boolean throwsNonFinite;
  private final int capacity;
  private final DeviceScalars scalars;
  private final Capture capture;
  private final PreparedRows rows;
  private final LateReport late;
  private final Report report;
  private long launched; // steps made and skipped, or on their way; those of graphs are known by their reports
  private long skipsTold; // skipped steps of which an exception has told, or before this began

  /** Holds an optimizer, and makes its steps. */
  static CapturedSteps of(BoundOptimizer optimizer, CaptureOptions options) {
    Objects.requireNonNull(options, "options");
    optimizer.use.begin();
    boolean holds = false;
    try {
      final CapturedSteps made = new CapturedSteps(optimizer, options);
      holds = true;
      return made;
    } finally {
      if (holds) optimizer.use.hold();
      else optimizer.use.end();
    }
  }

  private CapturedSteps(BoundOptimizer optimizer, CaptureOptions options) {
    this.optimizer = optimizer;
    engine = optimizer.engine();
    check(options);
    final TunedOptimizer tuned = optimizer.tuned();
    scalars = tuned.onDevice();
    if (scalars == null) throw unsupported(tuned.whyNotOnDevice());
    throwsNonFinite = engine.guard.nonFinite() == NonFinite.THROW;
    capacity = options.capacity();
    capture = new Capture(engine, optimizer.stepping(), scalars, options);
    try {
      report = engine.report.copy();
      skipsTold = report.skippedSteps;
      late = new LateReport(engine.plan, report);
      rows = new PreparedRows(engine, tuned, scalars, capture, capacity);
      rows.prepareTo(report.step + Math.min(capacity, BATCH), report.step);
      scalars.begin();
    } catch (RuntimeException | Error e) {
      capture.destroy();
      throw e;
    }
  }

  private void check(CaptureOptions options) {
    optimizer.evaluation.checkTraining("capturable()");
    final Settings settings = engine.settings;
    final TunedOptimizer tuned = optimizer.tuned();
    if (Capture.isCapturing(engine.plan))
      throw new IllegalStateException("capturable() while the stream is being captured: call it before the capture begins");
    if (engine.attendance.some()) throw new IllegalStateException("capturable() while tensors sit out: call sitOut() without any first");
    if (tuned.lossNeededBy() != null && options.lossAddress() == 0)
      throw new IllegalStateException(tuned.lossNeededBy() + " needs the loss: give its address on the device with CaptureOptions.loss");
    if (settings.sumReducer() != null) throw unsupported("sums over several processes go through Java");
    if (settings.lossScale() != null) throw unsupported("the trainer has to know the loss scale before each step");
    if (settings.averagesParameters()) throw unsupported("an exponential average of the parameters is kept by ordinary steps only");
    if (settings.rule().averageSlot() != null) throw unsupported("the weights of the average that the rule keeps are computed by Java");
    if (settings.gradientL1()) throw unsupported("|g|_1 is summed by ordinary steps only: build without gradientL1");
    if (settings.tuneFor() != Settings.ALWAYS && !(tuned instanceof FixedSteps)) throw unsupported("tuneFor is to end tuning meanwhile");
  }

  private UnsupportedOperationException unsupported(String why) {
    return new UnsupportedOperationException("capturable() of " + engine.settings.description() + ": " + why);
  }

  @Override
  public void step() {
    use.begin();
    try {
      if (!capture.capturing()) {
        poll();
        prepareNext();
        ++launched;
      }
      capture.step();
    } finally {
      use.end();
    }
  }

  // If all steps on their way are made, the next one is this.
  private void prepareNext() {
    long next = report.step + launched - late.attempts() + 1;
    if (next <= rows.prepared()) return;
    if (next > report.step + capacity) {
      capture.await();
      poll();
      next = report.step + 1;
    }
    rows.prepareTo(Math.min(next + BATCH - 1, report.step + capacity), next);
  }

  @Override
  public void prepare(int steps) {
    if (steps < 1 || steps > capacity)
      throw new IllegalArgumentException("steps must be from 1 to the capacity, " + capacity + ", not " + steps);
    use.begin();
    try {
      refuseCapturing();
      poll();
      rows.prepareTo(report.step + steps, report.step + steps);
    } finally {
      use.end();
    }
  }

  @Override
  public int capacity() {
    return capacity;
  }

  @Override
  public StepReport report() {
    use.begin();
    try {
      poll();
      return report;
    } finally {
      use.end();
    }
  }

  @Override
  public StepReport await() {
    use.begin();
    try {
      refuseCapturing();
      capture.await();
      poll();
      return report;
    } finally {
      use.end();
    }
  }

  private void refuseCapturing() {
    if (capture.capturing()) throw new IllegalStateException("the stream is being captured: end the capture first");
  }

  private void poll() {
    late.poll();
    launched = Math.max(launched, late.attempts());
    if (!throwsNonFinite || report.skippedSteps == skipsTold) return;
    skipsTold = report.skippedSteps;
    if (report.skip == Skip.NOT_PREPARED) return;
    throw new NonFiniteException(
        "a step was skipped, of " + report.step + " made and " + report.skippedSteps + " skipped: a gradient, the loss, or a sum was not"
            + " finite; |g| = " + report.gradientNorm + " in the last one");
  }

  @Override
  public void close() {
    if (!use.close()) return;
    try {
      refuseCapturing();
    } catch (IllegalStateException e) {
      use.reopen();
      throw e;
    }
    try {
      capture.await();
      late.poll();
      if (late.attempts() > 0) late.show(engine.report);
      capture.giveBack(optimizer.stepping()); // and reports the scales as they are, with the sums of the last step
      scalars.end();
    } finally {
      capture.destroy();
      optimizer.use.end();
    }
  }
}
