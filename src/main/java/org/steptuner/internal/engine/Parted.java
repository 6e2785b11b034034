// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

/** Steps that keep a value for each part of the data. */
public interface Parted {
  /** The number of parts. */
  int parts();
}
