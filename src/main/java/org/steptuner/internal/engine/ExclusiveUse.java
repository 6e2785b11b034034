// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.concurrent.atomic.AtomicReference;

/** Ensures that only one call uses an optimizer at a time, and none after it was closed. */
final class ExclusiveUse {
  private enum Use { IDLE, BUSY, LOOKING, HELD, CLOSED }

  private final AtomicReference<Use> use = new AtomicReference<>(Use.IDLE);

  /** @throws IllegalStateException if another call is under way, or the optimizer is closed */
  void begin() {
    if (!use.compareAndSet(Use.IDLE, Use.BUSY)) beginAfterALook(); // a step is inlined as a whole: this stays small
  }

  private void beginAfterALook() {
    do {
      if (isClosedUnlessBusy("the optimizer is in use by another call")) throw new IllegalStateException("the optimizer is closed");
    } while (!use.compareAndSet(Use.IDLE, Use.BUSY));
  }

  /** Begins to look at the optimizer, where no call is under way and it is open. A call that comes meanwhile waits, for a short time. */
  boolean beginLooking() {
    return use.compareAndSet(Use.IDLE, Use.LOOKING);
  }

  void end() {
    use.set(Use.IDLE);
  }

  /** During a call: from its end on the optimizer is held by steps that it makes in another way, until the next {@link #end}. */
  void hold() {
    use.set(Use.HELD);
  }

  /** Takes the last {@link #close} back. */
  void reopen() {
    use.set(Use.IDLE);
  }

  /** Closes; false if it was closed before. */
  boolean close() {
    while (!use.compareAndSet(Use.IDLE, Use.CLOSED))
      if (isClosedUnlessBusy("attempt to close the optimizer while it is in use")) return false;
    return true;
  }

  private boolean isClosedUnlessBusy(String whyNot) {
    final Use now = use.get();
    if (now == Use.BUSY) throw new IllegalStateException(whyNot);
    if (now == Use.HELD) throw new IllegalStateException("the optimizer is held by its capturable steps: close them first");
    Thread.onSpinWait();
    return now == Use.CLOSED;
  }
}
