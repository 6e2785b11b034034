// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Arrays;
import java.util.Map;
import org.steptuner.NonFinite;
import org.steptuner.NonFiniteException;
import org.steptuner.ParameterSet;
import org.steptuner.Schedule;
import org.steptuner.StepReport;
import org.steptuner.StepReport.Skip;
import org.steptuner.rule.Coefficients;
import org.steptuner.rule.Rule;
import org.steptuner.rule.RuleStep;

/**
 * The part of a step that all tuners share, from its beginning to its report. A tuner adds its sweeps and its scalars in {@link #advance}.
 *
 * <p>A tuner's constructor takes an {@link Engine} and binds its sweeps; {@link Engine#build} closes the engine if that fails.
 */
public abstract class TunedOptimizer extends BoundOptimizer {
  private final Settings settings;
  private final Groups groups;
  private final Averages averages; // null where no rule keeps any
  private final boolean supplied;
  private final ScheduledStep ruleStep = new ScheduledStep();
  private final ScheduledStep lastStep = new ScheduledStep();
  private long steps;
  private long skipped;
  private int part = -1;

  protected TunedOptimizer(Engine engine) {
    super(engine);
    settings = engine.settings;
    groups = engine.groups;
    averages = settings.rule().averageSlot() == null ? null : new Averages(plan.segments());
    supplied = Plan.takesUpdates(settings.rule().kernel());
  }

  /**
   * Makes step {@code step}.
   *
   * @return false if it must be skipped, with nothing changed; the guard has noted why
   */
  protected abstract boolean advance(long step);

  /** The rate that a schedule multiplies. */
  protected abstract double baseRate();

  /** Words of the sweeps of {@link #advance}, per element. */
  protected abstract int sweepWords();

  /**
   * What the step that was made multiplied the rule's direction by, without the factor of a group. Tuners whose scale has changed since
   * then keep it.
   */
  protected double effectiveRate(int scope) {
    return report.rate * learnedScale(scope);
  }

  /** The name of a tuner that cannot make a step without the loss; null for the others. */
  protected String lossNeededBy() {
    return null;
  }

  @Override
  public final StepReport step() {
    return step(Double.NaN, false, -1);
  }

  @Override
  public final StepReport step(double loss) {
    return step(loss, true, -1);
  }

  /** A step with the loss and gradients of one part of the data. */
  protected final StepReport stepOfPart(double loss, int ofPart) {
    return step(loss, true, ofPart);
  }

  /** The part of the data that the step was given; -1 for none in particular. */
  protected final int part() {
    return part;
  }

  private StepReport step(double loss, boolean hasLoss, int ofPart) {
    if (!hasLoss && lossNeededBy() != null)
      throw new IllegalStateException(lossNeededBy() + " needs the loss at the current parameters: call step(loss)");
    use.begin();
    try {
      evaluation.checkTraining();
      final double factor = factor(settings.schedule(), "schedule", steps + 1);
      ruleStep.begin(steps + 1, momentumFactor(steps + 1), factor(settings.decaySchedule(), "decaySchedule", steps + 1));
      checkMomentum();
      final double rate = baseRate() * factor;
      if (averages != null) beginAverages(rate);
      part = ofPart;
      report.loss = loss;
      report.skip = Skip.NONE;
      report.rate = rate;
      final boolean badLoss = hasLoss && guard.nonFinite() != NonFinite.UNCHECKED && !Double.isFinite(loss);
      guard.begin(badLoss);
      // One process cannot stop alone: where there are several, its bad loss goes into the sums, and all of them skip the step.
      final boolean stops = badLoss && !reduces();
      if (stops) report.skip = Skip.NON_FINITE_LOSS;
      final boolean made = !stops && advance(steps + 1);
      if (made) steps++;
      else skipped++;
      if (made && averages != null) averages.made();
      report.step = steps;
      report.skippedSteps = skipped;
      if (made) reportStep();
      else if (guard.nonFinite() == NonFinite.THROW) throw new NonFiniteException("step " + (steps + 1) + ": " + whySkipped());
      return report;
    } finally {
      use.end();
    }
  }

  private void reportStep() {
    reportScales();
    for (int scope = 0; scope < plan.scopes(); ++scope) report.effectiveRate[scope] = effectiveRate(scope);
  }

  private static double factor(Schedule schedule, String name, long step) {
    if (schedule == null) return 1;
    final double factor = schedule.at(step);
    if (!(factor >= 0 && factor <= Double.MAX_VALUE))
      throw new IllegalStateException("the " + name + " gives " + factor + " for step " + step + "; it must be finite and not negative");
    return factor;
  }

  /** Before anything has changed: the momentum that the schedule makes must be one that the rule can have. */
  private void checkMomentum() {
    if (settings.momentumSchedule() == null) return;
    for (int group = 0; group < parameters().groups().size(); ++group) {
      final double present = scheduledMomentum(group) * ruleStep.momentumFactor();
      if (!rule(group).allowsMomentum(present))
        throw new IllegalStateException(
            "the momentumSchedule makes the momentum " + present + " in step " + ruleStep.number() + ", which " + rule(group)
                + " cannot have");
    }
  }

  /**
   * Finds the weight of this step's iterate in the average of each segment, where the rule keeps one: by the rate of this step.
   *
   * @param rate of groups whose factor is 1
   */
  protected void beginAverages(double rate) {
    for (int segment = 0; segment < plan.segments(); ++segment) {
      final int group = plan.group(segment);
      averages.begin(segment, rule(group), ruleStep.number(), rate * rateFactor(group));
    }
  }

