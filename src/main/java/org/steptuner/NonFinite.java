// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/** What a step does about a gradient or a loss that is infinite or not a number. */
public enum NonFinite {
  /** Leaves parameters and state as they are, bit for bit, and reports the reason in {@link StepReport#skip}. The default. */
  SKIP,
  /** Leaves parameters and state as they are and throws {@link NonFiniteException}. */
  THROW,
  /**
   * Does not check. This saves one read of the gradient per step for tuners that write in their first sweep. A single NaN then destroys
   * parameters and state.
   */
  UNCHECKED
}
