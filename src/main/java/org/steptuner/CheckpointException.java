// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/** A file is no checkpoint of this optimizer: truncated, damaged, foreign, of another version or of another optimizer. */
public final class CheckpointException extends RuntimeException {
  public CheckpointException(String message) {
    super(message);
  }

  public CheckpointException(String message, Throwable cause) {
    super(message, cause);
  }
}
