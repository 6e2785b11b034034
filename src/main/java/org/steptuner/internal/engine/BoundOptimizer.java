// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.nio.file.Path;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;
import org.steptuner.CapturableSteps;
import org.steptuner.CaptureOptions;
import org.steptuner.NonFiniteTensor;
import org.steptuner.RestoreOptions;
import org.steptuner.Restored;
import org.steptuner.StepReport;
import org.steptuner.rule.Coefficients;

/**
 * The optimizer that users hold: the steps of a tuner, bound to parameters. It has what does not depend on the tuner: saving, restoring,
 * evaluating, closing; {@link PlacedOptimizer} has where the tensors are.
 *
 * <p>{@link Steps} makes the steps, with the tuner's sweeps and scalars. A run may go on with others.
 */
class BoundOptimizer extends PlacedOptimizer implements Instrumented, SavesInBackground, Changeable {
  final Evaluation evaluation;
  private final Report report;
  private final BackgroundSave background = new BackgroundSave();
  private Engine engine;
  private volatile Steps steps; // some calls look at it at any time
  private final boolean onCpu;

  BoundOptimizer(Engine engine, Steps steps) {
    super(engine.plan);
    onCpu = plan.parameters().device().isCpu();
    this.engine = engine;
    this.steps = steps;
    report = engine.report;
    report.use = use;
    evaluation = new Evaluation(this, plan);
  }

  final Steps stepping() {
    return steps;
  }

  final TunedOptimizer tuned() {
    return steps.tuned();
  }

  final Engine engine() {
    return engine;
  }

  /** Goes on with other steps over the same memory; what only the present ones need is freed. */
  final void goOn(Engine nextEngine, Steps nextSteps) {
    evaluation.forget();
    final Engine before = engine;
    engine = nextEngine;
    steps = nextSteps;
    nextSteps.begin();
    before.release();
    plan.keepState(nextEngine.slotNames());
    nextEngine.attendance.goOn(nextSteps);
  }

  @Override
  public final void change(Settings settings, Function<Engine, TunedOptimizer> tuner) {
    exclusively(() -> {
      evaluation.checkTraining("applyTo()");
      Succession.change(this, settings, tuner);
    });
  }

  @Override
  public final void freeze() {
    exclusively(() -> {
      evaluation.checkTraining("freeze()");
      final String why = report.step == 0 ? "nothing has been learned before the first step" : Succession.whyNotFrozen(this);
      if (why != null) throw new IllegalStateException("cannot freeze " + settings().description() + ": " + why);
      Succession.freeze(this);
    });
  }

  @Override
  public final boolean isFrozen() {
    return steps.tuned() instanceof FixedSteps fixed && fixed.endsTuning();
  }

  @Override
  public final StepReport step() {
    return step(Double.NaN, false, TunedOptimizer.NO_PART);
  }

  @Override
  public final StepReport step(double loss) {
    return step(loss, true, TunedOptimizer.NO_PART);
  }

  /** @param part of the data, or {@link TunedOptimizer#NO_PART} */
  final StepReport step(double loss, boolean hasLoss, int part) {
    use.begin();
    try {
      evaluation.checkTraining("the next step");
      if (!onCpu && Capture.isCapturing(plan))
        throw new IllegalStateException(
            "the stream is being captured into a CUDA graph, which would hold this step's numbers: use capturable()");
      if (report.step >= engine.settings.tuneFor() && Succession.whyNotFrozen(this) == null) Succession.freeze(this);
      steps.step(loss, hasLoss, part);
      return report;
    } finally {
      use.end();
    }
  }

  @Override
  public final CapturableSteps capturable() {
    return capturable(CaptureOptions.defaults());
  }

  @Override
  public final CapturableSteps capturable(CaptureOptions options) {
    return CapturedSteps.of(this, options);
  }

  @Override
  public final StepReport report() {
    return report;
  }

  @Override
  public final Reduction reduction() {
    return new Reduction(plan, engine.processes);
  }

  @Override
  public final long steps() {
    return report.step;
  }

  @Override
  public final double wordsPerElement() {
    return steps.wordsPerElement();
  }

  @Override
  public final boolean preconditions() {
    return steps.tuned().preconditions();
  }

  @Override
  public final void preconditioner(int group, Coefficients to) {
    steps.tuned().preconditioner(group, to);
  }

  @Override
  public final void setGradientMultiplier(double value) {
    use.begin(); // without a lambda, which would be an object: trainers call this at every step
    try {
      engine.guard.setMultiplier(value);
    } finally {
      use.end();
    }
  }

  @Override
  public final double lossScale() {
    return engine.guard.lossScale();
  }

  @Override
  public final List<NonFiniteTensor> nonFiniteTensors() {
    use.begin();
    try {
      return new Diagnosis(plan).tensors();
    } finally {
      use.end();
    }
  }

  @Override
  public final void sitOut(Collection<String> tensors) {
    final boolean[] which = numbers(tensors);
    exclusively(() -> {
      evaluation.checkTraining("sitOut()");
      engine.attendance.change(steps, which);
    });
  }

  @Override
  public final void parametersMoved() {
    parametersMoved(tensorNames());
  }

  @Override
  public final void parametersMoved(Collection<String> tensors) {
    final boolean[] which = numbers(tensors);
    exclusively(() -> {
      evaluation.checkTraining("parametersMoved()");
      plan.clearRest(which);
      engine.attendance.moved(steps, which);
    });
  }

  @Override
  public final Map<String, double[]> scalars() {
    final Map<String, double[]> scalars = new LinkedHashMap<>();
    exclusively(() -> steps.showScalars(scalars));
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
  public final void swapAverages() {
    exclusively(evaluation::swapAverages);
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
    exclusively(() -> background.awaitThen(() -> evaluation.whileTraining(() -> ofAll(() -> write(file, own)))));
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
      evaluation.whileTraining(() -> ofAll(() -> taken[0] = new Snapshot(this, entries)));
      return taken[0];
    } catch (RuntimeException | Error e) {
      if (taken[0] != null) taken[0].close();
      throw e;
    }
  }

  /** Saves as if no tensor sat out. */
  private void ofAll(Runnable saving) {
    engine.attendance.whileAllPresent(steps, saving);
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

  /** Gives all tensors the state of tensors that join a run with the parameters that they have. */
  final void startState() {
    overAll(engine.fresh::join);
  }

  /** Runs sweeps over all tensors, also those that sit out. */
  final void overAll(Runnable sweeps) {
    engine.attendance.overAll(sweeps);
  }

  /**
   * State was restored without the parameters.
   *
   * @param which by tensor: whether the parameters are others than those that the state belongs to
   */
  final void parametersDiffer(boolean[] which) {
    engine.attendance.moved(steps, which);
  }

  final Settings settings() {
    return engine.settings;
  }

  @Override
  public final void close() {
    if (!use.close()) return;
    background.awaitThen(() -> {
      try {
        steps.settleAndReport();
      } finally {
        plan.close();
      }
    });
  }

  @Override
  public final Plan plan() {
    return plan;
  }
}
