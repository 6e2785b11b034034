// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.HashMap;
import java.util.Map;
import org.steptuner.NonFinite;
import org.steptuner.NonFiniteException;
import org.steptuner.StepReport.Hold;
import org.steptuner.StepReport.Skip;
import org.steptuner.rule.Rule;

/**
 * The steps of an optimizer: what all tuners share of a step, from its beginning to its report, and the scalars by name. A
 * {@link TunedOptimizer} has the tuner's sweeps.
 */
final class Steps {
  private final Engine engine;
  private final Settings settings;
  private final Plan plan;
  private final Report report;
  private final GradientGuard guard;
  private final Groups groups;
  private final Processes processes; // null: one process
  private final SkipReason skipReason; // null: nobody checks
  private final LossScaling lossScaling; // null: none
  private final TunedOptimizer tuned;
  private final ExponentialAverage average; // of the parameters; null for none
  private final Attendance attendance;
  private final Scalars named = new Scalars();
  private final Map<String, double[]> freshScalars;
  private Scalars.Held held; // made when first needed

  /** @throws IllegalArgumentException if there is a schedule of what the tuner and its rules do not have */
  Steps(Engine engine, TunedOptimizer tuned) {
    this.engine = engine;
    settings = engine.settings;
    plan = engine.plan;
    report = engine.report;
    guard = engine.guard;
    groups = engine.groups;
    processes = engine.processes;
    lossScaling = engine.lossScaling;
    skipReason = guard.nonFinite() == NonFinite.UNCHECKED ? null : new SkipReason(engine);
    attendance = engine.attendance;
    this.tuned = tuned;
    checkSchedules();
    average = settings.averagesParameters() ? new ExponentialAverage(plan, settings.averageDecay()) : null;
    if (tuned.averages() != null) tuned.averages().name(named);
    if (lossScaling != null) lossScaling.name(named);
    tuned.name(named);
    freshScalars = named.saveParts();
  }

