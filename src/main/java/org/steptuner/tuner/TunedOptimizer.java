// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicReference;
import org.steptuner.NonFinite;
import org.steptuner.NonFiniteException;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.Schedule;
import org.steptuner.StateTensor;
import org.steptuner.StepReport;
import org.steptuner.StepReport.Skip;
import org.steptuner.SumReducer;
import org.steptuner.internal.Instrumented;
import org.steptuner.internal.Plan;
import org.steptuner.internal.Sweep;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SuppliedUpdate;

/**
 * What all optimizers share: who may call when, the guard against non-finite gradients, clipping, groups, schedules, the report,
 * checkpoints. A tuner adds its sweeps and its scalars in {@link #advance}.
 */
abstract class TunedOptimizer implements Optimizer, Instrumented {
  private static final double CLIP_EPSILON = 1e-6;

  private enum Use { IDLE, BUSY, CLOSED }

  final ParameterSet parameters;
  final Plan plan;
  final Report report;
  final NonFinite nonFinite;
  final double clipNorm;
  private final AtomicReference<Use> use = new AtomicReference<>(Use.IDLE);
  private final String description;
  private final Schedule schedule;
  private final SumReducer reducer;
  private final Rule rule;
  private final Rule[] rules; // by group
  private final double[] rateFactors; // by group
  private final boolean supplied;
  private final double[] values = new double[32];
  private final double[] total = new double[2]; // |g|^2, |g|_1
  private final Map<String, Integer> tensorNumbers = new HashMap<>();
  private final boolean wantsL1;
  private final Sweep gradientNorm;
  private int l1Column = -1; // of the tuner's own first sweep
  private double multiplier;
  private boolean badLoss;
  int part; // that the step was given
  private long steps;
  private long skipped;

  /**
   * @param tunerSlots state slots beside the rule's
   * @param guarded whether a read of the gradients must come before the sweeps of {@link #advance}
   */
  TunedOptimizer(TunerBuilder<?> settings, ParameterSet parameters, List<String> tunerSlots, boolean guarded) {
    this.parameters = Objects.requireNonNull(parameters, "parameters");
    for (String group : settings.groups.keySet())
      if (!parameters.groups().contains(group))
        throw new IllegalArgumentException("the parameter set has no group '" + group + "'; it has " + parameters.groups());
    nonFinite = settings.nonFinite;
    clipNorm = settings.clipNorm;
    multiplier = settings.gradientMultiplier;
    description = settings.description();
    schedule = settings.schedule;
    reducer = settings.sumReducer;
    rule = settings.rule;
    for (ParameterSet.Tensor tensor : parameters.tensors()) tensorNumbers.put(tensor.name(), tensorNumbers.size());
    final int groups = parameters.groups().size();
    rules = new Rule[groups];
    rateFactors = new double[groups];
    for (int g = 0; g < groups; ++g) {
      final TunerBuilder.Group group = settings.groups.get(parameters.groups().get(g));
      rules[g] = group == null ? rule : group.rule();
      rateFactors[g] = group == null ? 1 : group.rateFactor();
    }
    supplied = rule instanceof SuppliedUpdate;
    wantsL1 = settings.gradientL1;
    final List<String> ruleSlots = settings.ruleSlots();
    final List<String> slots = new ArrayList<>(ruleSlots);
    slots.addAll(tunerSlots);
    plan = new Plan(parameters, slots, settings.planScope());
    try {
      plan.setStream(settings.stream);
      initialise(ruleSlots);
      final boolean first = guarded || wantsL1 && !settings.observesL1();
      gradientNorm = first ? plan.bind(wantsL1 ? "gradient_norm_l1" : "gradient_norm", "") : null;
      report = new Report(plan.scopes());
    } catch (RuntimeException | Error e) {
      plan.close();
      throw e;
    }
  }

