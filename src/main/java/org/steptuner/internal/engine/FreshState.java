// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The state as it is before a first step: of a new optimizer, and of a tensor that joins a run. */
final class FreshState {
  private final Plan plan;
  private final List<StateSlot> slots;
  private final Map<String, Sweep> copies = new HashMap<>(); // bound when first needed

  FreshState(Plan plan, List<StateSlot> slots) {
    this.plan = plan;
    this.slots = List.copyOf(slots);
  }

  /** Of a new plan, whose slots are zeroed. */
  void initialise() {
    for (StateSlot slot : slots) if (slot.initialValue() != 0) plan.fill(slot.name(), slot.initialValue());
  }

  /** Of tensors that join a run, with the parameters that they have now. It overwrites the state of all tensors. */
  void join() {
    for (StateSlot slot : slots) {
      if (slot.followsParameters()) copy(slot.name());
      else plan.fill(slot.name(), slot.initialValue());
    }
  }

  /** Copies the parameters to a slot. */
  void copy(String slot) {
    copies.computeIfAbsent(slot, this::bind).run();
  }

  // A tuner may ask for it, but its successor goes on with it.
  private Sweep bind(String slot) {
    final Owned owner = plan.setOwner(null);
    try {
      return plan.bind("reference", "", Map.of("reference", slot));
    } finally {
      plan.setOwner(owner);
    }
  }

  /** The slots that the first step fills with the parameters. */
  List<String> copied() {
    return slots.stream().filter(StateSlot::followsParameters).map(StateSlot::name).toList();
  }
}
