// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.gson.Strictness;
import com.google.gson.stream.JsonReader;
import com.google.gson.stream.JsonToken;
import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/** The JSON files of a directory: cases, which have an {@code optimizer}, and others, which are data or describe themselves. */
final class GoldenDirectory {
  private final Path path;
  private final Map<Path, JsonObject> files = new TreeMap<>();

  /** @throws IllFormedException if there is no such directory, no case in it, or a file is not a JSON object */
  GoldenDirectory(Path path) {
    this.path = path.normalize();
    if (!Files.isDirectory(path)) throw new IllFormedException("no directory of cases at " + path.toAbsolutePath());
    for (Path file : list()) files.put(file.normalize(), parse(file));
    if (files.values().stream().noneMatch(GoldenDirectory::isCase))
      throw new IllFormedException("no case in " + path.toAbsolutePath() + ": no .json file there has an 'optimizer'");
  }

  Map<Path, JsonObject> files() {
    return files;
  }

  static boolean isCase(JsonObject file) {
    return file.has("optimizer");
  }

  /** The file that a case names as its data, with or without the suffix. */
  Path dataFile(String name) {
    final Path exact = path.resolve(name).normalize();
    return Files.isRegularFile(exact) ? exact : path.resolve(name + ".json").normalize();
  }

  JsonObject data(String name) {
    final Path file = dataFile(name);
    final JsonObject known = files.get(file);
    if (known != null) return known;
    if (!Files.isRegularFile(file)) throw new IllFormedException("no data file '" + name + "' in " + path.toAbsolutePath());
    return parse(file);
  }

  private List<Path> list() {
    try (Stream<Path> entries = Files.list(path)) {
      return entries.filter(entry -> entry.getFileName().toString().endsWith(".json") && Files.isRegularFile(entry)).toList();
    } catch (IOException e) {
      throw new IllFormedException("cannot list " + path.toAbsolutePath() + ": " + e.getMessage(), e);
    }
  }

  private static JsonObject parse(Path file) {
    try (Reader text = Files.newBufferedReader(file);
        JsonReader reader = new JsonReader(text)) {
      reader.setStrictness(Strictness.STRICT);
      final JsonElement element = JsonParser.parseReader(reader);
      if (reader.peek() != JsonToken.END_DOCUMENT) throw new IllFormedException(file + ": text after the JSON document");
      if (!element.isJsonObject()) throw new IllFormedException(file + ": a JSON object was expected");
      return element.getAsJsonObject();
    } catch (IOException | JsonParseException e) {
      throw new IllFormedException(file + " is not readable as JSON: " + e.getMessage(), e);
    }
  }
}
