// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import com.google.gson.Gson;
import com.google.gson.JsonParseException;
import java.io.IOException;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.lang.reflect.RecordComponent;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** A run as a JSON object, a row a line. */
final class Json {
  private Json() {}

  static void write(Path file, Run run) {
    try {
      if (file.toAbsolutePath().getParent() != null) Files.createDirectories(file.toAbsolutePath().getParent());
      Files.writeString(file, fields(run, ",\n") + "\n");
    } catch (IOException e) {
      throw new UncheckedIOException("cannot write " + file, e);
    }
  }

  /** @throws IllegalArgumentException if the file is no run */
  static Run read(Path file) {
    try (Reader reader = Files.newBufferedReader(file)) {
      final Run run = new Gson().fromJson(reader, Run.class);
      if (run == null || run.command() == null || run.rows() == null)
        throw new IllegalArgumentException(file + " is not a run of this benchmark: it has no command or no rows");
      return run;
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read " + file, e);
    } catch (JsonParseException e) {
      throw new IllegalArgumentException(file + " is not a run of this benchmark: " + e.getMessage(), e);
    }
  }

  private static String fields(Record object, String separator) {
    final StringBuilder text = new StringBuilder("{");
    for (RecordComponent component : object.getClass().getRecordComponents()) {
      final Object value;
      try {
        value = component.getAccessor().invoke(object);
      } catch (ReflectiveOperationException e) {
        throw new IllegalStateException(e);
      }
      text.append(text.length() == 1 ? "" : separator).append('"').append(component.getName()).append("\": ").append(literal(value));
    }
    return text.append('}').toString();
  }

  private static String literal(Object value) {
    if (value instanceof Record object) return fields(object, ", ");
    if (value instanceof List<?> list)
      return list.isEmpty() ? "[]" : list.stream().map(Json::literal).collect(Collectors.joining(",\n  ", "[\n  ", "\n]"));
    if (value instanceof String string) return '"' + string.replace("\\", "\\\\").replace("\"", "\\\"") + '"';
    if (value instanceof Double number)
      return Double.isFinite(number) ? Double.toString(Double.parseDouble(String.format(Locale.ROOT, "%.6g", number))) : "null";
    return String.valueOf(value);
  }
}
