// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class IdxTest {
  private static final byte[] GOOD = {0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, -1};

  @TempDir
  private Path folder;

  @Test
  void readsPlainAndCompressed() throws IOException {
    for (Path file : new Path[] {write("a", GOOD), write("a.gz", gzip(GOOD))}) {
      final Idx idx = Idx.read(file, 2, 3);
      assertArrayEquals(new int[] {2, 3}, idx.sizes());
      assertArrayEquals(new byte[] {1, 2, 3, 4, 5, -1}, idx.bytes());
    }
  }

  @Test
  void truncated() throws IOException {
    for (int length = 0; length < GOOD.length; ++length)
      refused(write("a", Arrays.copyOf(GOOD, length)), length < 4 ? "not an IDX" : "truncated");
  }

  @Test
  void truncatedCompressed() throws IOException {
    final byte[] whole = gzip(GOOD);
    for (int length = 0; length < whole.length; ++length) refused(write("a.gz", Arrays.copyOf(whole, length)), "truncated");
  }

  @Test
  void notCompressed() throws IOException {
    refused(write("a.gz", GOOD), "damaged");
  }

  @Test
  void wrongMagic() throws IOException {
    final byte[] floats = GOOD.clone();
    floats[2] = 0x0d;
    refused(write("a", floats), "00000d02, not 00000802");
    final byte[] cube = GOOD.clone();
    cube[3] = 3;
    refused(write("a", cube), "2 dimension");
  }

  @Test
  void otherSizes() throws IOException {
    final byte[] other = GOOD.clone();
    other[7] = 1;
    refused(write("a", other), "[1, 3], not of [2, 3]");
  }

  @Test
  void tooLong() throws IOException {
    refused(write("a", Arrays.copyOf(GOOD, GOOD.length + 1)), "goes on");
  }

  @Test
  void notThere() {
    refused(folder.resolve("nothing"), "cannot read");
  }

  private static void refused(Path file, String because) {
    final String message = assertThrows(DataException.class, () -> Idx.read(file, 2, 3)).getMessage();
    assertTrue(message.contains(because) && message.contains(file.toString()), message);
  }

  private Path write(String name, byte[] bytes) throws IOException {
    return Files.write(folder.resolve(name), bytes);
  }

  private static byte[] gzip(byte[] bytes) throws IOException {
    final ByteArrayOutputStream packed = new ByteArrayOutputStream();
    try (OutputStream out = new GZIPOutputStream(packed)) {
      out.write(bytes);
    }
    return packed.toByteArray();
  }
}
