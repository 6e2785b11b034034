// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/** What a step does about a gradient or a loss that is infinite or not a number. */
public enum NonFinite {
  /** Leaves parameters and state as they are, bit for bit, and says so in the {@link StepReport}. The default. */
  SKIP,
  /** Leaves parameters and state as they are and throws {@link NonFiniteException}. */
  THROW,
  /**
   * Does not look. Saves one read of the gradient per step where the tuner does not observe before it writes; a single NaN then
   * destroys parameters and state.
   */
  UNCHECKED
}
