// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/** A file cannot be restored: it is truncated, damaged, no checkpoint at all, of another version, or of another optimizer. */
public final class CheckpointException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /**
   * An exception without a cause.
   *
   * @param message what is wrong, and where
   */
  public CheckpointException(String message) {
    super(message);
  }

  /**
   * An exception that another one led to.
   *
   * @param message what is wrong, and where
   * @param cause what led to it
   */
  public CheckpointException(String message, Throwable cause) {
    super(message, cause);
  }
}
