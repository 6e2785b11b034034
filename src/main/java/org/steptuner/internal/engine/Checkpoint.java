// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.bytedeco.javacpp.BytePointer;

/**
 * Writes the file of a saved optimizer: a zip archive, uncompressed, each entry with its CRC-32. docs/checkpoints.md has the format.
 */
final class Checkpoint {
  private static final String MANIFEST = "manifest";
  private static final int BUFFER = 1 << 16;

  private Checkpoint() {}

  static void save(BoundOptimizer optimizer, Path file) {
    final Path target = file.toAbsolutePath();
    final Path temporary = target.resolveSibling("." + target.getFileName() + "." + UUID.randomUUID() + ".partial");
    try {
      try {
        try (FileChannel channel = FileChannel.open(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE)) {
          final ZipOutputStream zip = new ZipOutputStream(Channels.newOutputStream(channel));
          zip.setLevel(0);
          write(optimizer, zip);
          zip.finish();
          zip.flush();
          channel.force(true);
        }
        Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
      } finally {
        Files.deleteIfExists(temporary); // does nothing if the file was moved
      }
    } catch (IOException e) {
      throw new UncheckedIOException("cannot save the optimizer to " + file + ": " + e.getMessage(), e);
    }
  }

  private static void write(BoundOptimizer optimizer, ZipOutputStream zip) throws IOException {
    zip.putNextEntry(new ZipEntry(MANIFEST));
    final StringBuilder text = new StringBuilder();
    manifest(optimizer).forEach((key, value) -> text.append(key).append('=').append(value).append('\n'));
    zip.write(text.toString().getBytes(StandardCharsets.UTF_8));
    zip.closeEntry();
    try (BytePointer host = new BytePointer(BUFFER)) {
      final ByteBuffer buffer = host.asByteBuffer().order(ByteOrder.nativeOrder());
      final byte[] bytes = new byte[BUFFER];
      for (Array array : arrays(optimizer)) {
        zip.putNextEntry(new ZipEntry(array.entry));
        for (long at = 0; at < array.bytes; at += BUFFER) {
          final int part = (int) Math.min(BUFFER, array.bytes - at);
          optimizer.plan.read(array.slot, array.tensor, at, host.address(), part);
          buffer.get(0, bytes, 0, part);
          zip.write(bytes, 0, part);
        }
        zip.closeEntry();
      }
    }
  }

  /** What the manifest of an optimizer's checkpoint says, line by line. */
  private static Map<String, String> manifest(BoundOptimizer optimizer) {
    return Manifest.of(optimizer).lines();
  }

  private record Array(String entry, String slot, int tensor, long bytes) {}

  private static List<Array> arrays(BoundOptimizer optimizer) {
    final List<Array> arrays = new ArrayList<>();
    for (int t = 0; t < optimizer.parameters().tensors().size(); ++t) {
      arrays.add(new Array("parameters/" + t, null, t, optimizer.plan.bytes(null, t)));
      for (String slot : optimizer.plan.slots()) arrays.add(new Array("state/" + slot + "/" + t, slot, t, optimizer.plan.bytes(slot, t)));
    }
    return arrays;
  }
}
