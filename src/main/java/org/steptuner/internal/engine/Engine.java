// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.function.Function;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;

/** The parts that an optimizer is built from: its plan with the state allocated, its groups, its guard, its report. */
public final class Engine {
  final Settings settings;
  final Plan plan;
  final Groups groups;
  final Report report;
  final GradientGuard guard;
  final FreshState fresh;
  final Attendance attendance;

  private Engine(Settings settings, ParameterSet parameters) {
    this.settings = settings;
    groups = new Groups(settings, parameters);
    final List<StateSlot> slots = new ArrayList<>(groups.slots(settings.ruleSlots()));
    slots.addAll(settings.tunerSlots());
    plan = new Plan(parameters, slots.stream().map(StateSlot::name).toList(), settings.scope());
    fresh = new FreshState(plan, slots);
    attendance = new Attendance(plan, fresh);
    try {
      plan.setStream(settings.stream());
      fresh.initialise();
      report = new Report(plan.scopes());
      guard = new GradientGuard(settings, plan, report, new Reduction(plan, settings.sumReducer()));
    } catch (RuntimeException | Error e) {
      plan.close();
      throw e;
    }
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
      final Steps steps = new Steps(engine, tuner.apply(engine));
      return steps.tuned() instanceof Parted parted
          ? new BoundPartedOptimizer(engine, steps, parted.parts())
          : new BoundOptimizer(engine, steps);
    } catch (RuntimeException | Error e) {
      engine.plan.close();
      throw e;
    }
  }
}