  private void initialise(List<String> ruleSlots) {
    for (String slot : ruleSlots) {
      final double value = rule.initialValue(slot);
      for (Rule groupRule : rules)
        if (groupRule.initialValue(slot) != value)
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

  /** Takes the sums of the last step, where they are taken late; the report may be read after the optimizer is closed. */
  void settle() {}

  /** The scalars that make a resumed run equal an uninterrupted one, by name. */
  abstract void saveScalars(Map<String, double[]> scalars);

  /** Takes them back; they are complete and of the right lengths. */
  abstract void restoreScalars(Map<String, double[]> scalars);

  @Override
  public final StepReport step() {
    return step(Double.NaN, false, -1);
  }

  @Override
  public final StepReport step(double loss) {
    return step(loss, true, -1);
  }

  /** A step with the loss and gradients of one part of the data; -1 is none in particular. */
  final StepReport stepOfPart(double loss, int ofPart) {
    return step(loss, true, ofPart);
  }

  private StepReport step(double loss, boolean checked, int ofPart) {
    if (!checked && lossNeededBy() != null)
      throw new IllegalStateException(lossNeededBy() + " needs the loss at the current parameters: call step(loss)");
    begin();
    try {
      part = ofPart;
      report.loss = loss;
      report.skip = Skip.NONE;
      report.gradientNorm = Double.NaN;
      report.gradientL1 = Double.NaN;
      report.clipFactor = 1;
      final double factor = schedule.at(steps + 1);
      if (!(factor >= 0 && factor <= Double.MAX_VALUE))
        throw new IllegalStateException("the schedule gives " + factor + " for step " + (steps + 1) + "; it must be finite and not negative");
      report.rate = baseRate() * factor;
      badLoss = checked && nonFinite != NonFinite.UNCHECKED && !Double.isFinite(loss);
      // One process cannot stop alone: where there are several, its bad loss goes into the sums, and all of them skip the step.
      final boolean stops = badLoss && reducer == null;
      if (stops) report.skip = Skip.NON_FINITE_LOSS;
      final boolean made = !stops && advance(steps + 1);
      if (made) ++steps;
      else ++skipped;
      report.step = steps;
      report.skippedSteps = skipped;
      if (!made && nonFinite == NonFinite.THROW)
        throw new NonFiniteException(
            "step " + (steps + 1) + ": "
                + switch (report.skip) {
                  case NON_FINITE_LOSS -> "the loss is " + loss + (Double.isFinite(loss) ? ", and those on trial are not finite" : "");
                  case NON_FINITE_CURVATURE -> "the curvature is not finite, or a rate made of it";
                  default -> "a gradient is not finite, |g| = " + report.gradientNorm;
                });
      return report;
    } finally {
      end();
    }
  }

  /** The name of a tuner that cannot make a step without the loss; null for the others. */
  String lossNeededBy() {
    return null;
  }

  abstract double baseRate();

  /** Reads the gradients ahead of the sweeps, where that was asked for. False: skip the step. */
  final boolean guard() {
    if (gradientNorm == null) return true;
    gradientNorm.run();
    total[0] = badLoss ? Double.NaN : 0;
    total[1] = 0;
    final double[] sums = gradientNorm.sums();
    final int columns = wantsL1 ? 2 : 1;
    for (int i = 0; i < sums.length; ++i) total[i % columns] += sums[i];
    reduce(total, columns);
    if (wantsL1) report.gradientL1 = total[1] * Math.abs(multiplier);
    return accept(total[0]);
  }

  /** Binds the sweep that sees the gradients first, in its form with |g|_1 where that was asked for and no guard sums it. */
  final Sweep bindObserver(String sweep, String ruleName) {
    if (!wantsL1 || gradientNorm != null) return plan.bind(sweep, ruleName);
    final Sweep observer = plan.bind(sweep + "_l1", ruleName);
    l1Column = observer.sum("gradientL1");
    return observer;
  }

  /** Notes |g|_1 where the sweep of {@link #bindObserver} summed it. */
  final void takeL1(double[] sums) {
    if (l1Column < 0) return;
    total[0] = 0;
    final int columns = sums.length / plan.segments();
    for (int i = l1Column; i < sums.length; i += columns) total[0] += sums[i];
    reduce(total, 1);
    report.gradientL1 = total[0] * Math.abs(multiplier);
  }

  /** What gradients in memory are to be multiplied by, clipping aside. */
  final double gradientMultiplier() {
    return multiplier;
  }

  /** Whether there are several processes, which must add their sums at the same points of a step. */
  final boolean reduces() {
    return reducer != null;
  }

  /** Adds values over all processes, where there are several. Every process must come here equally often. */
  @Override
  public final void reduce(double[] sums, int count) {
    if (reducer != null) reducer.reduce(sums, count);
  }

  /**
   * Notes the norm of the gradients, and what clipping makes of them. False: skip the step.
   *
   * @param square |g|^2 of the gradients as they are in memory, over all tensors
   */
  final boolean accept(double square) {
    report.gradientNorm = Math.sqrt(square) * Math.abs(multiplier);
    if (nonFinite != NonFinite.UNCHECKED && !Double.isFinite(report.gradientNorm)) {
      report.skip = badLoss ? Skip.NON_FINITE_LOSS : Skip.NON_FINITE_GRADIENT;
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

  final boolean guarded() {
    return gradientNorm != null;
  }

  /** Whether the loss of this step is not finite: its sums then say so to the other processes. */
  final boolean badLoss() {
    return badLoss;
  }

  /** Skips a step of which the tuner's own sums are not finite, unless nobody is to look. */
  final boolean refuses(double feedback) {
    return refuses(feedback, Skip.NON_FINITE_GRADIENT);
  }

  /** The same, with the reason to be given. */
  final boolean refuses(double feedback, Skip why) {
    if (Double.isFinite(feedback) || nonFinite == NonFinite.UNCHECKED) return false;
    report.skip = why;
    return true;
  }

  final String ruleKernel() {
    return rule.kernel();
  }

  /** The rule of a group, by its place in {@link ParameterSet#groups}. */
  final Rule rule(int group) {
    return rules[group];
  }

  /** A group's factor on the rate. */
  final double rateFactor(int group) {
    return rateFactors[group];
  }

  /** The rate of this step for a group: base rate times schedule times the group's factor. */
  final double rate(int group) {
    return report.rate * rateFactors[group];
  }

  /** The column where the rule's coefficients begin in a sweep. */
  final int ruleColumn(Sweep sweep) {
    return sweep.ruleColumn(rule.coefficientNames());
  }

  /** Sets the rule's coefficients of a step for all segments. */
  final void setRule(Sweep sweep, int column, long step) {
    final int count = rule.coefficientNames().size();
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
  public double wordsPerElement() {
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
      plan.rebind(number(tensor), parameterAddress, gradientAddress);
    } finally {
      end();
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
    begin();
    try {
      if (!slots().contains(slot)) throw new IllegalArgumentException("no state slot '" + slot + "'; there are " + slots());
      final int number = number(tensor);
      return new StateTensor(plan.address(slot, number), plan.type(slot, number), parameters.tensors().get(number).count());
    } finally {
      end();
    }
  }

  private int number(String tensor) {
    final Integer number = tensorNumbers.get(tensor);
    if (number == null) throw new IllegalArgumentException("no tensor '" + tensor + "'");
    return number;
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
      settle();
    } finally {
      plan.close();
    }
  }

  @Override
  public final Plan plan() {
    return plan;
  }

  @Override
  public final void exclusively(Runnable work) {
    begin();
    try {
      work.run();
    } finally {
      end();
    }
  }

  @Override
  public final boolean preconditions() {
    return rule.kernel().equals("adam") || rule.kernel().startsWith("rmsprop");
  }

  @Override
  public final void preconditioner(int group, double[] to) {
    if (!preconditions() || steps == 0) throw new IllegalStateException("no preconditioner of " + rule + " after " + steps + " steps");
    final List<String> names = rule.coefficientNames();
    final boolean adam = rule.kernel().equals("adam");
    rules[group].coefficients(1, steps, values);
    to[0] = adam ? 1 / values[names.indexOf("stepSize")] : 1;
    to[1] = adam ? values[names.indexOf("rootCorrection")] : 1;
    to[2] = adam ? 0 : values[names.indexOf("epsilonInside")];
    to[3] = values[names.indexOf(adam ? "epsilon" : "epsilonOutside")];
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
