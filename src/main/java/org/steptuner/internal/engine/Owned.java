// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/** Sweeps and scratch slots of a plan that were made for one purpose, and end with it. */
final class Owned {
  private final Plan plan;
  private final List<Sweep> sweeps = new ArrayList<>();
  private final List<String> scratch = new ArrayList<>();

  Owned(Plan plan) {
    this.plan = plan;
  }

  void add(Sweep sweep) {
    sweeps.add(sweep);
  }

  void add(String scratchSlot) {
    scratch.add(scratchSlot);
  }

  /** Does work; what is made meanwhile is owned. */
  <T> T collect(Supplier<T> work) {
    final Owned before = plan.setOwner(this);
    try {
      return work.get();
    } finally {
      plan.setOwner(before);
    }
  }

  /** Frees everything but scratch slots that others use too. */
  void release() {
    for (Sweep sweep : sweeps) sweep.release();
    sweeps.clear();
    for (String name : scratch) plan.endScratch(name);
    scratch.clear();
  }
}
