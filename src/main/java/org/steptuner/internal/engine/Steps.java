// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Arrays;
import java.util.Map;
import org.steptuner.NonFinite;
import org.steptuner.NonFiniteException;
import org.steptuner.StepReport.Skip;

/**
 * The steps of an optimizer: what all tuners share of a step, from its beginning to its report, and the scalars by name. A
 * {@link TunedOptimizer} has the tuner's sweeps.
 */
final class Steps {
  private final Settings settings;
  private final Plan plan;
  private final Report report;
  private final GradientGuard guard;
  private final TunedOptimizer tuned;
  private final Attendance attendance;
  private final Scalars named = new Scalars();
  private final Map<String, double[]> freshScalars;
  private Scalars.Held held; // made when first needed

  /** @throws IllegalArgumentException if there is a schedule of what the tuner and its rules do not have */
  Steps(Engine engine, TunedOptimizer tuned) {
    settings = engine.settings;
    plan = engine.plan;
    report = engine.report;
    guard = engine.guard;
    attendance = engine.attendance;
    this.tuned = tuned;
    checkSchedules();
    if (tuned.averages() != null) tuned.averages().name(named);
    tuned.name(named);
    freshScalars = named.saveParts();
    if (tuned.learnsLate()) report.pending = this::settleAndReport;
    reportScales();
  }

  /** The tuner's sweeps. */
  TunedOptimizer tuned() {
    return tuned;
  }

  private void reportScales() {
    for (int scope = 0; scope < plan.scopes(); ++scope) report.learnedScale[scope] = tuned.learnedScale(scope);
  }

  void settleAndReport() {
    final Scalars.Held before = hold();
    tuned.settle();
    putBack(before);
    reportScales();
  }

  /** The scalars as they are, where some tensors sit out; null otherwise. */
  private Scalars.Held hold() {
    if (!attendance.some()) return null;
    if (held == null) held = newHeld();
    held.keep();
    return held;
  }

  /** Scopes and segments without a tensor in the steps have the scalars that they had. */
  private void putBack(Scalars.Held before) {
    if (before != null) attendance.putBack(before);
  }

  /** Memory for all scalars. */
  Scalars.Held newHeld() {
    return named.held();
  }

  /** The number of steps made. */
  long made() {
    return report.step;
  }

  /** Brings sums that the tuner keeps up to date, for scopes whose sums are others. */
  void tensorsChanged(boolean[] changed) {
    boolean any = false;
    for (boolean one : changed) any |= one;
    if (any && report.step > 0) tuned.tensorsChanged(changed);
  }

  /** Puts the scalars that users see into a map. */
  void showScalars(Map<String, double[]> to) {
    settleAndReport();
    named.show(to);
  }

  /** The scalars that a checkpoint has. */
  Map<String, Scalars.Values> savedScalars() {
    settleAndReport();
    return named.save();
  }

  /** The scalars of scopes and segments before the first step. */
  Map<String, double[]> freshScalars() {
    return freshScalars;
  }

  /** One step, and its report. */
  void step(double loss, boolean hasLoss, int ofPart) {
    if (!hasLoss && tuned.lossNeededBy() != null)
      throw new IllegalStateException(tuned.lossNeededBy() + " needs the loss at the current parameters: call step(loss)");
    final long number = report.step + 1;
    final double rate = tuned.begin(number, ofPart);
    report.loss = loss;
    report.skip = Skip.NONE;
    report.rate = rate;
    final boolean badLoss = hasLoss && guard.nonFinite() != NonFinite.UNCHECKED && !Double.isFinite(loss);
    guard.begin(badLoss);
    // One process cannot stop alone: where there are several, its bad loss goes into the sums, and all of them skip the step.
    final boolean stops = badLoss && settings.sumReducer() == null;
    if (stops) report.skip = Skip.NON_FINITE_LOSS;
    final boolean made = !stops && advance(number);
    if (made) {
      report.step = number;
      attendance.made(number);
      reportStep();
    } else {
      ++report.skippedSteps;
      if (guard.nonFinite() == NonFinite.THROW) throw new NonFiniteException("step " + number + ": " + whySkipped());
    }
  }

  private boolean advance(long number) {
    final Scalars.Held before = hold();
    try {
      // Where there are several processes all call their reducers, though none has a tensor.
      final boolean made = attendance.every() && settings.sumReducer() == null ? guard.sawNothing() : tuned.advance(number);
      if (made && tuned.averages() != null) tuned.averages().made();
      return made;
    } finally {
      putBack(before);
    }
  }

  private void reportStep() {
    reportScales();
    for (int scope = 0; scope < plan.scopes(); ++scope)
      report.effectiveRate[scope] = attendance.absent(scope) ? 0 : tuned.effectiveRate(scope);
  }

  private void checkSchedules() {
    boolean momentum = settings.momentumSchedule() == null;
    boolean decay = settings.decaySchedule() == null;
    for (int group = 0; group < plan.parameters().groups().size(); ++group) {
      momentum |= tuned.scheduledMomentum(group) != 0;
      decay |= tuned.rule(group).coupledDecay() + tuned.rule(group).decoupledDecay() != 0;
    }
    if (!momentum) throw new IllegalArgumentException("momentumSchedule: there is no momentum in " + settings.description());
    if (!decay) throw new IllegalArgumentException("decaySchedule: there is no weight decay in " + settings.description());
  }

  private String whySkipped() {
    return switch (report.skip) {
      case NON_FINITE_LOSS ->
          "the loss is " + report.loss + (Double.isFinite(report.loss) ? ", and those on trial are not finite" : "");
      case NON_FINITE_CURVATURE -> "the curvature is not finite, or a rate made of it";
      default -> "a gradient is not finite, |g| = " + report.gradientNorm;
    };
  }

  /**
   * Goes on from a checkpoint, whose arrays have been read.
   *
   * @param changedScopes by scope: whether it has other tensors than in the checkpoint
   */
  void resume(long stepsMade, long stepsSkipped, Map<String, double[]> scalars, boolean[] changedScopes) {
    report.step = stepsMade;
    report.skippedSteps = stepsSkipped;
    Arrays.fill(report.effectiveRate, Double.NaN);
    attendance.forget();
    tuned.restored();
    named.restore(scalars);
    attendance.overAll(() -> tensorsChanged(changedScopes));
    attendance.restored(this);
    reportScales();
  }
}
