// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.function.Executable;

/** An exception of the right kind whose message says what was wrong. */
public final class Refusal {
  private Refusal() {}

  public static <E extends Throwable> E assertRefused(Class<E> kind, Executable call, String... inMessage) {
    final E thrown = assertThrows(kind, call);
    for (String part : inMessage)
      assertTrue(String.valueOf(thrown.getMessage()).contains(part), () -> "'" + part + "' is not in: " + thrown.getMessage());
    return thrown;
  }
}
