// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/** A thread that does nothing but interrupt another one, and so meets every moment of what that does. */
public final class Interruptions implements AutoCloseable {
  private volatile boolean stop;
  private final Thread thread;

  /** Interrupts the thread that calls this. */
  public Interruptions() {
    final Thread target = Thread.currentThread();
    thread =
        new Thread(
            () -> {
              while (!stop) target.interrupt();
            });
    thread.start();
  }

  /** Ends them; the thread is not interrupted then. */
  @Override
  public void close() {
    stop = true;
    while (thread.isAlive()) Thread.onSpinWait();
    Thread.interrupted();
  }
}
