// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.List;
import java.util.function.Supplier;
import org.steptuner.ParameterSet;
import org.steptuner.rule.Coefficients;
import org.steptuner.rule.Rule;
import org.steptuner.rule.RuleStep;

/**
 * The part of an optimizer that is the tuner's own: its sweeps and its scalars, in {@link #advance}, and what it says of itself.
 * {@link Steps} makes whole steps of it, and {@link BoundOptimizer} is the optimizer around it.
 *
 * <p>A tuner's constructor takes an {@link Engine} and binds its sweeps; {@link Engine#build} closes the engine if that fails.
 */
public abstract class TunedOptimizer extends TunerHooks implements Inspected {
  protected final GradientGuard guard;
  protected final Attendance attendance;
  private final Settings settings;
  private final Groups groups;
  private final Averages averages; // null where no rule keeps any
  private final Processes processes; // null: one process
  private final boolean supplied;
  private final double[] decoupledDecay; // by group
  private final ScheduledStep ruleStep;
  private final ScheduledStep lastStep;
  private final LastFactors last;
  private final RulePoints rulePoints;
  private AbsentSums absentSums;
  private int part = NO_PART;
  private double scheduleFactor = 1;
  private boolean putWithinBounds; // the coefficients that were put last have a decay that was lowered

  protected TunedOptimizer(Engine engine) {
    super(engine);
    guard = engine.guard;
    settings = engine.settings;
    groups = engine.groups;
    processes = engine.processes;
    attendance = engine.attendance;
    averages = settings.rule().averageSlot() == null ? null : new Averages(plan.segments());
    supplied = Kernel.takesUpdates(settings.rule().kernel());
    decoupledDecay = new double[plan.parameters().groups().size()];
    for (int group = 0; group < decoupledDecay.length; ++group) decoupledDecay[group] = groups.rule(group).decoupledDecay();
    ruleStep = newStep();
    lastStep = newStep();
    last = new LastFactors(settings);
    rulePoints = new RulePoints(plan, ruleKernel(), groups::rule, newStep());
  }

  /** Puts all points that are tied to x where x is. */
  final void rebaseAll() {
    rebase();
    rulePoints.moved(report.step, momentumFactor(report.step));
  }

  /** Puts the rule's points where x is, if they have moved by the number of the step alone. */
  final void rejoinRule() {
    rulePoints.returned(report.step, momentumFactor(report.step));
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
    return new Reduction(plan, processes);
  }

  /** The factor of the schedule in this step, and afterwards that of the last one. */
  protected final double scheduleFactor() {
    return scheduleFactor;
  }

  /** Why the run cannot go on with the rule alone at {@link #learnedRate}; null if it can. */
  protected String whyNotFrozen() {
    if (settings.rule().averageSlot() != null) return "the weights in the average of " + settings.rule() + " are those of other rates";
    for (Rule rule : groups.everywhere())
      if (!rule.stepIsMultipleOfRate()) return "a step of " + rule + " is not a multiple of its rate";
    return null;
  }

  /** The loss at the parameters: the mean over all processes, known when the first sums of a step have been added. */
  protected final double loss() {
    return processes == null ? report.loss : processes.loss();
  }

  /** The rules of all groups, those of other processes too: what is decided by them is the same in every process. */
  protected final List<Rule> rulesEverywhere() {
    return groups.everywhere();
  }

  /** The part of the data that the step was given, or {@link #NO_PART}. */
  protected final int part() {
    return part;
  }

