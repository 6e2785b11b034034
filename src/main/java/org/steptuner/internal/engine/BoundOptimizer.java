// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.RestoreOptions;
import org.steptuner.Restored;
import org.steptuner.StateTensor;
import org.steptuner.StepReport;
import org.steptuner.rule.Coefficients;

/**
 * An optimizer without its steps: its parameters, its state, its scalars by name, saving, restoring and closing. It also ensures that only
 * one call uses the optimizer at a time.
 */
abstract class BoundOptimizer implements Optimizer, Instrumented, SavesInBackground {
  protected final Plan plan;
  protected final GradientGuard guard;
  protected final Report report;
  final ExclusiveUse use = new ExclusiveUse();
  final Evaluation evaluation;
  private final Engine engine;
  private final Map<String, Integer> tensorNumbers = new HashMap<>();
  private final BackgroundSave background = new BackgroundSave();
  private Scalars named; // made when first needed
  private Map<String, double[]> freshScalars;

  BoundOptimizer(Engine engine) {
    this.engine = engine;
    plan = engine.plan;
    guard = engine.guard;
    report = engine.report;
    evaluation = new Evaluation(this, plan);
    for (ParameterSet.Tensor tensor : plan.parameters().tensors()) tensorNumbers.put(tensor.name(), tensorNumbers.size());
  }

  /** The optimizer as it is before its first step; called once, when it has been built. */
  final void ready() {
    freshScalars = named().saveParts();
    if (learnsLate()) report.pending = this::settleAndReport;
    reportScales();
  }

  /** Names the scalars that make a resumed run equal an uninterrupted one. */
  protected abstract void name(Scalars scalars);

  /** Names those of the averages that rules keep. */
  abstract void nameAverages(Scalars scalars);

  /** The current scale of the steps of a scope; 1 where nothing is learned. */
  protected double learnedScale(int scope) {
    return 1;
  }

  /** Takes the sums of the last step, where they are taken late; the report may be read after the optimizer is closed. */
  protected void settle() {}

  /** Whether {@link #learnedScale} waits for sums that are taken late: reading it from a report then takes them. */
  protected boolean learnsLate() {
    return false;
  }

  /**
   * The slot of which the point that is to be evaluated is made, with the parameters, as {@link #putAverage} says. Null where the
   * parameters are that point themselves. It is the same slot always.
   */
  protected String averageSlot() {
    return null;
  }

  /** Whether the slot holds something for a segment: by default since the first step. Otherwise the parameters are the point. */
  protected boolean hasAverage(int segment) {
    return steps() > 0;
  }

  /**
   * Puts the weights of that point, {@code parameterWeight x + averageWeight slot}, for a segment. What has the weight 0 leaves no trace:
   * by default the point is the slot itself, if it {@linkplain #hasAverage holds something}.
   */
  protected void putAverage(int segment, Coefficients to) {
    final double weight = hasAverage(segment) ? 1 : 0;
    to.put("parameterWeight", 1 - weight).put("averageWeight", weight);
  }

  /** Forgets what the last step left to be taken late: the scalars have been restored. */
  protected void restored() {}

  /**
   * Brings scalars that are sums over tensors up to date: parameters, state and scalars have been restored from a checkpoint that has other
   * tensors.
   *
   * @param changed by scope: whether it has other tensors
   */
  protected void tensorsChanged(boolean[] changed) {}

  final void reportScales() {
    for (int scope = 0; scope < plan.scopes(); ++scope) report.learnedScale[scope] = learnedScale(scope);
  }

  private void settleAndReport() {
    settle();
    reportScales();
  }

  @Override
  public final StepReport report() {
    return report;
  }

  @Override
  public final ParameterSet parameters() {
    return plan.parameters();
  }

  @Override
  public final Reduction reduction() {
    return new Reduction(plan, engine.settings.sumReducer());
  }

  @Override
  public final void setGradientMultiplier(double value) {
    use.begin(); // without a lambda, which would be an object: trainers call this at every step
    try {
      guard.setMultiplier(value);
    } finally {
      use.end();
    }
  }

  @Override
  public final void setStream(long stream) {
    exclusively(() -> plan.setStream(stream));
  }

  @Override
  public final void rebind(String tensor, long parameterAddress, long gradientAddress) {
    Objects.requireNonNull(tensor, "tensor");
    use.begin();
    try {
      plan.rebind(number(tensor), parameterAddress, gradientAddress);
    } finally {
      use.end();
    }
  }

  @Override
  public final List<String> slots() {
    return plan.slots();
  }

