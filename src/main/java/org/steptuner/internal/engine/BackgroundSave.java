// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;

/**
 * The writer of an optimizer's snapshots: one at a time, each on a thread of its own, for which the JVM waits when it ends. What goes wrong
 * there is kept, and thrown once by a later call. Used by one thread at a time, as the optimizer is.
 */
final class BackgroundSave {
  private Thread writer; // null where nothing is being written
  private Path file;
  private Throwable failure; // of the writer, which sets it before it ends; not yet reported

  /** Writes a snapshot and frees it; then does something more. Nothing must be being written. */
  void start(Snapshot snapshot, Path to, Runnable whenWritten) {
    final Runnable work =
        () -> {
          try (snapshot) {
            snapshot.write(to);
            whenWritten.run();
          } catch (RuntimeException | Error e) {
            failure = e;
          }
        };
    try {
      final Thread starting = new Thread(null, work, "steptuner-save", 0, false);
      starting.setDaemon(false);
      file = to;
      starting.start();
      writer = starting;
    } catch (RuntimeException | Error e) { // no more threads
      snapshot.close();
      throw e;
    }
  }

  /** Waits until nothing is being written, also on an interrupted thread, which is interrupted afterwards as before. */
  private void await() {
    boolean interrupted = false;
    while (writer != null) {
      try {
        writer.join();
        writer = null;
      } catch (InterruptedException e) {
        interrupted = true;
      }
    }
    if (interrupted) Thread.currentThread().interrupt();
  }

  /**
   * Waits until nothing is being written, and reports what went wrong there.
   *
   * @throws UncheckedIOException if anything did
   */
  void check() {
    await();
    if (failure != null) throw taken();
  }

  /** Waits until nothing is being written, does work, and only then reports what went wrong there. */
  void awaitThen(Runnable work) {
    await();
    final UncheckedIOException earlier = failure == null ? null : taken();
    try {
      work.run();
    } catch (RuntimeException | Error e) {
      if (earlier != null) e.addSuppressed(earlier);
      throw e;
    }
    if (earlier != null) throw earlier;
  }

  private UncheckedIOException taken() {
    final UncheckedIOException taken =
        failure instanceof UncheckedIOException e
            ? new UncheckedIOException("in the background: " + e.getMessage(), e.getCause())
            : new UncheckedIOException("in the background: cannot save the optimizer to " + file + ": " + failure,
                new IOException(failure));
    failure = null;
    return taken;
  }
}
