// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.conformance.Result.Status;

/**
 * Runs the recorded cases of a directory through the library's public API. A case is built from its {@code optimizer}, {@code
 * mode} and {@code data} alone; the names of files mean nothing.
 */
final class ConformanceRunner {
  private static final List<DataType> TYPES = List.of(DataType.FLOAT64, DataType.FLOAT32);

  private final GoldenDirectory directory;
  private final Map<String, Device> devices;
  private final List<Result> results = new ArrayList<>();

  private ConformanceRunner(GoldenDirectory directory, Map<String, Device> devices) {
    this.directory = directory;
    this.devices = devices;
  }

  /**
   * Runs every case in float64 and float32 on every device.
   *
   * @throws IllFormedException if the directory cannot be read, see {@link GoldenDirectory}
   */
  static List<Result> run(Path directory, Map<String, Device> devices) {
    final ConformanceRunner runner = new ConformanceRunner(new GoldenDirectory(directory), devices);
    runner.runAll();
    return runner.results;
  }

  /**
   * Opens devices.
   *
   * @param list separated by commas: "cpu", or "library:" with the path of a backend library
   */
  static Map<String, Device> devices(String list) {
    final Map<String, Device> devices = new LinkedHashMap<>();
    for (String item : list.split(",")) {
      final String name = item.trim();
      if (name.equals("cpu")) devices.put(name, Device.cpu());
      else if (name.startsWith("library:")) devices.put(name, Device.fromLibrary(Path.of(name.substring(8)), 0));
      else throw new IllegalArgumentException("a device must be 'cpu' or 'library:PATH', not '" + name + "'");
    }
    return devices;
  }

  private void runAll() {
    final Set<Path> data = new HashSet<>();
    for (JsonObject file : directory.files().values())
      if (GoldenDirectory.isCase(file)) data.add(directory.dataFile(text(file, "data")));
    directory.files().forEach((path, file) -> {
      if (GoldenDirectory.isCase(file)) runCase(path, file);
      else if (SelfDescribed.isQuadratic(file)) runQuadratic(path, file);
      else if (SelfDescribed.isModel(file))
        results.add(Outcome.of(path, () -> SelfDescribed.models(file)).result(name(path, file), "edge_model", "closed", "float64", ""));
      else if (!data.contains(path))
        results.add(
            new Result(name(path, file), "", "", "", "", Status.UNSUPPORTED, null, "has no optimizer and is no case's data"));
    });
  }

  private void runCase(Path path, JsonObject file) {
    GoldenCase golden = null;
    Outcome unread = null;
    try {
      golden = new GoldenCase(file, directory);
    } catch (RuntimeException e) {
      unread = Outcome.of(path, e);
    }
    final String kind = file.get("optimizer") instanceof JsonObject optimizer ? text(optimizer, "kind") : "";
    for (Map.Entry<String, Device> device : devices.entrySet())
      for (DataType type : TYPES) {
        final Outcome outcome = golden == null ? unread : Outcome.of(path, golden, type, device.getValue());
        final String dtype = type.name().toLowerCase(Locale.ROOT);
        results.add(outcome.result(name(path, file), kind, text(file, "mode"), dtype, device.getKey()));
      }
  }

  private void runQuadratic(Path path, JsonObject file) {
    devices.forEach((device, opened) -> {
      for (DataType type : TYPES)
        results.add(
            Outcome.of(path, () -> SelfDescribed.quadratic(file, type, opened))
                .result(name(path, file), "cdat_quadratic", "closed", type.name().toLowerCase(Locale.ROOT), device));
    });
  }

  private record Outcome(Status status, Double worst, String message) {
    static Outcome of(Path path, GoldenCase golden, DataType type, Device device) {
      try {
        final Map<String, Comparison> comparisons = golden.compare(type, device);
        final boolean passed = comparisons.values().stream().allMatch(Comparison::passed);
        final double worst = comparisons.values().stream().mapToDouble(Comparison::worst).max().orElse(0);
        return new Outcome(passed ? Status.PASSED : Status.FAILED, worst, message(comparisons, passed));
      } catch (RuntimeException e) {
        return of(path, e);
      }
    }

    static Outcome of(Path path, Supplier<SelfDescribed.Finding> run) {
      try {
        final SelfDescribed.Finding found = run.get();
        final boolean passed = found.worst() <= found.limit();
        final String message = found.worst() + " of " + found.limit() + ": " + found.where();
        return new Outcome(passed ? Status.PASSED : Status.FAILED, found.worst(), message);
      } catch (RuntimeException e) {
        return of(path, e);
      }
    }

    static Outcome of(Path path, RuntimeException e) {
      if (e instanceof UnsupportedException) return new Outcome(Status.UNSUPPORTED, null, "not supported: " + e.getMessage());
      final boolean expected = e instanceof IllFormedException || e instanceof IllegalArgumentException;
      return new Outcome(Status.FAILED, null, path.getFileName() + ": " + (expected ? e.getMessage() : e));
    }

    Result result(String name, String kind, String mode, String dtype, String device) {
      return new Result(name, kind, mode, dtype, device, status, worst, message);
    }

    // Where one fails, only what failed.
    private static String message(Map<String, Comparison> comparisons, boolean passed) {
      final List<String> parts = new ArrayList<>();
      comparisons.forEach((label, comparison) -> {
        if (comparison.passed() == passed) parts.add((label.isEmpty() ? "" : label + ": ") + comparison.message());
      });
      return String.join(" | ", parts);
    }
  }

  private static String name(Path path, JsonObject file) {
    final String name = text(file, "name");
    return name.isEmpty() ? path.getFileName().toString() : name;
  }

  /** A field for display: empty where it is no string. */
  private static String text(JsonObject object, String field) {
    final JsonElement element = object.get(field);
    return element != null && element.isJsonPrimitive() && element.getAsJsonPrimitive().isString() ? element.getAsString() : "";
  }
}
