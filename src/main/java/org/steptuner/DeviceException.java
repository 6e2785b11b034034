// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

/** A device is missing, cannot be opened, ran out of memory, or failed while it worked. */
public final class DeviceException extends RuntimeException {
  public DeviceException(String message) {
    super(message);
  }

  public DeviceException(String message, Throwable cause) {
    super(message, cause);
  }
}
