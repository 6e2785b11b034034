// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicReference;
import org.steptuner.NonFinite;
import org.steptuner.NonFiniteException;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.StepReport;
import org.steptuner.StepReport.Skip;
import org.steptuner.internal.Plan;
import org.steptuner.internal.Sweep;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SuppliedUpdate;

/**
 * What all optimizers share: who may call when, the guard against non-finite gradients, clipping, groups, schedules, the report,
 * checkpoints. A tuner adds its sweeps and its scalars in {@link #advance}.
 */
abstract class TunedOptimizer implements Optimizer {
  private static final double CLIP_EPSILON = 1e-6;

  private enum Use { IDLE, BUSY, CLOSED }

  final ParameterSet parameters;
  final Plan plan;
  final Report report;
  final NonFinite nonFinite;
  final double clipNorm;
  private final AtomicReference<Use> use = new AtomicReference<>(Use.IDLE);
  private final TunerBuilder<?> settings;
  private final String description;
  private final Rule[] rules; // by group
  private final double[] rateFactors; // by group
  private final boolean supplied;
  private final double[] values = new double[32];
  private final Sweep gradientNorm;
  private double multiplier;
  private long steps;
  private long skipped;

  /**
   * @param tunerSlots state slots beside the rule's
   * @param guarded whether a read of the gradients must come before the sweeps of {@link #advance}
   */
  TunedOptimizer(TunerBuilder<?> settings, ParameterSet parameters, List<String> tunerSlots, boolean guarded) {
    this.settings = settings;
    this.parameters = Objects.requireNonNull(parameters, "parameters");
    for (String group : settings.groups.keySet())
      if (!parameters.groups().contains(group))
        throw new IllegalArgumentException("the parameter set has no group '" + group + "'; it has " + parameters.groups());
    nonFinite = settings.nonFinite;
    clipNorm = settings.clipNorm;
    multiplier = settings.gradientMultiplier;
    description = settings.description();
    final int groups = parameters.groups().size();
    rules = new Rule[groups];
    rateFactors = new double[groups];
    for (int g = 0; g < groups; ++g) {
      final TunerBuilder.Group group = settings.groups.get(parameters.groups().get(g));
      rules[g] = group == null ? settings.rule : group.rule();
      rateFactors[g] = group == null ? 1 : group.rateFactor();
    }
    supplied = settings.rule instanceof SuppliedUpdate;
    final List<String> ruleSlots = Plan.slotsOf(settings.rule.kernel());
    final List<String> slots = new ArrayList<>(ruleSlots);
    slots.addAll(tunerSlots);
    plan = new Plan(parameters, slots, settings.planScope());
    try {
      plan.setReducer(settings.sumReducer);
      plan.setStream(settings.stream);
      initialise(ruleSlots);
      gradientNorm = guarded ? plan.bind("gradient_norm", "") : null;
      report = new Report(plan.scopes());
    } catch (RuntimeException | Error e) {
      plan.close();
      throw e;
    }
  }

  private void initialise(List<String> ruleSlots) {
    for (String slot : ruleSlots) {
      final double value = settings.rule.initialValue(slot);
      for (Rule rule : rules)
        if (rule.initialValue(slot) != value)
          throw new IllegalArgumentException("all groups must start " + slot + " from the same value, " + value);
      if (value != 0) plan.fill(slot, value);
    }
  }

  /**
   * Makes step {@code step}.
   *
   * @return false if it must be skipped, with nothing changed; {@link #accept} has noted why
   */
  abstract boolean advance(long step);

  /** Takes the sums that the last sweep left for later, where a tuner leaves any. */
  void settle() {}

  /** The scalars that make a resumed run equal an uninterrupted one, by name. */
  abstract void saveScalars(Map<String, double[]> scalars);

  /** Takes them back; they are complete and of the right lengths. */
  abstract void restoreScalars(Map<String, double[]> scalars);

  @Override
  public final StepReport step() {
    return step(Double.NaN, false);
  }

  @Override
  public final StepReport step(double loss) {
    return step(loss, true);
  }

  private StepReport step(double loss, boolean checked) {
    begin();
    try {
      report.loss = loss;
      report.skip = Skip.NONE;
      report.gradientNorm = Double.NaN;
      report.clipFactor = 1;
      final double factor = settings.schedule.at(steps + 1);
      if (!(factor >= 0 && factor <= Double.MAX_VALUE))
        throw new IllegalStateException("the schedule gives " + factor + " for step " + (steps + 1) + "; it must be finite and not negative");
      report.rate = baseRate() * factor;
      if (checked && nonFinite != NonFinite.UNCHECKED && !Double.isFinite(loss)) report.skip = Skip.NON_FINITE_LOSS;
      final boolean made = report.skip == Skip.NONE && advance(steps + 1);
      if (made) ++steps;
      else ++skipped;
      report.step = steps;
      report.skippedSteps = skipped;
      if (!made && nonFinite == NonFinite.THROW)
        throw new NonFiniteException(
            "step " + (steps + 1) + ": "
                + (report.skip == Skip.NON_FINITE_LOSS ? "the loss is " + loss : "a gradient is not finite, |g| = " + report.gradientNorm));
      return report;
    } finally {
      end();
    }
  }

  abstract double baseRate();

