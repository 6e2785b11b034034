// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;
import java.util.function.BiConsumer;
import java.util.function.IntFunction;
import org.steptuner.CheckpointException;
import org.steptuner.DataType;
import org.steptuner.Scope;

/** The lines of a manifest, and what a file of version 3 or 4 says with them. Whatever is not as it must be is a {@link CheckpointException}. */
final class ManifestLines {
  private static final long LARGEST_COUNT = 1L << 40;
  private static final long LARGEST_NUMBER = 1L << 53;

  private final Path file;
  private final NavigableMap<String, String> lines = new TreeMap<>();

  private ManifestLines(Path file, String text) {
    this.file = file;
    for (int from = 0; from < text.length();) {
      final int end = text.indexOf('\n', from) < 0 ? text.length() : text.indexOf('\n', from);
      final int equals = text.indexOf('=', from);
      if (equals < 0 || equals > end) throw damaged("'" + shortened(text.substring(from, end)) + "' has no '='", null);
      final String key = text.substring(from, equals);
      if (lines.put(key, text.substring(equals + 1, end)) != null) throw damaged(key + " is there twice", null);
      from = end + 1;
    }
  }

  /**
   * What an archive's manifest says.
   *
   * @param hints tensors that are likely to be in the file: in those before version 3, names of any characters can be told apart only so
   */
  static Manifest read(Archive archive, List<Manifest.Tensor> hints) throws IOException {
    final Path file = archive.file();
    if (!archive.has(Checkpoint.MANIFEST)) throw new CheckpointException(file + " is no Step Tuner checkpoint: it has no manifest");
    final ManifestLines lines = new ManifestLines(file, text(archive));
    if (!Manifest.FORMAT.equals(lines.lines.get("format"))) throw new CheckpointException(file + " is no Step Tuner checkpoint");
    final String version = lines.lines.get("version");
    if ("1".equals(version) || "2".equals(version)) return new OldManifest(lines, archive, hints).read(Integer.parseInt(version));
    if (!Integer.toString(Manifest.COMPUTED_VERSION).equals(version) && !Integer.toString(Manifest.VERSION).equals(version))
      throw new CheckpointException(
          file + " has checkpoint version " + version + "; this library reads version 1 to version " + Manifest.VERSION);
    return lines.manifest(Integer.parseInt(version));
  }

