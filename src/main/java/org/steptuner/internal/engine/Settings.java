// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.steptuner.LossScale;
import org.steptuner.NonFinite;
import org.steptuner.Schedule;
import org.steptuner.Scope;
import org.steptuner.SumReducer;
import org.steptuner.rule.Rule;

/**
 * The settings that all optimizers have. They do not change after the optimizer was built.
 *
 * @param rule the base rule
 * @param groups hyperparameters of groups that have their own
 * @param schedule the factor on the rate, by step
 * @param momentumSchedule the factor on the momentum, by step; null for none
 * @param decaySchedule the factor on the weight decay, by step; null for none
 * @param scope the largest extent of a segment
 * @param nonFinite what to do about a gradient that is not finite
 * @param gradientMultiplier the first factor on every gradient
 * @param clipNorm the norm to clip to; infinity for none
 * @param sumReducer adds sums over processes; null for one process
 * @param gradientL1 whether reports have |g|_1
 * @param stream the stream of a GPU
 * @param description the tuner with its form and settings
 * @param ruleSlots the rule's state slots that the tuner uses
 * @param tunerSlots the tuner's own state slots
 * @param tuneFor the number of steps after which tuning ends
 * @param guarded whether a read of the gradients must come before the tuner's sweeps
 * @param observesL1 whether the tuner's first sweep has a form that sums |g|_1
 * @param averageDecay the decay of the exponential average of the parameters; NaN for none
 * @param lossScale how gradients are scaled; null for not at all
 * @param boundedDecay whether decoupled decay is lowered where it would shrink parameters to less than nothing
 * @param precision how state is stored and 16-bit parameters are rounded
 */
public record Settings(
    Rule rule,
    Map<String, Group> groups,
    Schedule schedule,
    Schedule momentumSchedule,
    Schedule decaySchedule,
    Scope scope,
    NonFinite nonFinite,
    double gradientMultiplier,
    double clipNorm,
    SumReducer sumReducer,
    boolean gradientL1,
    long stream,
    Description description,
    List<String> ruleSlots,
    List<StateSlot> tunerSlots,
    long tuneFor,
    boolean guarded,
    boolean observesL1,
    double averageDecay,
    LossScale lossScale,
    boolean boundedDecay,
    Precision precision) {
  /** More steps than any run has: tuning does not end. */
  public static final long ALWAYS = Long.MAX_VALUE;

  /** The hyperparameters of a group. */
  public record Group(Rule rule, double rateFactor) {}

  /** What optimizers of processes that train together must have in common, by name. */
  Map<String, String> facts() {
    final Map<String, String> facts = new LinkedHashMap<>();
    facts.put("tuner", description.name());
    facts.putAll(description.values());
    precision.putFacts(facts);
    groups.forEach((name, group) -> {
      final Description own = new Description(name).rule("rule", group.rule).setting("rateFactor", group.rateFactor);
      own.values().forEach((key, value) -> facts.put(key + " of group '" + name + "'", value));
    });
    facts.put("nonFinite", nonFinite.name());
    facts.put("lossScale", String.valueOf(lossScale));
    facts.put("gradientL1", String.valueOf(gradientL1));
    facts.put("momentumSchedule", momentumSchedule == null ? "none" : "given");
    facts.put("decaySchedule", decaySchedule == null ? "none" : "given");
    return facts;
  }

  public Settings {
    groups = Map.copyOf(groups);
    ruleSlots = List.copyOf(ruleSlots);
    tunerSlots = List.copyOf(tunerSlots);
  }

  /** The same for a run that goes on at the rates that it has learned: with the rule's state alone. */
  Settings frozen() {
    final boolean needsNorm = nonFinite != NonFinite.UNCHECKED || clipNorm != Double.POSITIVE_INFINITY;
    return new Settings(
        rule, groups, schedule, momentumSchedule, decaySchedule, scope, nonFinite, gradientMultiplier, clipNorm, sumReducer, gradientL1,
        stream, description.frozen(), Kernel.slotsOf(rule.kernel()), List.of(), tuneFor, needsNorm, false,
        averageDecay, lossScale, boundedDecay, precision);
  }

  /** Whether there is an exponential average of the parameters. */
  boolean averagesParameters() {
    return !Double.isNaN(averageDecay);
  }

  /**
   * The factor that a schedule gives for a step; 1 where there is none.
   *
   * @throws IllegalStateException if it is none
   */
  static double factor(Schedule schedule, String name, long step) {
    if (schedule == null) return 1;
    final double factor = schedule.at(step);
    if (!(factor >= 0 && factor <= Double.MAX_VALUE))
      throw new IllegalStateException("the " + name + " gives " + factor + " for step " + step + "; it must be finite and not negative");
    return factor;
  }
}
