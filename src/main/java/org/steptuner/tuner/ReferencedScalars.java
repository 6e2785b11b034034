// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import org.steptuner.StepReport;
import org.steptuner.internal.engine.DeviceScalars;
import org.steptuner.internal.engine.Plan;
import org.steptuner.internal.engine.Sweep;

/** Those of a tuner that leads x from a point x0, which a run takes in its first step. */
abstract class ReferencedScalars extends DeviceScalars {
  private final Plan plan;
  private final Sweep reference;
  private final StepReport report;
  private boolean begins;

  /** @param reference takes x as x0; null where the tuner does not store that */
  ReferencedScalars(String machine, Sweep first, Sweep second, Plan plan, Sweep reference, StepReport report) {
    super(machine, first, second);
    this.plan = plan;
    this.reference = reference;
    this.report = report;
  }

  /** Whether there is x0. */
  abstract boolean referenced();

  /** Notes whether there is. */
  abstract void noteReferenced(boolean value);

  @Override
  protected final void begin() {
    begins = !referenced();
    if (begins && reference != null) reference.run();
    noteReferenced(true);
  }

  // If no step was made, the first one is still to come.
  @Override
  protected final void end() {
    if (!begins || report.step() > 0) return;
    if (reference != null) plan.fill("reference", 0);
    noteReferenced(false);
  }
}
