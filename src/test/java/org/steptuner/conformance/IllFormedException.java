// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

/** A case, its data, or a directory of cases is not in the format; the message says where and what was expected. */
final class IllFormedException extends RuntimeException {
  private static final long serialVersionUID = 1;

  IllFormedException(String message) {
    super(message);
  }

  IllFormedException(String message, Throwable cause) {
    super(message, cause);
  }
}
