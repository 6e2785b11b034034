// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.function.Supplier;
import org.steptuner.ParameterSet;
import org.steptuner.Schedule;
import org.steptuner.rule.Coefficients;
import org.steptuner.rule.Rule;
import org.steptuner.rule.RuleStep;

/**
 * The part of an optimizer that is the tuner's own: its sweeps and its scalars, in {@link #advance}, and what it says of itself.
 * {@link Steps} makes whole steps of it, and {@link BoundOptimizer} is the optimizer around it.
 *
 * <p>A tuner's constructor takes an {@link Engine} and binds its sweeps; {@link Engine#build} closes the engine if that fails.
 */
public abstract class TunedOptimizer implements Inspected {
  /** No part of the data in particular. */
  protected static final int NO_PART = -1;

  protected final Plan plan;
  protected final GradientGuard guard;
  protected final Report report;
  protected final Attendance attendance;
  private final Settings settings;
  private final Groups groups;
  private final Averages averages; // null where no rule keeps any
  private final boolean supplied;
  private RulePoints rulePoints; // null until they are needed
  private AbsentSums absentSums;
  private final ScheduledStep ruleStep = new ScheduledStep();
  private final ScheduledStep lastStep = new ScheduledStep();
  private int part = NO_PART;

  protected TunedOptimizer(Engine engine) {
    plan = engine.plan;
    guard = engine.guard;
    report = engine.report;
    settings = engine.settings;
    groups = engine.groups;
    attendance = engine.attendance;
    averages = settings.rule().averageSlot() == null ? null : new Averages(plan.segments());
    supplied = Plan.takesUpdates(settings.rule().kernel());
  }

  /** Names the scalars that make a resumed run equal an uninterrupted one. */
  protected abstract void name(Scalars scalars);

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

  /** Whether the slot of {@link #averageSlot} holds something for a segment: by default since the first step. */
  protected boolean hasAverage(int segment) {
    return report.step > 0;
  }

  /** Forgets what the last step left to be taken late: the scalars have been restored. */
  protected void restored() {}

  /**
   * Brings scalars that are sums over tensors up to date: parameters, state and scalars have been restored from a checkpoint that has other
   * tensors, other tensors are in the coming steps, or parameters have been written.
   *
   * @param changed by scope: whether its sums are others
   */
  protected void tensorsChanged(boolean[] changed) {}

  /**
   * The trainer has written the parameters of the tensors that sweeps go over now. Puts stored points from which x is rebuilt, or to which
   * it is led, where the next step starts at x as it is. By default there are none; the rule's own points are not the tuner's business.
   *
   * <p>At least one step has been made, and late sums have been taken.
   */
  protected void rebase() {}

  /**
   * The tensors that sweeps go over now come back, after steps of others of their scopes. Does the same where scalars have changed that x
   * is rebuilt with.
   */
  protected void rejoin() {}

  /** Puts all points that are tied to x where x is. */
  final void rebaseAll() {
    rebase();
    rulePoints().moved(report.step, momentumFactor(report.step));
  }

  /** Puts the rule's points where x is, if they have moved by the number of the step alone. */
  final void rejoinRule() {
    rulePoints().returned(report.step, momentumFactor(report.step));
  }

  private RulePoints rulePoints() {
    if (rulePoints == null) rulePoints = new RulePoints(plan, ruleKernel(), groups::rule);
    return rulePoints;
  }

  /**
   * Sums over the state of tensors that sit out.
   *
   * @param bind binds a sweep, and puts its coefficients; it is called when they are first needed
   * @param names the names of its sums
   */
  protected final AbsentSums absentSums(Supplier<Sweep> bind, String... names) {
    absentSums = new AbsentSums(plan.segments(), bind, names);
    return absentSums;
  }

  /** Those of this tuner; null for most. */
  final AbsentSums absentSums() {
    return absentSums;
  }

  @Override
  public final Plan plan() {
    return plan;
  }

  @Override
  public final Reduction reduction() {
    return new Reduction(plan, settings.sumReducer());
  }

  /** The tensors, where they are now. */
  protected final ParameterSet parameters() {
    return plan.parameters();
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

  /** The part of the data that the step was given, or {@link #NO_PART}. */
  protected final int part() {
    return part;
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

  /**
   * The slot of which the point that is to be evaluated is made, with the parameters, as {@link #putAverage} says. Null where the
   * parameters are that point themselves. It is the same slot always.
   */
  protected String averageSlot() {
    return settings.rule().averageSlot();
  }

  /**
   * Puts the weights of that point, {@code parameterWeight x + averageWeight slot}, for a segment. What has the weight 0 leaves no trace:
   * where no rule keeps an average, the point is the slot itself, if it {@linkplain #hasAverage holds something}.
   */
  protected void putAverage(int segment, Coefficients to) {
    if (averages != null) {
      putAverage(segment, learnedScale(plan.scope(segment)), to);
    } else {
      final double weight = hasAverage(segment) ? 1 : 0;
      to.put("parameterWeight", 1 - weight).put("averageWeight", weight);
    }
  }

  /** Puts the weights of the average that the rule keeps, where its steps have been multiplied by a scale. */
  protected final void putAverage(int segment, double scale, Coefficients to) {
    to.put("parameterWeight", 1).put("averageWeight", scale * rule(plan.group(segment)).averageFactor());
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

  /** Words of a step per element. */
  protected double wordsPerElement() {
    return sweepWords() + guard.words();
  }

  @Override
  public final boolean preconditions() {
    return settings.rule().preconditions();
  }

  @Override
  public final void preconditioner(int group, Coefficients to) {
    if (report.step == 0) throw new IllegalStateException("no preconditioner of " + settings.rule() + " before the first step");
    lastStep.begin(report.step, momentumFactor(report.step), 1);
    rule(group).preconditioner(lastStep, to);
  }

  /**
   * Begins a step, of which nothing has changed yet.
   *
   * @return its rate
   * @throws IllegalStateException if a schedule gives what cannot be
   */
  final double begin(long number, int ofPart) {
    final double rate = baseRate() * factor(settings.schedule(), "schedule", number);
    ruleStep.begin(number, momentumFactor(number), factor(settings.decaySchedule(), "decaySchedule", number));
    checkMomentum();
    if (averages != null) beginAverages(rate);
    part = ofPart;
    return rate;
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
}
