// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

/** What instruments need of an optimizer. */
public interface Instrumented extends Inspected {
  /** Runs something as a call of the optimizer, which no other call may interrupt. */
  void exclusively(Runnable work);
}