  @Override
  public final StateTensor state(String slot, String tensor) {
    Objects.requireNonNull(slot, "slot");
    Objects.requireNonNull(tensor, "tensor");
    use.begin();
    try {
      if (!slots().contains(slot)) throw new IllegalArgumentException("no state slot '" + slot + "'; there are " + slots());
      final int number = number(tensor);
      return new StateTensor(plan.address(slot, number), plan.type(slot, number), parameters().tensors().get(number).count());
    } finally {
      use.end();
    }
  }

  private int number(String tensor) {
    final Integer number = tensorNumbers.get(tensor);
    if (number == null) throw new IllegalArgumentException("no tensor '" + tensor + "'");
    return number;
  }

  private Scalars named() {
    if (named == null) {
      named = new Scalars();
      nameAverages(named);
      name(named);
    }
    return named;
  }

  @Override
  public final Map<String, double[]> scalars() {
    final Map<String, double[]> scalars = new LinkedHashMap<>();
    exclusively(() -> {
      settleAndReport();
      named().show(scalars);
    });
    return scalars;
  }

  @Override
  public final void evaluating() {
    exclusively(evaluation::evaluating);
  }

  @Override
  public final void training() {
    exclusively(evaluation::training);
  }

  @Override
  public final boolean isEvaluating() {
    return evaluation.isEvaluating();
  }

  @Override
  public final void save(Path file) {
    save(file, Map.of());
  }

  @Override
  public final void save(Path file, Map<String, byte[]> entries) {
    Objects.requireNonNull(file, "file");
    final Map<String, byte[]> own = CallerEntries.copy(entries);
    exclusively(() -> background.awaitThen(() -> evaluation.whileTraining(() -> write(file, own))));
  }

  private void write(Path file, Map<String, byte[]> entries) {
    final CheckpointWriter writer = new CheckpointWriter(this, entries);
    writer.write(
        file, (array, offset, to, bytes) -> {
          final Checkpoint.Array from = writer.arrays().get(array);
          plan.read(from.slot(), from.tensor(), offset, to, bytes);
        });
  }

  @Override
  public final void saveInBackground(Path file) {
    saveInBackground(file, Map.of());
  }

  @Override
  public final void saveInBackground(Path file, Map<String, byte[]> entries) {
    saveInBackground(file, entries, () -> {});
  }

  @Override
  public final void saveInBackground(Path file, Map<String, byte[]> entries, Runnable whenWritten) {
    Objects.requireNonNull(file, "file");
    final Map<String, byte[]> own = CallerEntries.copy(entries);
    exclusively(() -> background.awaitThen(() -> background.start(snapshot(own), file, whenWritten)));
  }

  private Snapshot snapshot(Map<String, byte[]> entries) {
    final Snapshot[] taken = new Snapshot[1];
    try {
      evaluation.whileTraining(() -> taken[0] = new Snapshot(this, entries));
      return taken[0];
    } catch (RuntimeException | Error e) {
      if (taken[0] != null) taken[0].close();
      throw e;
    }
  }

  @Override
  public final void awaitSaved() {
    exclusively(background::check);
  }

  @Override
  public final Restored restore(Path file, RestoreOptions options) {
    Objects.requireNonNull(file, "file");
    Objects.requireNonNull(options, "options");
    use.begin();
    try {
      background.check();
      return CheckpointReader.restore(this, file, options);
    } finally {
      use.end();
    }
  }

  /** The scalars that a checkpoint has. */
  final Map<String, Scalars.Values> savedScalars() {
    settleAndReport();
    return named().save();
  }

  /** The scalars of scopes and segments before the first step. */
  final Map<String, double[]> freshScalars() {
    return freshScalars;
  }

  /** Gives all tensors the state of tensors that join a run with the parameters that they have. */
  final void startState() {
    engine.fresh.join();
  }

  /** Takes scalars back from a checkpoint, whose arrays have been read. */
  final void restoreScalars(Map<String, double[]> scalars, boolean[] changedScopes) {
    evaluation.restored();
    restored();
    named().restore(scalars);
    for (boolean changed : changedScopes)
      if (changed) {
        tensorsChanged(changedScopes);
        break;
      }
    reportScales();
  }

  /**
   * Goes on from a checkpoint.
   *
   * @param changedScopes by scope: whether it has other tensors than in the checkpoint
   */
  abstract void resume(long stepsMade, long stepsSkipped, Map<String, double[]> scalars, boolean[] changedScopes);

  abstract long skippedSteps();

  final Settings settings() {
    return engine.settings;
  }

  @Override
  public final void close() {
    if (!use.close()) return;
    background.awaitThen(() -> {
      try {
        settleAndReport();
      } finally {
        plan.close();
      }
    });
  }

  @Override
  public final Plan plan() {
    return plan;
  }

  @Override
  public final void exclusively(Runnable work) {
    use.begin();
    try {
      work.run();
    } finally {
      use.end();
    }
  }
}
