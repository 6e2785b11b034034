// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

/**
 * The factors that schedules gave for the last step that was made. Checkpoints do not have them: after a restore the schedules of the
 * optimizer say what they were.
 */
final class LastFactors {
  private final Settings settings;
  private double schedule = 1; // NaN until it is looked up
  private double momentum = 1;

  LastFactors(Settings settings) {
    this.settings = settings;
  }

  /** A step has been made. */
  void note(double ofSchedule, double ofMomentum) {
    schedule = ofSchedule;
    momentum = ofMomentum;
  }

  /** The last step was made by others. */
  void forget() {
    schedule = Double.NaN;
  }

  /** Goes on with those of other settings. */
  void take(LastFactors before) {
    note(before.schedule, before.momentum);
  }

  /** Looks them up, if they are not known. */
  void find(long step) {
    if (!Double.isNaN(schedule)) return;
    note(Settings.factor(settings.schedule(), "schedule", step), Settings.factor(settings.momentumSchedule(), "momentumSchedule", step));
  }

  /** The factor on the rate. */
  double schedule() {
    return schedule;
  }

  /** The factor on the momentum. */
  double momentum() {
    return momentum;
  }
}