  /** From now on the report is of these steps. */
  void begin() {
    report.pending = tuned.learnsLate() ? this::settleAndReport : null;
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

  /** Some tensors sit out: allocates now what a step then needs. */
  void prepareToHold() {
    if (held == null) held = newHeld();
  }

  /** The scalars as they are, where some tensors sit out; null otherwise. */
  private Scalars.Held hold() {
    if (!attendance.some()) return null;
    prepareToHold();
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
    if (any && report.step > 0) engine.owning(() -> tuned.tensorsChanged(changed));
  }

  /** Puts all points that are tied to x where x is, for the tensors that sweeps go over now. */
  void rebase() {
    engine.owning(tuned::rebaseAll);
  }

  /** The tensors that sweeps go over now come back, after steps of others of their scopes. */
  void rejoin() {
    engine.owning(tuned::rejoin);
  }

  /** Likewise, after any steps. */
  void rejoinRule() {
    engine.owning(tuned::rejoinRule);
  }

  /** Takes sums over the tensors that sweeps go over now. */
  void take(AbsentSums sums) {
    engine.owning(sums::take);
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
    report.decayBounded = false;
    report.hold = Hold.NONE;
    report.lossScaleExhausted = false;
    final boolean badLoss = hasLoss && guard.nonFinite() != NonFinite.UNCHECKED && !Double.isFinite(loss);
    guard.begin(badLoss);
    if (processes != null) meet(hasLoss ? loss : 0, badLoss);
    // One process cannot stop alone: where there are several, its bad loss goes with the sums, and all of them skip the step.
    final boolean stops = badLoss && processes == null;
    if (stops) report.skip = Skip.NON_FINITE_LOSS;
    if (average != null) average.begin(number);
    final boolean made = !stops && advance(number);
    if (average != null) average.end(number, made);
    if (made) {
      report.step = number;
      tuned.made();
      attendance.made(number);
      reportStep();
      if (lossScaling != null) lossScaling.made();
    } else {
      ++report.skippedSteps;
      if (skipReason != null) skipReason.find();
      if (lossScaling != null && report.skip == Skip.NON_FINITE_GRADIENT && !guard.hasRefusedRate())
        report.lossScaleExhausted = !lossScaling.overflowed();
      if (guard.nonFinite() == NonFinite.THROW) throw new NonFiniteException("step " + number + ": " + whySkipped());
    }
  }

  /** Tells what all processes must have in common in this step. In the first one they agree on what they are. */
  private void meet(double loss, boolean badLoss) {
    processes.begin(loss, badLoss);
    processes.note(Processes.Now.STEPS, report.step);
    processes.note(Processes.Now.PART, tuned.part());
    processes.note(Processes.Now.MULTIPLIER, guard.multiplier());
    processes.note(Processes.Now.RATE, report.rate);
    processes.note(Processes.Now.MOMENTUM, tuned.momentumFactor());
    processes.note(Processes.Now.DECAY, tuned.decayFactor());
    for (int scope = 0; scope < plan.scopes(); ++scope) processes.noteScale(scope, tuned.learnedScale(scope));
    processes.agree();
  }

  /** Words of a step per element. */
  double wordsPerElement() {
    return tuned.wordsPerElement() + ExponentialAverage.words(settings, plan);
  }

  private String whySkipped() {
    final String exhausted = "; the loss scale is " + report.lossScale + ", its smallest";
    return skipReason.inWords() + (report.lossScaleExhausted ? exhausted : "");
  }

  private boolean advance(long number) {
    final Scalars.Held before = hold();
    boolean made = false;
    plan.roundAsIn(number);
    try {
      // Where there are several processes all call their reducers, though none has a tensor.
      made = attendance.every() && settings.sumReducer() == null ? guard.sawNothing() : tuned.advance(number);
      if (made && tuned.averages() != null) tuned.averages().made();
      return made;
    } finally {
      if (!made) plan.roundAsIn(report.step);
      putBack(before);
    }
  }

  private void reportStep() {
    reportScales();
    report.decayBounded = tuned.isDecayBounded();
    boolean still = report.rate != 0;
    for (int scope = 0; scope < plan.scopes(); ++scope) {
      report.effectiveRate[scope] = attendance.absent(scope) ? 0 : tuned.effectiveRate(scope);
      still &= report.effectiveRate[scope] == 0;
    }
    if (still) report.hold = report.gradientNorm == 0 ? Hold.NO_GRADIENT : tuned.hold();
  }

  private void checkSchedules() {
    boolean momentum = settings.momentumSchedule() == null;
    boolean decay = settings.decaySchedule() == null;
    for (Rule rule : groups.everywhere()) {
      momentum |= tuned.scheduledMomentum(rule) != 0;
      decay |= rule.coupledDecay() + rule.decoupledDecay() != 0;
    }
    if (!momentum) throw new IllegalArgumentException("momentumSchedule: there is no momentum in " + settings.description());
    if (!decay) throw new IllegalArgumentException("decaySchedule: there is no weight decay in " + settings.description());
  }

  /** Goes on where other steps of the same tuner and form end: with their scalars, and the factors of their last step. */
  void take(Map<String, Scalars.Values> scalars, TunedOptimizer before) {
    tuned.goOn(before);
    final Map<String, double[]> values = new HashMap<>();
    named.save().forEach((name, own) -> {
      final Scalars.Values taken = scalars.get(name);
      values.put(name, taken != null && taken.values().length == own.values().length ? taken.values() : own.values());
    });
    named.restore(values);
  }

  /** Takes back all scalars, from where the last steps were made without Java. */
  void takeBack(Map<String, double[]> scalars) {
    plan.roundAsIn(report.step);
    tuned.resumed();
    named.restore(scalars);
    reportScales();
  }

  /**
   * Goes on from a checkpoint, whose arrays have been read.
   *
   * @param changedScopes by scope: whether it has other tensors than in the checkpoint
   */
  void resume(long stepsMade, long stepsSkipped, Map<String, double[]> scalars, boolean[] changedScopes) {
    report.resumed(stepsMade, stepsSkipped);
    plan.roundAsIn(stepsMade);
    attendance.forget();
    tuned.resumed();
    named.restore(scalars);
    attendance.overAll(() -> tensorsChanged(changedScopes));
    attendance.restored(this);
    reportScales();
  }
}
