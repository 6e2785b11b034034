// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.tukaani.xz.XZInputStream;

/**
 * Reads the data frame in a file that R's {@code save} wrote: version 2 of its binary format (R Internals, section 1.8), compressed with
 * xz. Of R's types it knows those that data frames of numbers and factors are made of.
 */
final class RData {
  private static final String MAGIC = "RDX2\nX\n";
  // Types of items, and what else their first word says.
  private static final int SYMBOL = 1, PAIRS = 2, CHARACTERS = 9, LOGICAL = 10, INTEGER = 13, REAL = 14, STRINGS = 16, LIST = 19;
  private static final int NIL = 254, REFERENCE = 255;
  private static final int HAS_ATTRIBUTES = 0x200, HAS_TAG = 0x400;
  private static final int MISSING = Integer.MIN_VALUE;
  private static final int MOST = 1 << 26;

  /**
   * A column.
   *
   * @param values numbers, or for a factor the place of each value in the levels, from 0; NaN where missing
   * @param levels of a factor; empty for numbers
   */
  record Column(String name, double[] values, List<String> levels) {}

  /** A vector with its attributes. */
  private record Vector(Object values, Map<String, Object> attributes) {
    List<?> list(String attribute) {
      return attributes.get(attribute) instanceof Vector vector && vector.values instanceof List<?> list ? list : List.of();
    }
  }

  private final DataInputStream in;
  private final List<Object> references = new ArrayList<>();

  private RData(DataInputStream in) {
    this.in = in;
  }

  /**
   * The columns of the first object of a file.
   *
   * @throws DataException if it cannot be read, or is no data frame
   */
  static List<Column> frame(Path file) {
    try (InputStream stream = Files.newInputStream(file);
        DataInputStream in = new DataInputStream(new BufferedInputStream(new XZInputStream(stream), 1 << 16))) {
      if (!new String(in.readNBytes(MAGIC.length()), StandardCharsets.US_ASCII).equals(MAGIC))
        throw new DataException(file + " is not of R's binary format, version 2");
      in.skipNBytes(3 * Integer.BYTES); // versions
      final Object object = new RData(in).item();
      final Object first = object instanceof Map<?, ?> objects && !objects.isEmpty() ? objects.values().iterator().next() : object;
      if (first instanceof Vector frame && frame.values instanceof List<?> columns && frame.list("names").size() == columns.size())
        return columns(file, columns, frame.list("names"));
      throw new DataException(file + " has no data frame in it");
    } catch (EOFException e) {
      throw new DataException(file + " ends too early", e);
    } catch (IOException | ClassCastException e) {
      throw new DataException("cannot read " + file + ": " + e.getMessage(), e);
    }
  }

  private static List<Column> columns(Path file, List<?> columns, List<?> names) {
    final List<Column> result = new ArrayList<>();
    for (int i = 0; i < columns.size(); ++i) {
      if (!(columns.get(i) instanceof Vector column && column.values instanceof double[] values))
        throw new DataException(file + ", column " + names.get(i) + ": neither numbers nor a factor");
      final List<String> levels = column.list("levels").stream().map(String.class::cast).toList();
      if (!levels.isEmpty()) for (int k = 0; k < values.length; ++k) --values[k];
      result.add(new Column((String) names.get(i), values, levels));
    }
    return result;
  }

  private Object item() throws IOException {
    return item(in.readInt());
  }

  private Object item(int head) throws IOException {
    final int type = head & 0xff;
    switch (type) {
      case NIL:
        return null;
      case REFERENCE:
        return references.get((head >>> 8) - 1);
      case SYMBOL:
        final Object symbol = item();
        references.add(symbol);
        return symbol;
      case CHARACTERS:
        final int length = in.readInt();
        return length < 0 ? null : new String(in.readNBytes(checked(length)), StandardCharsets.UTF_8);
      case PAIRS:
        return pairs(head);
      case LOGICAL, INTEGER, REAL, STRINGS, LIST:
        final Object values = values(type, checked(in.readInt()));
        return new Vector(values, (head & HAS_ATTRIBUTES) == 0 ? Map.of() : attributes());
      default:
        throw new DataException("cannot read items of R's type " + type);
    }
  }

  private Object values(int type, int count) throws IOException {
    if (type == STRINGS || type == LIST) {
      final List<Object> items = new ArrayList<>();
      for (int i = 0; i < count; ++i) items.add(item());
      return items;
    }
    final double[] numbers = new double[count];
    for (int i = 0; i < count; ++i) {
      if (type == REAL) {
        numbers[i] = in.readDouble();
      } else {
        final int value = in.readInt();
        numbers[i] = value == MISSING ? Double.NaN : value;
      }
    }
    return numbers;
  }

  private Map<String, Object> attributes() throws IOException {
    final Map<String, Object> attributes = new LinkedHashMap<>();
    if (item() instanceof Map<?, ?> pairs) pairs.forEach((name, value) -> attributes.put((String) name, value));
    return attributes;
  }

  /** A linked list, each link with a tag. */
  private Map<Object, Object> pairs(int head) throws IOException {
    final Map<Object, Object> pairs = new LinkedHashMap<>();
    for (int link = head; (link & 0xff) == PAIRS; link = in.readInt()) {
      if ((link & HAS_ATTRIBUTES) != 0) item();
      final Object tag = (link & HAS_TAG) != 0 ? item() : pairs.size();
      pairs.put(tag, item());
    }
    return pairs;
  }

  private static int checked(int count) {
    if (count < 0 || count > MOST) throw new DataException("a length of " + count + " cannot be right");
    return count;
  }
}
