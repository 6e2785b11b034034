// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;

/**
 * What a checkpoint of an optimizer holds, as it is when this is made: manifest and entries here, arrays where they are. {@link Checkpoint}
 * says how the file looks.
 */
final class CheckpointWriter {
  private static final int BUFFER = 1 << 16;

  /** Where the arrays are. */
  interface Arrays {
    /** Copies bytes of an array to the beginning of {@code to}. */
    void read(int array, long offset, byte[] to, int bytes);
  }

  private final byte[] manifest;
  private final List<Checkpoint.Array> arrays;
  private final Map<String, byte[]> entries;
  private final long moment = System.currentTimeMillis(); // what the file says, whenever it is written

  /** @param entries those of the caller, as {@link CallerEntries} gives them */
  CheckpointWriter(BoundOptimizer optimizer, Map<String, byte[]> entries) {
    final StringBuilder text = new StringBuilder();
    Checkpoint.manifest(optimizer, entries.keySet()).forEach((key, value) -> text.append(key).append('=').append(value).append('\n'));
    manifest = text.toString().getBytes(StandardCharsets.UTF_8);
    arrays = Checkpoint.arrays(optimizer);
    this.entries = entries;
  }

  List<Checkpoint.Array> arrays() {
    return arrays;
  }

  /** @throws UncheckedIOException if the file cannot be written; the old one is there then */
  void write(Path file, Arrays from) {
    try {
      WholeFile.write(file, out -> write(out, from));
    } catch (IOException e) {
      throw new UncheckedIOException("cannot save the optimizer to " + file + ": " + WholeFile.reason(e), e);
    }
  }

  private void write(OutputStream out, Arrays from) throws IOException {
    final ZipOutputStream zip = new ZipOutputStream(out);
    zip.setLevel(0);
    add(zip, Checkpoint.MANIFEST, manifest);
    for (Map.Entry<String, byte[]> entry : entries.entrySet()) add(zip, Archive.CALLER + entry.getKey(), entry.getValue());
    final byte[] bytes = new byte[BUFFER];
    for (int a = 0; a < arrays.size(); ++a) {
      final Checkpoint.Array array = arrays.get(a);
      begin(zip, array.entry());
      for (long at = 0; at < array.bytes(); at += BUFFER) {
        final int part = (int) Math.min(BUFFER, array.bytes() - at);
        from.read(a, at, bytes, part);
        zip.write(bytes, 0, part);
      }
      zip.closeEntry();
    }
    zip.finish();
  }

  private void add(ZipOutputStream zip, String name, byte[] content) throws IOException {
    begin(zip, name);
    zip.write(content);
    zip.closeEntry();
  }

  private void begin(ZipOutputStream zip, String name) throws IOException {
    final ZipEntry entry = new ZipEntry(name);
    entry.setTime(moment);
    zip.putNextEntry(entry);
  }
}
