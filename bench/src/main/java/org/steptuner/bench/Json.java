// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.RecordComponent;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** Rows as a JSON array, a row a line. */
final class Json {
  private Json() {}

  static void write(Path file, List<Row> rows) {
    try {
      if (file.toAbsolutePath().getParent() != null) Files.createDirectories(file.toAbsolutePath().getParent());
      Files.writeString(file, rows.stream().map(Json::object).collect(Collectors.joining(",\n  ", "[\n  ", "\n]\n")));
    } catch (IOException e) {
      throw new UncheckedIOException("cannot write " + file, e);
    }
  }

  private static String object(Row row) {
    final StringBuilder text = new StringBuilder("{");
    for (RecordComponent component : Row.class.getRecordComponents()) {
      final Object value;
      try {
        value = component.getAccessor().invoke(row);
      } catch (ReflectiveOperationException e) {
        throw new IllegalStateException(e);
      }
      text.append(text.length() == 1 ? "" : ", ").append('"').append(component.getName()).append("\": ").append(literal(value));
    }
    return text.append('}').toString();
  }

  private static String literal(Object value) {
    if (value instanceof String string) return '"' + string.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    if (value instanceof Double number)
      return Double.isFinite(number) ? Double.toString(Double.parseDouble(String.format(Locale.ROOT, "%.6g", number))) : "null";
    return String.valueOf(value);
  }
}
