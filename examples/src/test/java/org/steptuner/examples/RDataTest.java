// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.tukaani.xz.LZMA2Options;
import org.tukaani.xz.XZOutputStream;

/** Reads what a writer of the same format, as R Internals describes it, has written. */
class RDataTest {
  private static final int SYMBOL = 1, PAIR = 2, TEXT = 9, INTEGER = 13, REAL = 14, STRINGS = 16, LIST = 19, NIL = 254, REFERENCE = 255;
  private static final int OBJECT = 0x100, ATTRIBUTES = 0x200, TAG = 0x400;

  @TempDir
  private Path folder;
  private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
  private final DataOutputStream out = new DataOutputStream(bytes);

  /** A data frame of a column of numbers, one of whole numbers, one of which is missing, and a factor; names is a reference at last. */
  @Test
  void readsAFrame() throws IOException {
    begin();
    out.writeInt(LIST | OBJECT | ATTRIBUTES);
    out.writeInt(3);
    out.writeInt(REAL);
    out.writeInt(3);
    for (double value : new double[] {0.5, -2, 1e100}) out.writeDouble(value);
    out.writeInt(INTEGER);
    out.writeInt(3);
    for (int value : new int[] {7, Integer.MIN_VALUE, -7}) out.writeInt(value);
    out.writeInt(INTEGER | OBJECT | ATTRIBUTES);
    out.writeInt(3);
    for (int value : new int[] {2, 1, 2}) out.writeInt(value);
    attribute("levels");
    strings("no", "yes");
    attribute("class");
    strings("factor");
    out.writeInt(NIL);
    attribute("names");
    strings("a", "b", "kind");
    out.writeInt(PAIR | TAG);
    out.writeInt(REFERENCE | 3 << 8); // "class", the third symbol
    strings("data.frame");
    out.writeInt(NIL);
    out.writeInt(NIL);
    final List<RData.Column> columns = RData.frame(file(bytes.toByteArray()));
    assertEquals(List.of("a", "b", "kind"), columns.stream().map(RData.Column::name).toList());
    assertArrayEquals(new double[] {0.5, -2, 1e100}, columns.get(0).values());
    assertArrayEquals(new double[] {7, Double.NaN, -7}, columns.get(1).values());
    assertArrayEquals(new double[] {1, 0, 1}, columns.get(2).values());
    assertEquals(List.of("no", "yes"), columns.get(2).levels());
    assertTrue(columns.get(0).levels().isEmpty());

    final Dataset data = Datasets.frame(new Datasets.Source("made", "made.rda", "kind"), List.of(columns.get(0), columns.get(2)));
    assertEquals(1, data.features());
    assertArrayEquals(new int[] {1, 0, 1}, data.labels());
    assertTrue(refusal(() -> Datasets.frame(new Datasets.Source("made", "made.rda", "kind"), columns)).contains("missing"));
    assertTrue(refusal(() -> Datasets.frame(new Datasets.Source("made", "made.rda", "other"), columns)).contains("other"));
  }

  @Test
  void saysWhatIsWrong() throws IOException {
    assertTrue(refusal(() -> RData.frame(folder.resolve("nothing"))).contains("nothing"));
    final Path text = Files.writeString(folder.resolve("text"), "not compressed at all, and long enough to have a head");
    assertTrue(refusal(() -> RData.frame(text)).contains("text"));
    assertTrue(refusal(() -> RData.frame(file("RDX3\nX\n....".getBytes(StandardCharsets.US_ASCII)))).contains("version 2"));
    begin();
    strings("no frame");
    out.writeInt(NIL);
    final byte[] noFrame = bytes.toByteArray();
    assertTrue(refusal(() -> RData.frame(file(noFrame))).contains("no data frame"));
    for (int length = 8; length < noFrame.length - 8; ++length) {
      final Path cut = file(Arrays.copyOf(noFrame, length));
      assertTrue(refusal(() -> RData.frame(cut)).contains(cut.toString()));
    }
    begin();
    out.writeInt(3); // a function
    assertTrue(refusal(() -> RData.frame(file(bytes.toByteArray()))).contains("type 3"));
  }

  private void begin() throws IOException {
    bytes.reset();
    out.write("RDX2\nX\n".getBytes(StandardCharsets.US_ASCII));
    for (int version : new int[] {2, 0x30200, 0x20300}) out.writeInt(version);
    attribute("object");
  }

  private void attribute(String name) throws IOException {
    out.writeInt(PAIR | TAG);
    out.writeInt(SYMBOL);
    text(name);
  }

  private void text(String text) throws IOException {
    out.writeInt(TEXT | 0x40000);
    out.writeInt(text.length());
    out.write(text.getBytes(StandardCharsets.US_ASCII));
  }

  private void strings(String... values) throws IOException {
    out.writeInt(STRINGS);
    out.writeInt(values.length);
    for (String value : values) text(value);
  }

  private Path file(byte[] content) throws IOException {
    final Path file = Files.createTempFile(folder, "made", ".rda");
    try (OutputStream xz = new XZOutputStream(Files.newOutputStream(file), new LZMA2Options())) {
      xz.write(content);
    }
    return file;
  }

  private static String refusal(org.junit.jupiter.api.function.Executable call) {
    return assertThrows(DataException.class, call).getMessage();
  }
}
