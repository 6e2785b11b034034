// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.List;
import java.util.Objects;
import org.steptuner.ParameterSet;
import org.steptuner.internal.engine.Description;
import org.steptuner.internal.engine.Engine;
import org.steptuner.internal.engine.Kernel;
import org.steptuner.internal.engine.StateSlot;
import org.steptuner.internal.engine.TunedOptimizer;
import org.steptuner.rule.Rule;
import org.steptuner.rule.StateKind;

/** What a tuner says of itself, whatever its settings: its state, what it needs, the steps that it makes. */
abstract class TunerForm {
  final Rule rule;

  TunerForm(Rule rule) {
    this.rule = Objects.requireNonNull(rule, "rule");
  }

  final List<StateSlot> stateSlots() {
    return tunerSlots().stream().map(slot -> new StateSlot(slot, initialValue(slot), followsParameters(slot), stateKind(slot))).toList();
  }

  /**
   * Checks what can only be checked together.
   *
   * @throws IllegalArgumentException if settings and parameters do not fit together
   */
  void check(ParameterSet parameters) {}

  /** The optimizer of this tuner, which may keep this builder: it is a copy that does not change. */
  abstract TunedOptimizer optimizer(Engine engine);

  /**
   * What the tuner says of itself, for checkpoints and messages: its name, its form (what fixes the meaning of its state), and its own
   * settings. Scope, clipping, the rule and the groups are added for all.
   */
  abstract Description describe();

  /** The state slots of the rule. A tuner with a formula of its own names those that it uses. */
  List<String> ruleSlots() {
    return Kernel.slotsOf(rule.kernel());
  }

  /** The tuner's own state slots. */
  List<String> tunerSlots() {
    return List.of();
  }

  /** What all elements of one of the tuner's own slots hold before the first step. */
  double initialValue(String slot) {
    return 0;
  }

  /**
   * Whether the first step puts the parameters into one of the tuner's own slots, or a point that begins at them. A tensor that joins a run
   * later starts with its own parameters there.
   */
  boolean followsParameters(String slot) {
    return false;
  }

  /**
   * What the elements of one of the tuner's own slots are, which says how they may be stored: by default a copy of the parameters where the
   * slot follows them, and otherwise a statistic.
   */
  StateKind stateKind(String slot) {
    return followsParameters(slot) ? StateKind.COPY : StateKind.STATISTIC;
  }

  /** Whether the gradients must be read ahead of the tuner's sweeps. */
  abstract boolean guarded();

  /** Whether the tuner's steps leave a rule that keeps an average of iterates right. */
  boolean takesAverages() {
    return false;
  }

  /** Whether the first sweep of the tuner has a form that sums |g|_1. */
  boolean observesL1() {
    return false;
  }
}
