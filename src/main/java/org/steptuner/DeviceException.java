// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/** A device is missing, cannot be opened, ran out of memory, or failed while it worked. */
public final class DeviceException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /**
   * An exception without a cause.
   *
   * @param message what is wrong, and where
   */
  public DeviceException(String message) {
    super(message);
  }

  /**
   * An exception that another one led to.
   *
   * @param message what is wrong, and where
   * @param cause what led to it
   */
  public DeviceException(String message, Throwable cause) {
    super(message, cause);
  }
}