  private static String text(Archive archive) throws IOException {
    try {
      return StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(archive.bytes(Checkpoint.MANIFEST))).toString();
    } catch (CharacterCodingException e) {
      throw new CheckpointException(archive.file() + " has a damaged manifest: it is not UTF-8", e);
    }
  }

  private Manifest manifest(int version) {
    final Description tuner = description("tuner");
    final Scope scope = read("scope", Scope::valueOf);
    final List<Description> groups = list("groups", g -> description("group." + g));
    final List<String> slots = list("slots", s -> text("slot." + s));
    final Map<String, Storage> storages = new LinkedHashMap<>();
    for (int s = 0; s < slots.size() && version > Manifest.COMPUTED_VERSION; ++s) {
      final String key = "slot." + s + ".storage";
      if (lines.containsKey(key)) storages.put(slots.get(s), read(key, Storage::valueOf));
    }
    final List<Manifest.Tensor> tensors = list("tensors", t -> tensor("tensor." + t, groups));
    checkNames(tensors);
    final Map<String, Scalars.Values> scalars = new LinkedHashMap<>();
    forEach("scalar.", (name, value) -> scalars.put(name, read("scalar." + name, this::scalars)));
    return new Manifest(
        version, number("steps"), number("skippedSteps"), tuner, groups, slots, storages, scope, tensors, scalars,
        list("entries", e -> text("entry." + e)), List.of());
  }

  private Description description(String key) {
    final Description description = new Description(text(key));
    forEach(key + ".form.", (name, value) -> description.form(name, text(key + ".form." + name)));
    forEach(key + ".setting.", (name, value) -> description.setting(name, text(key + ".setting." + name)));
    return description;
  }

  private Manifest.Tensor tensor(String key, List<Description> groups) {
    return read(key, line -> {
      final String[] parts = line.split(" ", 4);
      if (parts.length < 4) throw new IllegalArgumentException("it needs a type, a count, a group and a name");
      final int group = Integer.parseInt(parts[2]);
      if (group < 0 || group >= groups.size()) throw new IllegalArgumentException("there is no group " + group);
      return new Manifest.Tensor(
          Escaped.unescape(parts[3]), groups.get(group).name(), count(parts[1]), DataType.valueOf(parts[0]));
    });
  }

  private Scalars.Values scalars(String line) {
    final int first = line.indexOf(' ');
    final int second = line.indexOf(' ', first + 1);
    if (first < 0 || second < 0) throw new IllegalArgumentException("it needs a kind, a number and values");
    final Scalars.Kind kind = Scalars.Kind.valueOf(line.substring(0, first));
    final int per = Integer.parseInt(line.substring(first + 1, second));
    return new Scalars.Values(kind, per, values(line.substring(second + 1)));
  }

  /** Numbers with commas between them; an empty text has none. */
  static double[] values(String text) {
    double[] values = new double[16];
    int count = 0;
    for (int from = 0; from < text.length();) {
      final int comma = text.indexOf(',', from);
      final int end = comma < 0 ? text.length() : comma;
      if (count == values.length) values = Arrays.copyOf(values, 2 * count);
      values[count++] = Double.parseDouble(text.substring(from, end));
      from = end + 1;
    }
    return Arrays.copyOf(values, count);
  }

  static long count(String text) {
    final long count = Long.parseLong(text);
    if (count < 0 || count > LARGEST_COUNT) throw new IllegalArgumentException("a count must be from 0 to 2^40, not " + count);
    return count;
  }

  void checkNames(List<Manifest.Tensor> tensors) {
    final Map<String, Manifest.Tensor> names = new LinkedHashMap<>();
    for (Manifest.Tensor tensor : tensors)
      if (names.put(tensor.name(), tensor) != null) throw damaged("tensor '" + tensor.name() + "' is there twice", null);
  }

  Path file() {
    return file;
  }

  /** A number from 0 to 2^53: what a double holds exactly. */
  long number(String key) {
    return read(key, text -> {
      final long number = Long.parseLong(text);
      if (number < 0 || number > LARGEST_NUMBER) throw new IllegalArgumentException("it must be from 0 to 2^53");
      return number;
    });
  }

  /** The elements of a list whose length stands in a line. */
  <T> List<T> list(String key, IntFunction<T> element) {
    final long count = number(key);
    if (count > lines.size()) throw damaged(key + " is " + count + ", more than there are lines", null);
    final List<T> elements = new ArrayList<>();
    for (int i = 0; i < count; ++i) elements.add(element.apply(i));
    return elements;
  }

  String text(String key) {
    return read(key, Escaped::unescape);
  }

  /** Something that makes a value of a line, or throws IllegalArgumentException. */
  interface Parser<T> {
    T parse(String line);
  }

  <T> T read(String key, Parser<T> parser) {
    final String line = lines.get(key);
    if (line == null) throw damaged("it lacks " + key, null);
    try {
      return parser.parse(line);
    } catch (IllegalArgumentException e) {
      throw damaged(key + " is '" + shortened(line) + "': " + e.getMessage(), e);
    }
  }

  /** What begins with a prefix, by what follows it. */
  void forEach(String prefix, BiConsumer<String, String> consumer) {
    for (Map.Entry<String, String> line : lines.tailMap(prefix, true).entrySet()) {
      if (!line.getKey().startsWith(prefix)) return;
      consumer.accept(line.getKey().substring(prefix.length()), line.getValue());
    }
  }

  CheckpointException damaged(String what, Throwable cause) {
    return new CheckpointException(file + " has a damaged manifest: " + what, cause);
  }

  static String shortened(String text) {
    return text.length() <= 100 ? text : text.substring(0, 100) + "...";
  }
}