  /** Reads the gradients ahead of the sweeps, where that was asked for. False: skip the step. */
  final boolean guard() {
    if (gradientNorm == null) return true;
    gradientNorm.run();
    final double[] sums = gradientNorm.sums();
    double square = 0;
    for (double sum : sums) square += sum;
    return accept(square);
  }

  /**
   * Notes the norm of the gradients, and what clipping makes of them. False: skip the step.
   *
   * @param square |g|^2 of the gradients as they are in memory, over all tensors
   */
  final boolean accept(double square) {
    report.gradientNorm = Math.sqrt(square) * Math.abs(multiplier);
    if (nonFinite != NonFinite.UNCHECKED && !Double.isFinite(report.gradientNorm)) {
      report.skip = Skip.NON_FINITE_GRADIENT;
      return false;
    }
    report.clipFactor = Math.min(1, clipNorm / (report.gradientNorm + CLIP_EPSILON));
    return true;
  }

  /** What sweeps multiply gradients by. */
  final double gradientScale() {
    return multiplier * report.clipFactor;
  }

  /** What sweeps multiply the rule's source by: a supplied update is taken as it is. */
  final double sourceScale() {
    return supplied ? 1 : gradientScale();
  }

  /** The rule of a group. */
  final Rule rule(int group) {
    return rules[group];
  }

  /** A group's factor on the rate. */
  final double rateFactor(int group) {
    return rateFactors[group];
  }

  final boolean guarded() {
    return gradientNorm != null;
  }

  final String ruleKernel() {
    return settings.rule.kernel();
  }

  /** The column where the rule's coefficients begin in a sweep. */
  final int ruleColumn(Sweep sweep) {
    return sweep.ruleColumn(settings.rule.coefficientNames());
  }

  /** Sets the rule's coefficients of a step for all segments. */
  final void setRule(Sweep sweep, int column, long step) {
    final int count = settings.rule.coefficientNames().size();
    int before = -1;
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int group = plan.group(segment);
      if (group != before) rules[group].coefficients(report.rate * rateFactors[group], step, values);
      before = group;
      sweep.set(segment, column, values, count);
    }
  }

  @Override
  public final StepReport report() {
    return report;
  }

  @Override
  public final ParameterSet parameters() {
    return parameters;
  }

  @Override
  public final long steps() {
    return steps;
  }

  @Override
  public final double wordsPerElement() {
    return sweepWords() + (gradientNorm == null ? 0 : gradientNorm.words());
  }

  /** Words of the sweeps of {@link #advance}. */
  abstract int sweepWords();

  @Override
  public final void setGradientMultiplier(double value) {
    begin();
    try {
      multiplier = checkMultiplier(value);
    } finally {
      end();
    }
  }

  static double checkMultiplier(double value) {
    if (!Double.isFinite(value) || value == 0)
      throw new IllegalArgumentException("gradientMultiplier must be finite and not 0, not " + value);
    return value;
  }

  @Override
  public final void setStream(long stream) {
    begin();
    try {
      plan.setStream(stream);
    } finally {
      end();
    }
  }

  @Override
  public final void rebind(String tensor, long parameterAddress, long gradientAddress) {
    Objects.requireNonNull(tensor, "tensor");
    begin();
    try {
      final List<ParameterSet.Tensor> tensors = parameters.tensors();
      for (int t = 0; t < tensors.size(); ++t)
        if (tensors.get(t).name().equals(tensor)) {
          plan.rebind(t, parameterAddress, gradientAddress, tensors.get(t).updateAddress());
          return;
        }
      throw new IllegalArgumentException("no tensor '" + tensor + "'");
    } finally {
      end();
    }
  }

  @Override
  public final Map<String, double[]> scalars() {
    begin();
    try {
      final Map<String, double[]> scalars = new LinkedHashMap<>();
      saveScalars(scalars);
      return scalars;
    } finally {
      end();
    }
  }

  @Override
  public final void save(Path file) {
    Objects.requireNonNull(file, "file");
    begin();
    try {
      Checkpoint.save(this, file);
    } finally {
      end();
    }
  }

  @Override
  public final void restore(Path file) {
    Objects.requireNonNull(file, "file");
    begin();
    try {
      Checkpoint.restore(this, file);
    } finally {
      end();
    }
  }

  @Override
  public final void close() {
    if (use.get() == Use.CLOSED) return;
    if (!use.compareAndSet(Use.IDLE, Use.CLOSED)) {
      if (use.get() == Use.CLOSED) return;
      throw new IllegalStateException("attempt to close the optimizer while it is in use");
    }
    try {
      settle(); // the report outlives the optimizer
    } finally {
      plan.close();
    }
  }

  final String description() {
    return description;
  }

  final long skippedSteps() {
    return skipped;
  }

  final void setSteps(long made, long skippedSteps) {
    steps = made;
    skipped = skippedSteps;
    report.step = made;
    report.skippedSteps = skippedSteps;
  }

  private void begin() {
    if (use.compareAndSet(Use.IDLE, Use.BUSY)) return;
    throw new IllegalStateException(
        use.get() == Use.CLOSED ? "the optimizer is closed" : "the optimizer is in use by another call");
  }

  private void end() {
    use.set(Use.IDLE);
  }
}
