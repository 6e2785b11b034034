// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FashionMnistTest {
  @TempDir
  private Path folder;

  @Test
  void imagesAndLabels() throws IOException {
    final byte[] pixels = new byte[2 * FashionMnist.PIXELS];
    pixels[FashionMnist.PIXELS] = -1;
    images(pixels, 2);
    labels(3, 9);
    final FashionMnist.Examples examples = FashionMnist.examples(folder, "images", "labels", 2);
    assertEquals(2, examples.count());
    assertArrayEquals(pixels, examples.pixels());
    assertArrayEquals(new byte[] {3, 9}, examples.labels());
  }

  @Test
  void labelOutOfRange() throws IOException {
    images(new byte[2 * FashionMnist.PIXELS], 2);
    labels(3, 200);
    refused("200");
  }

  @Test
  void fewerLabelsThanImages() throws IOException {
    images(new byte[2 * FashionMnist.PIXELS], 2);
    labels(3);
    refused("[1], not of [2]");
  }

  @Test
  void missingFile() throws IOException {
    labels(3, 9);
    refused("has no images");
    assertEquals(FashionMnist.FILES, FashionMnist.missing(folder));
    Files.createFile(folder.resolve(FashionMnist.FILES.get(0)));
    Files.createFile(folder.resolve(FashionMnist.FILES.get(1) + ".gz"));
    assertEquals(FashionMnist.FILES.subList(2, 4), FashionMnist.missing(folder));
  }

  private void refused(String because) {
    final String message =
        assertThrows(DataException.class, () -> FashionMnist.examples(folder, "images", "labels", 2)).getMessage();
    assertTrue(message.contains(because), message);
  }

  private void images(byte[] pixels, int count) throws IOException {
    final ByteBuffer file = ByteBuffer.allocate(16 + pixels.length).putInt(0x803).putInt(count).putInt(28).putInt(28).put(pixels);
    Files.write(folder.resolve("images"), file.array());
  }

  private void labels(int... labels) throws IOException {
    final ByteBuffer file = ByteBuffer.allocate(8 + labels.length).putInt(0x801).putInt(labels.length);
    for (int label : labels) file.put((byte) label);
    Files.write(folder.resolve("labels"), file.array());
  }
}
