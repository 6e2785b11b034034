// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

/** A case asks for something that the library does not have; the message names it. */
final class UnsupportedException extends RuntimeException {
  private static final long serialVersionUID = 1;

  UnsupportedException(String message) {
    super(message);
  }
}
