// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import org.steptuner.rule.Coefficients;

/** What instruments need of an optimizer. They work in its plan, with slots of their own. */
public interface Instrumented {
  /** The optimizer's plan. */
  Plan plan();

  /** Runs something as a call of the optimizer, which no other call may interrupt. */
  void exclusively(Runnable work);

  /** Whether the rule divides by a root of squares. */
  boolean preconditions();

  /**
   * Puts what the base rule divides by, see {@link org.steptuner.rule.Rule#preconditioner}, once a step has been made.
   *
   * @param group a parameter group, by its place
   * @throws IllegalStateException if the rule does not precondition, or no step has been made
   */
  void preconditioner(int group, Coefficients to);

  /** A new reduction: adds sums over segments and over processes. */
  Reduction reduction();
}
