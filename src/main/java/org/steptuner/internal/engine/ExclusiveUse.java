// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.concurrent.atomic.AtomicReference;

/** Ensures that only one call uses an optimizer at a time, and none after it was closed. */
final class ExclusiveUse {
  private enum Use { IDLE, BUSY, CLOSED }

  private final AtomicReference<Use> use = new AtomicReference<>(Use.IDLE);

  /** @throws IllegalStateException if another call is under way, or the optimizer is closed */
  void begin() {
    if (use.compareAndSet(Use.IDLE, Use.BUSY)) return;
    throw new IllegalStateException(use.get() == Use.CLOSED ? "the optimizer is closed" : "the optimizer is in use by another call");
  }

  void end() {
    use.set(Use.IDLE);
  }

  /** Closes; false if it was closed before. */
  boolean close() {
    if (use.compareAndSet(Use.IDLE, Use.CLOSED)) return true;
    if (use.get() == Use.CLOSED) return false;
    throw new IllegalStateException("attempt to close the optimizer while it is in use");
  }
}
