// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal;

/** An optimizer as instruments see it: they work in its plan, with slots of their own. */
public interface Instrumented {
  /** The optimizer's plan. */
  Plan plan();

  /** Runs something as a call of the optimizer, which no other call may interrupt. */
  void exclusively(Runnable work);

  /** Adds sums over all processes, where there are several. */
  void reduce(double[] sums, int count);

  /** Whether the rule divides by a root of squares. */
  boolean preconditions();

  /**
   * What the base rule divides by, once a step has been made: {@code P = factor (sqrt(square + epsilonInside) rootCorrection +
   * epsilonOutside)}.
   *
   * @param group a parameter group, by its place
   * @param values receives the four numbers, in the order of the formula
   * @throws IllegalStateException if the rule does not, or no step has been made
   */
  void preconditioner(int group, double[] values);
}