  /** The weights of iterates in the averages that the rule keeps; null where it keeps none. */
  protected final Averages averages() {
    return averages;
  }

  @Override
  protected String averageSlot() {
    return settings.rule().averageSlot();
  }

  @Override
  protected void putAverage(int segment, Coefficients to) {
    if (averages == null) super.putAverage(segment, to);
    else putAverage(segment, learnedScale(plan.scope(segment)), to);
  }

  /** Puts the weights of the average that the rule keeps, where its steps have been multiplied by a scale. */
  protected final void putAverage(int segment, double scale, Coefficients to) {
    to.put("parameterWeight", 1).put("averageWeight", scale * rule(plan.group(segment)).averageFactor());
  }

  @Override
  final void nameAverages(Scalars to) {
    if (averages != null) averages.name(to);
  }

  /** Refuses a schedule of what this tuner and its rules do not have. */
  final void checkSchedules() {
    boolean momentum = settings.momentumSchedule() == null;
    boolean decay = settings.decaySchedule() == null;
    for (int group = 0; group < parameters().groups().size(); ++group) {
      momentum |= scheduledMomentum(group) != 0;
      decay |= rule(group).coupledDecay() + rule(group).decoupledDecay() != 0;
    }
    if (!momentum) throw new IllegalArgumentException("momentumSchedule: there is no momentum in " + settings.description());
    if (!decay) throw new IllegalArgumentException("decaySchedule: there is no weight decay in " + settings.description());
  }

  /** What a schedule of the momentum multiplies in a group; 0 for nothing. */
  protected double scheduledMomentum(int group) {
    return rule(group).momentum();
  }

  /** The factor on the momentum in this step. */
  protected final double momentumFactor() {
    return ruleStep.momentumFactor();
  }

  /** The factor on the momentum in a step, from 1. */
  protected final double momentumFactor(long step) {
    return factor(settings.momentumSchedule(), "momentumSchedule", step);
  }

  /** The factor on the weight decay in this step. */
  protected final double decayFactor() {
    return ruleStep.decayFactor();
  }

  /** This step for a rule, at a rate; good until the next call. */
  protected final RuleStep ruleStep(double rate) {
    return ruleStep.at(rate);
  }

  /** The same for a rule that keeps an average, with the weight of the step's iterate in it. */
  protected final RuleStep ruleStep(double rate, double averagingWeight) {
    return ruleStep.at(rate).averaging(averagingWeight);
  }

  private String whySkipped() {
    return switch (report.skip) {
      case NON_FINITE_LOSS ->
          "the loss is " + report.loss + (Double.isFinite(report.loss) ? ", and those on trial are not finite" : "");
      case NON_FINITE_CURVATURE -> "the curvature is not finite, or a rate made of it";
      default -> "a gradient is not finite, |g| = " + report.gradientNorm;
    };
  }

  /** Whether there are several processes, which must add their sums at the same points of a step. */
  protected final boolean reduces() {
    return settings.sumReducer() != null;
  }

  /** What sweeps multiply the rule's source by: a supplied update is taken as it is. */
  protected final double sourceScale() {
    return supplied ? 1 : guard.scale();
  }

  /** The name of the base rule's formula. */
  protected final String ruleKernel() {
    return settings.rule().kernel();
  }

  /** The rule of a group, by its place in {@link ParameterSet#groups}. */
  protected final Rule rule(int group) {
    return groups.rule(group);
  }

  /** A group's factor on the rate. */
  protected final double rateFactor(int group) {
    return groups.rateFactor(group);
  }

  /** The rate of this step for a group: base rate times schedule times the group's factor. */
  protected final double rate(int group) {
    return report.rate * groups.rateFactor(group);
  }

  /** Whether a segment is of another group than the one before it: only then do the coefficients of its rule differ. */
  protected final boolean startsGroup(int segment) {
    return segment == 0 || plan.group(segment) != plan.group(segment - 1);
  }

  /** Puts the rule's coefficients of this step for a segment, where they are not those of the segment before. */
  protected final void putRule(Sweep sweep, int segment) {
    final int group = plan.group(segment);
    if (averages != null) ruleStep.averaging(averages.weight(segment));
    if (startsGroup(segment)) putGroupRule(sweep, group, rate(group));
  }

  /** Puts the coefficients of a group's rule in this step, at a rate. */
  protected final void putGroupRule(Sweep sweep, int group, double rate) {
    rule(group).coefficients(ruleStep.at(rate), sweep);
  }

  @Override
  public final long steps() {
    return steps;
  }

  @Override
  public double wordsPerElement() {
    return sweepWords() + guard.words();
  }

  @Override
  final void resume(long stepsMade, long stepsSkipped, Map<String, double[]> scalars, boolean[] changedScopes) {
    steps = stepsMade;
    skipped = stepsSkipped;
    report.step = stepsMade;
    report.skippedSteps = stepsSkipped;
    Arrays.fill(report.effectiveRate, Double.NaN);
    restoreScalars(scalars, changedScopes);
  }

  @Override
  final long skippedSteps() {
    return skipped;
  }

  @Override
  public final boolean preconditions() {
    return settings.rule().preconditions();
  }

  @Override
  public final void preconditioner(int group, Coefficients to) {
    if (steps == 0) throw new IllegalStateException("no preconditioner of " + settings.rule() + " before the first step");
    lastStep.begin(steps, momentumFactor(steps), 1);
    rule(group).preconditioner(lastStep, to);
  }
}
