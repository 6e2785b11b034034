// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class DatasetsTest {
  @ParameterizedTest
  @CsvSource({"iris, 150, 4, 3", "wine, 178, 13, 3", "breast cancer, 569, 30, 2", "digits, 1797, 64, 10"})
  void bundledSets(String name, int count, int features, int classes) {
    final Datasets.Source source = Datasets.ALL.stream().filter(one -> one.name().equals(name)).findFirst().orElseThrow();
    final Dataset data = Datasets.load(source, null);
    assertEquals(count, data.count());
    assertEquals(features, data.features());
    assertEquals(classes, data.classes());
    final int[] members = new int[classes];
    for (int label : data.labels()) ++members[label];
    for (int number : members) assertTrue(number > 40, "a class of " + number);
    for (int f = 0; f < features; ++f) {
      double sum = 0;
      double square = 0;
      for (int i = 0; i < count; ++i) {
        final double value = data.values()[i * features + f];
        sum += value;
        square += value * value;
      }
      assertEquals(0, sum / count, 1e-5, "feature " + f);
      assertTrue(square == 0 && name.equals("digits") || Math.abs(square / count - 1) < 1e-4, "feature " + f + ": " + square / count);
    }
  }

  @Test
  void linesOfNumbers() throws IOException {
    final Dataset data = csv("2,2,red,blue\n1,10,0\n3,10,1\n");
    assertArrayEquals(new float[] {-1, 0, 1, 0}, data.values());
    assertArrayEquals(new int[] {0, 1}, data.labels());
    assertTrue(refusal("1,2,0\n1,0\n").contains("example 2"));
    assertTrue(refusal("1,2,0\n1,x3,0\n").contains("'x3'"));
    assertTrue(refusal("").contains("no examples"));
    assertTrue(refusal("1,2,0\n3,1,-1\n").contains("label -1"));
    assertTrue(refusal("1,2,0\nNaN,1,1\n").contains("not finite"));
  }

  @Test
  void factorsBecomeFeatures() {
    final Dataset data =
        Datasets.frame(
            new Datasets.Source("made", "made.rda", "kind"),
            List.of(
                new RData.Column("two", new double[] {0, 1, 1, 0}, List.of("a", "b")),
                new RData.Column("kind", new double[] {0, 1, 2, 0}, List.of("x", "y", "z")),
                new RData.Column("three", new double[] {2, 0, 1, 2}, List.of("p", "q", "r"))));
    assertEquals(1 + 3, data.features());
    assertEquals(3, data.classes());
    assertArrayEquals(new int[] {0, 1, 2, 0}, data.labels());
    assertArrayEquals(new float[] {-1, 1, 1, -1}, column(data, 0));
    assertArrayEquals(new float[] {1, -1, -1, 1}, column(data, 3));
  }

  @Test
  void whatAFolderLacks(@TempDir Path folder) throws IOException {
    assertEquals(8, Datasets.missing(folder).size());
    for (String name : Datasets.missing(folder)) Files.createFile(folder.resolve(name));
    assertTrue(Datasets.missing(folder).isEmpty());
  }

  private static float[] column(Dataset data, int feature) {
    final float[] column = new float[data.count()];
    for (int i = 0; i < column.length; ++i) column[i] = data.values()[i * data.features() + feature];
    return column;
  }

  private static Dataset csv(String text) throws IOException {
    return Datasets.csv("made", new ByteArrayInputStream(text.getBytes(StandardCharsets.US_ASCII)));
  }

  private static String refusal(String text) {
    return assertThrows(DataException.class, () -> csv(text)).getMessage();
  }
}
