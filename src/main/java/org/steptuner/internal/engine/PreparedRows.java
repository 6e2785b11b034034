// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.nio.DoubleBuffer;

/**
 * What steps that the device makes alone find there because Java has prepared it: a row for each step, in a ring, with all that depends on
 * the number of the step. The rule itself says what its coefficients are.
 */
final class PreparedRows {
  private static final int BOUNDED_AT = 2; // whether decay was lowered; after the number and the rate

  private final Plan plan;
  private final Report report;
  private final TunedOptimizer tuned;
  private final DeviceScalars scalars;
  private final Capture capture;
  private final int capacity;
  private final DoubleBuffer ring;
  private final int width;
  private final NamedNumbers row;
  private long prepared; // up to this step

  PreparedRows(Engine engine, TunedOptimizer tuned, DeviceScalars scalars, Capture capture, int capacity) {
    plan = engine.plan;
    report = engine.report;
    this.tuned = tuned;
    this.scalars = scalars;
    this.capture = capture;
    this.capacity = capacity;
    ring = capture.ring(capacity);
    width = capture.ringWidth();
    row = new NamedNumbers("number", capture.machine, capture.machine.row());
    prepared = report.step;
  }

  /** The last step that is prepared. */
  long prepared() {
    return prepared;
  }

  /**
   * Prepares all steps up to one, which is at most {@code capacity} after the last one that has certainly been made: what was in its place
   * is not needed any more.
   *
   * @param needed up to which step a schedule that fails is told; where it fails later, the steps before are prepared
   */
  void prepareTo(long last, long needed) {
    if (last <= prepared) return;
    final long from = prepared + 1;
    final double shown = report.rate;
    try {
      for (long number = from; number <= last; ++number) {
        write(number);
        prepared = number;
      }
    } catch (IllegalStateException e) {
      if (prepared < needed) throw e;
    } finally {
      report.rate = shown;
      send(from, prepared);
    }
  }

  private void write(long number) {
    final int begin = place(number) * width;
    report.rate = tuned.begin(number, TunedOptimizer.NO_PART);
    ring.position(begin).put(number).put(report.rate).put(0);
    for (int segment = 0; segment < plan.segments(); ++segment) {
      if (!tuned.startsGroup(segment)) continue;
      scalars.put(segment);
      if (scalars.first != null) scalars.first.copyTo(ring);
      scalars.second.copyTo(ring);
      row.forget();
      scalars.row(segment, row);
      row.checkAll();
      row.copyTo(ring);
    }
    ring.put(begin + BOUNDED_AT, tuned.isDecayBounded() ? 1 : 0);
  }

  private int place(long number) {
    return (int) (number % capacity);
  }

  private void send(long first, long last) {
    if (last < first) return;
    final int begin = place(first);
    final int rows = (int) (last - first + 1);
    final int untilEnd = Math.min(rows, capacity - begin);
    capture.send(begin, untilEnd);
    capture.send(0, rows - untilEnd);
  }
}
