// SPDX-License-Identifier: Apache-2.0
package org.steptuner.rule;

/**
 * What the elements of a state slot are, which says how they may be stored.
 *
 * @see org.steptuner.tuner.TunerBuilder#stateStorage
 */
public enum StateKind {
  /**
   * An average or a sum of what was observed, or of steps: momentum, squares, a way that x has gone. 8 significant bits that are right on
   * average are enough.
   */
  STATISTIC,

  /** The parameters as they were at some step. The type of the parameters holds them. */
  COPY,

  /**
   * A point that moves with the parameters, slowly, as an average of iterates does; or a logarithm, whose error is a relative one. Rounding
   * it would be an error of the result itself, so it is stored in the type that it is computed in.
   */
  POINT
}
