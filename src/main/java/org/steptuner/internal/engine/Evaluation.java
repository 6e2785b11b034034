// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Map;

/**
 * Puts the point that is to be evaluated in the place of the parameters, and the training parameters back. The latter are kept in scratch
 * memory of the state's type, which holds every value of the parameters' type, and so they come back bit for bit.
 *
 * <p>Words per element: 4 there, 2 back.
 */
final class Evaluation {
  private static final String TRAINING = "training";

  private final BoundOptimizer optimizer;
  private final Plan plan;
  private Sweeps sweeps; // null until they are first needed
  private boolean evaluating;

  /** From training to evaluating, and back. */
  private record Sweeps(Sweep there, Sweep back) {}

  Evaluation(BoundOptimizer optimizer, Plan plan) {
    this.optimizer = optimizer;
    this.plan = plan;
  }

  boolean isEvaluating() {
    return evaluating;
  }

  void evaluating() {
    final String average = optimizer.tuned().averageSlot();
    if (evaluating || average == null) return;
    if (sweeps == null) {
      plan.addScratch(TRAINING);
      sweeps = new Sweeps(plan.bind("evaluating", "", Map.of("average", average)), plan.bind("training", ""));
    }
    for (int segment = 0; segment < plan.segments(); ++segment) {
      optimizer.tuned().putAverage(segment, sweeps.there);
      sweeps.there.set(segment);
    }
    optimizer.overAll(sweeps.there::run);
    evaluating = true;
  }

  void training() {
    if (sweeps == null || !evaluating) return;
    optimizer.overAll(sweeps.back::run);
    evaluating = false;
  }

  /** Does something with the training parameters in their place. */
  void whileTraining(Runnable work) {
    final boolean wasEvaluating = evaluating;
    training();
    try {
      work.run();
    } finally {
      if (wasEvaluating) evaluating();
    }
  }

  /** The training parameters have been written in their place. */
  void restored() {
    evaluating = false;
  }

  /**
   * Refuses a call that needs the training parameters in their place.
   *
   * @param call what was to be done
   * @throws IllegalStateException if they are not
   */
  void checkTraining(String call) {
    if (evaluating) throw new IllegalStateException("the parameters are those to evaluate: call training() before " + call);
  }
}
