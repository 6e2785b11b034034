// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

/** Text of any characters as a part of one line, and back. */
final class Escaped {
  private Escaped() {}

  /** A backslash, a control character and half of a surrogate pair, which UTF-8 does not have, become sequences after a backslash. */
  static String escape(String text) {
    final StringBuilder line = new StringBuilder(text.length());
    for (int i = 0; i < text.length(); ++i) {
      final char c = text.charAt(i);
      final boolean pair = Character.isHighSurrogate(c) && i + 1 < text.length() && Character.isLowSurrogate(text.charAt(i + 1));
      if (c == '\\') line.append("\\\\");
      else if (c == '\n') line.append("\\n");
      else if (c == '\r') line.append("\\r");
      else if (pair) line.append(c).append(text.charAt(++i));
      else if (Character.isISOControl(c) || Character.isSurrogate(c)) line.append(String.format("\\u%04x", (int) c));
      else line.append(c);
    }
    return line.toString();
  }

  /** @throws IllegalArgumentException if a sequence after a backslash is none of those */
  static String unescape(String line) {
    if (line.indexOf('\\') < 0) return line;
    final StringBuilder text = new StringBuilder(line.length());
    for (int i = 0; i < line.length(); ++i) {
      final char c = line.charAt(i);
      if (c != '\\') {
        text.append(c);
        continue;
      }
      if (++i == line.length()) throw new IllegalArgumentException("nothing after a backslash");
      switch (line.charAt(i)) {
        case '\\' -> text.append('\\');
        case 'n' -> text.append('\n');
        case 'r' -> text.append('\r');
        case 'u' -> {
          if (i + 5 > line.length()) throw new IllegalArgumentException("fewer than four digits after \\u");
          text.append((char) Integer.parseInt(line.substring(i + 1, i + 5), 16));
          i += 4;
        }
        default -> throw new IllegalArgumentException("'\\" + line.charAt(i) + "' is no escape sequence");
      }
    }
    return text.toString();
  }
}
