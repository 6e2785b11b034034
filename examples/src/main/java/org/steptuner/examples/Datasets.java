// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.GZIPInputStream;

/** The sets of the suite: four that come with the example, and those of R's package mlbench. */
final class Datasets {
  /**
   * One of the sets.
   *
   * @param file the resource, or the file of mlbench
   * @param label the column with the classes, where it is mlbench's
   */
  record Source(String name, String file, String label) {
    boolean bundled() {
      return label == null;
    }
  }

  static final List<Source> ALL =
      List.of(
          new Source("iris", "iris.csv", null),
          new Source("wine", "wine_data.csv", null),
          new Source("breast cancer", "breast_cancer.csv", null),
          new Source("digits", "digits.csv.gz", null),
          new Source("letter", "LetterRecognition.rda", "lettr"),
          new Source("dna", "DNA.rda", "Class"),
          new Source("vehicle", "Vehicle.rda", "Class"),
          new Source("vowel", "Vowel.rda", "Class"),
          new Source("glass", "Glass.rda", "Type"),
          new Source("satellite", "Satellite.rda", "classes"),
          new Source("shuttle", "Shuttle.rda", "Class"),
          new Source("sonar", "Sonar.rda", "Class"));

  private Datasets() {}

  /** The files of mlbench that a folder lacks. */
  static List<String> missing(Path folder) {
    return ALL.stream().filter(source -> !source.bundled()).map(Source::file).filter(f -> !Files.isRegularFile(folder.resolve(f))).toList();
  }

  /**
   * Reads a set.
   *
   * @param mlbench the folder with mlbench's files; may be null for a set that comes with the example
   * @throws DataException if it cannot be read
   */
  static Dataset load(Source source, Path mlbench) {
    return source.bundled() ? bundled(source) : frame(source, RData.frame(mlbench.resolve(source.file())));
  }

  private static Dataset bundled(Source source) {
    try (InputStream stream = Datasets.class.getResourceAsStream("data/" + source.file())) {
      return csv(source.name(), source.file().endsWith(".gz") ? new GZIPInputStream(stream) : stream);
    } catch (IOException e) {
      throw new DataException("cannot read " + source.file() + ": " + e.getMessage(), e);
    }
  }

  /** Lines of numbers, the class last. A first line with names in it is a head. */
  static Dataset csv(String name, InputStream stream) throws IOException {
    final List<double[]> lines = new ArrayList<>();
    try (BufferedReader reader = new BufferedReader(new InputStreamReader(stream, StandardCharsets.US_ASCII))) {
      String line = reader.readLine();
      if (line != null && line.chars().anyMatch(Character::isLetter)) line = reader.readLine();
      for (; line != null; line = reader.readLine()) lines.add(numbers(name, line, lines));
    }
    final int features = lines.isEmpty() ? 0 : lines.get(0).length - 1;
    final List<double[]> columns = new ArrayList<>();
    for (int f = 0; f < features; ++f) {
      final int at = f;
      columns.add(lines.stream().mapToDouble(values -> values[at]).toArray());
    }
    final int[] labels = lines.stream().mapToInt(values -> (int) values[features]).toArray();
    int classes = 0;
    for (int label : labels) classes = Math.max(classes, label + 1);
    return Dataset.of(name, columns, labels, classes);
  }

  private static double[] numbers(String name, String line, List<double[]> before) {
    final String[] parts = line.split(",");
    if (!before.isEmpty() && parts.length != before.get(0).length)
      throw new DataException(name + ", example " + (before.size() + 1) + " has " + parts.length + " values, not " + before.get(0).length);
    final double[] values = new double[parts.length];
    for (int i = 0; i < parts.length; ++i)
      try {
        values[i] = Double.parseDouble(parts[i]);
      } catch (NumberFormatException e) {
        throw new DataException(name + ", example " + (before.size() + 1) + ": '" + parts[i] + "' is not a number", e);
      }
    return values;
  }

  /** A factor of two levels is one feature, 0 or 1; one of more is a feature for each level. */
  static Dataset frame(Source source, List<RData.Column> frame) {
    final List<double[]> features = new ArrayList<>();
    RData.Column label = null;
    for (RData.Column column : frame) {
      if (column.name().equals(source.label())) {
        label = column;
      } else if (column.levels().size() <= 2) {
        features.add(column.values());
      } else {
        for (int level = 0; level < column.levels().size(); ++level) {
          final double[] is = new double[column.values().length];
          for (int i = 0; i < is.length; ++i) is[i] = column.values()[i] == level ? 1 : 0;
          features.add(is);
        }
      }
    }
    if (label == null || label.levels().isEmpty()) throw new DataException(source.file() + " has no factor " + source.label());
    final int[] labels = new int[label.values().length];
    for (int i = 0; i < labels.length; ++i) labels[i] = Double.isNaN(label.values()[i]) ? -1 : (int) label.values()[i];
    return Dataset.of(source.name(), features, labels, label.levels().size());
  }
}
