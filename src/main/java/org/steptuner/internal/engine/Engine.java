// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Function;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.rule.StateKind;

/** The parts that an optimizer is built from: its plan with the state allocated, its groups, its guard, its report. */
public final class Engine {
  final Settings settings;
  final Plan plan;
  final Groups groups;
  final Report report;
  final Processes processes; // null: one process
  final LossScaling lossScaling; // null: none
  final GradientGuard guard;
  final FreshState fresh;
  private final Owned owned; // sweeps and scratch slots of the steps
  final Attendance attendance;

  private Engine(Settings settings, ParameterSet parameters) {
    this.settings = settings;
    groups = new Groups(settings, parameters);
    final List<StateSlot> slots = slots();
    plan = new Plan(parameters, storages(), settings.scope(), settings.precision());
    owned = new Owned(plan);
    fresh = new FreshState(plan, slots);
    attendance = new Attendance(plan, fresh);
    try {
      plan.setStream(settings.stream());
      fresh.initialise();
      report = new Report(plan.scopes());
      processes = processes(settings, parameters);
      lossScaling = settings.lossScale() == null ? null : new LossScaling(settings.lossScale());
      guard = owned.collect(this::guard);
    } catch (RuntimeException | Error e) {
      plan.close();
      throw e;
    }
  }

  /** An engine that goes on where another one ends: over its plan, with its report, its gradient multiplier and its loss scale. */
  Engine(Settings settings, Engine before) {
    this.settings = settings;
    plan = before.plan;
    report = before.report;
    groups = new Groups(settings, plan.parameters());
    fresh = new FreshState(plan, slots());
    attendance = before.attendance;
    processes = processes(settings, plan.parameters());
    lossScaling = settings.lossScale() == null ? null : new LossScaling(settings.lossScale(), before.lossScaling);
    owned = new Owned(plan);
    try {
      guard = owned.collect(this::guard);
      guard.setMultiplier(before.guard.given());
    } catch (RuntimeException | Error e) {
      owned.release();
      throw e;
    }
  }

  private List<StateSlot> slots() {
    final List<StateSlot> slots = new ArrayList<>(groups.slots(settings.ruleSlots()));
    slots.addAll(settings.tunerSlots());
    if (settings.averagesParameters()) slots.add(new StateSlot(ExponentialAverage.SLOT, 0, true, StateKind.POINT));
    return slots;
  }

  /** The state slots that the steps have, in their order: {@link #slots}, and last what parameters in parts need. */
  private Map<String, Storage> storages() {
    final Map<String, Storage> storages = new LinkedHashMap<>();
    for (StateSlot slot : slots()) storages.put(slot.name(), settings.precision().storage(slot.kind()));
    if (settings.precision().inParts()) storages.put(Plan.REST, Storage.REST);
    return storages;
  }

  /** The names of the state slots that the steps have. */
  List<String> slotNames() {
    return List.copyOf(storages().keySet());
  }

  private GradientGuard guard() {
    return new GradientGuard(settings, plan, report, processes, lossScaling);
  }

  /** The steps of a tuner. Nothing is left behind if making them fails. */
  Steps steps(Function<Engine, TunedOptimizer> tuner) {
    try {
      return owned.collect(() -> new Steps(this, tuner.apply(this)));
    } catch (RuntimeException | Error e) {
      owned.release();
      throw e;
    }
  }

  /** Does something of the steps: sweeps that it binds are freed with them. */
  void owning(Runnable work) {
    owned.collect(() -> {
      work.run();
      return null;
    });
  }

  /** Frees what belongs to the steps alone: others go on. */
  void release() {
    owned.release();
  }

  private static Processes processes(Settings settings, ParameterSet parameters) {
    if (settings.sumReducer() == null) return null;
    final List<ParameterSet.Tensor> tensors = parameters.tensors();
    return switch (settings.scope()) {
      case ALL -> new Processes(settings.sumReducer(), settings.facts(), List.of(), List.of());
      case GROUP -> new Processes(settings.sumReducer(), settings.facts(), parameters.groups(), List.of());
      case TENSOR -> new Processes(
          settings.sumReducer(), settings.facts(), tensors.stream().map(ParameterSet.Tensor::name).toList(),
          tensors.stream().map(ParameterSet.Tensor::group).toList());
    };
  }

  /**
   * Allocates the state, and makes an optimizer over it. Nothing is left behind if that fails.
   *
   * @throws IllegalArgumentException if settings and parameters do not fit together
   * @throws org.steptuner.DeviceException if there is not enough memory
   */
  public static Optimizer build(Settings settings, ParameterSet parameters, Function<Engine, TunedOptimizer> tuner) {
    final Engine engine = new Engine(settings, Objects.requireNonNull(parameters, "parameters"));
    try {
      final Steps steps = engine.steps(tuner);
      checkTuneFor(settings, steps.tuned());
      steps.begin();
      return steps.tuned() instanceof Parted parted
          ? new BoundPartedOptimizer(engine, steps, parted.parts())
          : new BoundOptimizer(engine, steps);
    } catch (RuntimeException | Error e) {
      engine.plan.close();
      throw e;
    }
  }

  /** @throws IllegalArgumentException if tuning is to end, and the run cannot go on with the rule alone */
  static void checkTuneFor(Settings settings, TunedOptimizer tuned) {
    final String why = settings.tuneFor() == Settings.ALWAYS || tuned instanceof FixedSteps ? null : tuned.whyNotFrozen();
    if (why != null) throw new IllegalArgumentException("tuneFor: cannot freeze " + settings.description() + ": " + why);
  }
}
