// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Map;

/**
 * Puts another point in the place of the parameters, and the training parameters back: the point that a tuner or rule answers for, or the
 * exponential average. The training parameters are kept in scratch memory of the state's type, which holds every value of the parameters'
 * type, and so they come back bit for bit.
 *
 * <p>Words per element: 4 there, 2 back.
 */
final class Evaluation {
  private static final String TRAINING = "training";

  /** What is in the place of the parameters. */
  private enum Point {
    /** The parameters of training. */
    TRAINING,
    /** What the tuner or its rule answers for. */
    EVALUATED,
    /** Their exponential averages. */
    AVERAGES
  }

  private final BoundOptimizer optimizer;
  private final Plan plan;
  private Sweep evaluated; // sweeps are null until they are first needed
  private Sweep averages;
  private Sweep back;
  private Point point = Point.TRAINING;

  Evaluation(BoundOptimizer optimizer, Plan plan) {
    this.optimizer = optimizer;
    this.plan = plan;
  }

  /** Whether the training parameters are not in their place. */
  boolean isEvaluating() {
    return point != Point.TRAINING;
  }

  void evaluating() {
    if (point == Point.AVERAGES)
      throw new IllegalStateException("the parameters are their averages: call swapAverages() before evaluating()");
    final String slot = optimizer.tuned().averageSlot();
    if (point == Point.EVALUATED || slot == null) return;
    if (evaluated == null) evaluated = bind(slot);
    for (int segment = 0; segment < plan.segments(); ++segment) {
      optimizer.tuned().putAverage(segment, evaluated);
      evaluated.set(segment);
    }
    go(evaluated, Point.EVALUATED);
  }

  void swapAverages() {
    if (!optimizer.settings().averagesParameters())
      throw new IllegalStateException("there are no averages to swap: build the optimizer with exponentialAverage(decay)");
    if (point == Point.EVALUATED)
      throw new IllegalStateException("the parameters are those to evaluate: call training() before swapAverages()");
    if (point == Point.AVERAGES) {
      training();
      return;
    }
    if (averages == null) averages = bind(ExponentialAverage.SLOT);
    // Before the first step the parameters are their averages.
    final double weight = optimizer.steps() > 0 ? 1 : 0;
    averages.put("parameterWeight", 1 - weight).put("averageWeight", weight).setAll();
    go(averages, Point.AVERAGES);
  }

  private Sweep bind(String slot) {
    plan.addScratch(TRAINING);
    if (back == null) back = plan.bind("training", "");
    return plan.bind("evaluating", "", Map.of("average", slot));
  }

  private void go(Sweep there, Point to) {
    optimizer.overAll(there::run);
    point = to;
  }

  void training() {
    if (isEvaluating()) go(back, Point.TRAINING);
  }

  /** Does something with the training parameters in their place. */
  void whileTraining(Runnable work) {
    final Point before = point;
    training();
    try {
      work.run();
    } finally {
      if (before == Point.EVALUATED) evaluating();
      if (before == Point.AVERAGES) swapAverages();
    }
  }

  /** The point to evaluate may be made of another slot from now on. The training parameters are in their place. */
  void forget() {
    if (evaluated != null) evaluated.release();
    evaluated = null;
  }

  /** The training parameters have been written in their place. */
  void restored() {
    point = Point.TRAINING;
  }

  /**
   * Refuses a call that needs the training parameters in their place.
   *
   * @param call what was to be done
   * @throws IllegalStateException if they are not
   */
  void checkTraining(String call) {
    if (point == Point.AVERAGES) throw new IllegalStateException("the parameters are their averages: call swapAverages() before " + call);
    if (point == Point.EVALUATED)
      throw new IllegalStateException("the parameters are those to evaluate: call training() before " + call);
  }
}
