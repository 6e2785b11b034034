// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal;

/** A reason why a native library cannot be loaded, with what to do about it. */
final class LoadingException extends Exception {
  private static final long serialVersionUID = 1;

  private final String advice;

  LoadingException(String reason, String advice) {
    this(reason, advice, null);
  }

  LoadingException(String reason, String advice, Throwable cause) {
    super(reason, cause);
    this.advice = advice;
  }

  String advice() {
    return advice;
  }
}
