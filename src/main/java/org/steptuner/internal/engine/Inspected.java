// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import org.steptuner.rule.Coefficients;

/** What a search for a curvature needs of an optimizer's steps. It works in their plan, with slots of its own. */
public interface Inspected {
  /** The plan. */
  Plan plan();

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
