// SPDX-License-Identifier: Apache-2.0
package org.steptuner.torture;

import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Options of a command, as {@code --name value}. */
final class Arguments {
  private final Map<String, String> values = new HashMap<>();

  private Arguments() {}

  /** Ends the process with a line where an option is unknown or has no value. */
  static Arguments parse(String[] arguments, String... names) {
    final Arguments options = new Arguments();
    for (int i = 0; i < arguments.length; i += 2) {
      final String name = arguments[i].startsWith("--") ? arguments[i].substring(2) : "";
      if (!List.of(names).contains(name) || i + 1 == arguments.length)
        throw end("'" + arguments[i] + "' is not understood; options are --" + String.join(" N, --", names) + " N");
      options.values.put(name, arguments[i + 1]);
    }
    return options;
  }

  private static RuntimeException end(String message) {
    System.err.println(message);
    System.exit(2);
    return new IllegalStateException(message);
  }

  String text(String name, String otherwise) {
    return values.getOrDefault(name, otherwise);
  }

  boolean has(String name) {
    return values.containsKey(name);
  }

  long number(String name, long otherwise) {
    final String text = values.get(name);
    try {
      return text == null ? otherwise : Long.parseLong(text);
    } catch (NumberFormatException e) {
      throw end("--" + name + " must be a number, not '" + text + "'");
    }
  }

  /** At least 1. */
  int count(String name, int otherwise) {
    final long value = number(name, otherwise);
    if (value < 1 || value > Integer.MAX_VALUE) throw end("--" + name + " must be 1 or more, not " + value);
    return (int) value;
  }

  /** That of {@code --seed}, or a new one. */
  long seed() {
    return number("seed", System.nanoTime() & 0xffffffL);
  }
}
