// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

/** Data that is not there, or not what it should be. The message is for the person at the keyboard: what, where, and what to do. */
final class DataException extends RuntimeException {
  private static final long serialVersionUID = 1;

  DataException(String message) {
    super(message);
  }

  DataException(String message, Throwable cause) {
    super(message, cause);
  }
}