  /** A step for rules, without schedules. */
  protected final ScheduledStep newStep() {
    return new ScheduledStep(plan.leastEpsilon(), settings.boundedDecay());
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

  /** What a schedule of the momentum multiplies in a group with a rule; 0 for nothing. */
  protected double scheduledMomentum(Rule rule) {
    return rule.momentum();
  }

  /** The factor on the momentum in this step. */
  protected final double momentumFactor() {
    return ruleStep.momentumFactor();
  }

  /** The factor on the momentum in a step, from 1. */
  protected final double momentumFactor(long step) {
    return Settings.factor(settings.momentumSchedule(), "momentumSchedule", step);
  }

  /** The factor on the weight decay in this step. */
  protected final double decayFactor() {
    return ruleStep.decayFactor();
  }

  /** The least epsilon of this optimizer's rules, see {@link RuleStep#leastEpsilon}. */
  protected final double leastEpsilon() {
    return ruleStep.leastEpsilon();
  }

  /** What decoupled decay shrinks parameters by in this step, lowered to 1 where it is more. */
  protected final double boundedShrinkage(double shrinkage) {
    return ruleStep.bounded(shrinkage);
  }

  /** The largest decoupled decay of this step in any group, times its factor on the rate; 0 where decay is not bounded. */
  protected final double largestBoundedDecay() {
    return settings.boundedDecay() ? groups.largestDecay(decayFactor()) : 0;
  }

  /** Notes that this step's decay was kept within its bound by other means. */
  protected final void noteBoundedDecay() {
    ruleStep.noteBounded();
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
    return processes != null;
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

  /** Puts the rule's coefficients of this step for a segment, where they are not those of the segment before. */
  protected final void putRule(Sweep sweep, int segment) {
    putRule(sweep, segment, rate(plan.group(segment)), 1);
  }

  /**
   * The same for a tuner that multiplies the rule's step.
   *
   * @param rate the rate of the segment's group
   * @param multiplier what the step is multiplied by
   * @return whether they were put
   */
  protected final boolean putRule(Sweep sweep, int segment, double rate, double multiplier) {
    final int group = plan.group(segment);
    if (averages != null) ruleStep.averaging(averages.weight(segment));
    ruleStep.at(rate).multiplied(multiplier);
    final boolean bounds = ruleStep.outOfBounds(decoupledDecay[group]);
    final boolean puts = bounds || putWithinBounds || startsGroup(segment);
    if (puts) putGroupRule(sweep, group, rate);
    putWithinBounds = bounds;
    ruleStep.multiplied(1);
    return puts;
  }

  /** Puts the coefficients of a group's rule in this step, at a rate. */
  protected final void putGroupRule(Sweep sweep, int group, double rate) {
    rule(group).coefficients(ruleStep.at(rate), sweep);
  }

  /** Whether the decay of this step was lowered. */
  final boolean isDecayBounded() {
    return ruleStep.isBounded();
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
    final double factor = Settings.factor(settings.schedule(), "schedule", number);
    final double rate = baseRate() * factor;
    ruleStep.begin(number, momentumFactor(number), Settings.factor(settings.decaySchedule(), "decaySchedule", number));
    checkMomentum();
    if (averages != null) beginAverages(rate);
    part = ofPart;
    scheduleFactor = factor;
    return rate;
  }

  /** The step that was begun has been made. */
  final void made() {
    last.note(scheduleFactor, ruleStep.momentumFactor());
  }

  /** Scalars of a checkpoint are about to be restored. */
  final void resumed() {
    restored();
    last.forget();
  }

  /** Those of other steps, after which these come. */
  final void goOn(TunedOptimizer before) {
    restored();
    last.take(before.last);
  }

  /** Between two steps: the factors of schedules become those of the last step that was made, also after a skipped step or a restore. */
  final void recallFactors() {
    last.find(report.step);
    scheduleFactor = last.schedule();
    ruleStep.begin(report.step, last.momentum(), 1);
  }

  /** Before anything has changed: the momentum that the schedule makes must be one that the rule can have. */
  private void checkMomentum() {
    if (settings.momentumSchedule() == null) return;
    final List<Rule> rules = groups.everywhere();
    for (int i = 0; i < rules.size(); ++i) { // an iterator would be an object in every step
      final Rule rule = rules.get(i);
      final double present = scheduledMomentum(rule) * ruleStep.momentumFactor();
      if (!rule.allowsMomentum(present))
        throw new IllegalStateException(
            "the momentumSchedule makes the momentum " + present + " in step " + ruleStep.number() + ", which " + rule + " cannot have");
    }
  }
}
