// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.steptuner.Scope;
import org.steptuner.rule.Rule;

/**
 * Lets a run go on with other steps over the same memory: with other settings, or with the rule alone when tuning ends. The new steps are
 * made whole before the old ones are given up, so that nothing has changed if that fails.
 */
final class Succession {
  private final BoundOptimizer optimizer;
  private final Precision before; // of the old steps
  private final Precision after;
  private final List<String> added = new ArrayList<>(); // state slots that the new steps need and the old ones have not
  private final Engine engine;
  private final Steps steps;

  private Succession(BoundOptimizer optimizer, Settings settings, Function<Engine, TunedOptimizer> tuner) {
    this.optimizer = optimizer;
    before = optimizer.settings().precision();
    after = settings.precision();
    try {
      for (String slot : settings.ruleSlots())
        if (optimizer.plan.addState(slot, after.storage(settings.rule().stateKind(slot)))) added.add(slot);
      if (!before.equals(after)) optimizer.plan.setRounding(after);
      engine = new Engine(settings, optimizer.engine());
      steps = engine.steps(tuner);
    } catch (RuntimeException | Error e) {
      putBack();
      throw e;
    }
  }

  Settings settings() {
    return engine.settings;
  }

  Steps steps() {
    return steps;
  }

  /** The state slots that the new steps have. */
  List<String> slots() {
    return engine.slotNames();
  }

  /** Gives the new steps up. */
  void discard() {
    engine.release();
    putBack();
  }

  private void putBack() {
    if (!before.equals(after)) optimizer.plan.setRounding(before);
    for (String slot : added) optimizer.plan.release(slot);
  }

  /** Gives the old steps up. */
  void take() {
    optimizer.goOn(engine, steps);
  }

  /**
   * Changes the settings of a run.
   *
   * @throws IllegalArgumentException if more than settings differs
   */
  static void change(BoundOptimizer optimizer, Settings settings, Function<Engine, TunedOptimizer> tuner) {
    final Settings before = optimizer.settings();
    checkForm(optimizer, before, settings);
    final Map<String, Scalars.Values> scalars = optimizer.stepping().savedScalars();
    final Succession next;
    if (before.description().isFrozen()) {
      final FixedSteps frozen = (FixedSteps) optimizer.tuned();
      next = new Succession(optimizer, settings.frozen(), engine -> new FixedSteps(engine, frozen));
    } else {
      next = new Succession(optimizer, settings, tuner);
    }
    try {
      Engine.checkTuneFor(settings, next.steps.tuned());
      next.steps.take(scalars, optimizer.tuned());
    } catch (RuntimeException | Error e) {
      next.discard();
      throw e;
    }
    next.take();
  }

  private static void checkForm(BoundOptimizer optimizer, Settings before, Settings settings) {
    final String stored = before.precision().differsInForm(settings.precision());
    if (stored != null) throw new IllegalArgumentException("settings can change while a run goes on, how it is stored cannot: " + stored);
    final String differs = before.description().differsInForm(settings.description());
    if (differs != null) throw new IllegalArgumentException("settings can change while a run goes on, its form cannot: " + differs);
    for (String group : optimizer.parameters().groups()) {
      final String inGroup = ofGroup(before, group).differsInForm(ofGroup(settings, group));
      if (inGroup != null)
        throw new IllegalArgumentException("settings can change while a run goes on, its form cannot: in group '" + group + "' " + inGroup);
    }
    if (!before.description().isFrozen()
        && !(before.ruleSlots().equals(settings.ruleSlots()) && names(before.tunerSlots()).equals(names(settings.tunerSlots()))))
      throw new IllegalArgumentException("settings can change while a run goes on, its state cannot: " + settings.description());
  }

  private static List<String> names(List<StateSlot> slots) {
    return slots.stream().map(StateSlot::name).toList();
  }

  private static Description ofGroup(Settings settings, String group) {
    final Settings.Group own = settings.groups().get(group);
    final Rule rule = own == null ? settings.rule() : own.rule();
    return new Description("rule").rule("rule", rule);
  }

  /** Why tuning cannot end now; null if it can, or has ended. */
  static String whyNotFrozen(BoundOptimizer optimizer) {
    final TunedOptimizer tuned = optimizer.tuned();
    if (tuned instanceof FixedSteps) return null;
    final String why = tuned.whyNotFrozen();
    if (why != null) return why;
    optimizer.stepping().settleAndReport();
    tuned.recallFactors();
    // Where processes may have different scopes, one of them cannot decide alone.
    boolean learned = optimizer.settings().sumReducer() != null && optimizer.settings().scope() != Scope.ALL;
    for (int scope = 0; scope < optimizer.plan.scopes(); ++scope) {
      final double rate = tuned.learnedRate(scope);
      if (!Double.isFinite(rate)) return "the learned rate is " + rate;
      learned |= rate > 0;
    }
    return learned ? null : "no rate above 0 has been learned in " + optimizer.steps() + " steps";
  }

  /**
   * Ends tuning, where {@link #whyNotFrozen} says that it can: the run goes on with the rule alone, at the rates that have been learned,
   * and the tuner's own state is freed.
   */
  static void freeze(BoundOptimizer optimizer) {
    final TunedOptimizer tuned = optimizer.tuned();
    if (tuned instanceof FixedSteps) return;
    final Learned learned = new Learned(optimizer);
    final Succession next =
        new Succession(
            optimizer, optimizer.settings().frozen(),
            engine -> new FixedSteps(engine, tuned.baseRate(), learned.rates, learned.scales));
    final Owned converting = new Owned(optimizer.plan);
    try {
      final List<Sweep> sweeps = converting.collect(tuned::stateOfRule);
      optimizer.overAll(() -> sweeps.forEach(Sweep::run));
    } catch (RuntimeException | Error e) {
      next.discard();
      throw e;
    } finally {
      converting.release();
    }
    next.take();
  }

  /**
   * Steps of the rule alone, for a checkpoint of a run whose tuning has ended. A scope that the checkpoint lacks goes on at the rate that
   * it has here.
   */
  static Succession restoringFrozen(BoundOptimizer optimizer) {
    final Learned learned = new Learned(optimizer);
    return new Succession(
        optimizer, optimizer.settings().frozen(),
        engine -> new FixedSteps(engine, optimizer.tuned().baseRate(), learned.rates, learned.scales));
  }

  /** What a tuner has learned, by scope. */
  private static final class Learned {
    final double[] rates;
    final double[] scales;

    Learned(BoundOptimizer optimizer) {
      final TunedOptimizer tuned = optimizer.tuned();
      tuned.recallFactors();
      rates = new double[optimizer.plan.scopes()];
      scales = new double[rates.length];
      for (int scope = 0; scope < rates.length; ++scope) {
        rates[scope] = tuned.learnedRate(scope);
        scales[scope] = tuned.learnedScale(scope);
      }
    }
  }
}
