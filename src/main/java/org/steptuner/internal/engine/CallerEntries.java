// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.regex.Pattern;

/** The entries of the caller's own in a checkpoint. Their names can be file names wherever the zip is unpacked. */
final class CallerEntries {
  private static final int LONGEST = 200;
  private static final Pattern NAME = Pattern.compile("[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*");
  private static final Pattern DOTS = Pattern.compile("(.*/)?\\.\\.?(/.*)?");

  private CallerEntries() {}

  /**
   * A copy of entries and contents, by name.
   *
   * @throws IllegalArgumentException if a name cannot be used; it says which and why
   * @throws NullPointerException if there is no content to a name; it says to which
   */
  static Map<String, byte[]> copy(Map<String, byte[]> entries) {
    final TreeMap<String, byte[]> copy = new TreeMap<>();
    Objects.requireNonNull(entries, "entries")
        .forEach(
            (name, content) -> {
              check(Objects.requireNonNull(name, "name of an entry"));
              copy.put(name, Objects.requireNonNull(content, () -> "content of entry '" + name + "'").clone());
            });
    for (String name : copy.keySet())
      for (int slash = name.indexOf('/'); slash >= 0; slash = name.indexOf('/', slash + 1))
        if (copy.containsKey(name.substring(0, slash)))
          throw new IllegalArgumentException("entry '" + name.substring(0, slash) + "' cannot be the folder of '" + name + "' too");
    return copy;
  }

  private static void check(String name) {
    if (name.length() > LONGEST)
      throw new IllegalArgumentException(
          "name of an entry must have at most " + LONGEST + " characters, not " + name.length() + ": '" + name.substring(0, 40) + "...'");
    if (!NAME.matcher(name).matches() || DOTS.matcher(name).matches())
      throw new IllegalArgumentException(
          "name of an entry must have parts of the letters a-z and A-Z, digits and ._- with / between them, none of them . or .., not '"
              + name + "'");
  }
}
