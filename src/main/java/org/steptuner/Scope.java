// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/** Which tensors share one set of a tuner's scalars, and so one learned rate. */
public enum Scope {
  /** All tensors together, as in the papers. */
  ALL,
  /** The tensors of a parameter group. */
  GROUP,
  /** Each tensor by itself: a scale per layer. */
  TENSOR
}
