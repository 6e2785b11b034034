// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Enumeration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;
import org.steptuner.CheckpointException;

/**
 * The zip archive of a checkpoint, as it is read. What an entry says of its size is not believed: no more is read than was asked for, and
 * whatever is kept in memory has a limit that follows from the heap. The caller's entries may also take as much as the file has: they came
 * from a heap, and an archive that is not packed small is no trap.
 */
final class Archive implements AutoCloseable {
  /** Where the caller's entries are. */
  static final String CALLER = "entries/";
  private static final int BUFFER = 1 << 16;
  private static final int LEAST_LIMIT = 1 << 20;
  private static final int PART_OF_HEAP = 8; // the text of a manifest takes some times its bytes while it is read

  private final Path file;
  private final long fileSize;
  private final ZipFile zip;
  private final Map<String, ZipEntry> entries = new LinkedHashMap<>();

  private Archive(Path file, ZipFile zip) throws IOException {
    this.file = file;
    fileSize = Files.size(file);
    this.zip = zip;
    for (final Enumeration<? extends ZipEntry> all = zip.entries(); all.hasMoreElements();) {
      final ZipEntry entry = all.nextElement();
      if (entries.put(entry.getName(), entry) != null) throw new CheckpointException(file + " has the entry " + entry.getName() + " twice");
    }
  }

  /** Something that is done with an open archive. */
  interface Reader<T> {
    T read(Archive archive) throws IOException;
  }

  /**
   * Opens a file for as long as it is read.
   *
   * @throws CheckpointException if it is no archive, or a damaged one
   * @throws UncheckedIOException if it cannot be read
   */
  static <T> T read(Path file, Reader<T> reader) {
    try (Archive archive = open(file)) {
      return reader.read(archive);
    } catch (NoSuchFileException e) {
      throw new UncheckedIOException("no checkpoint at " + file, e);
    } catch (ZipException | EOFException e) {
      throw new CheckpointException(file + " is no checkpoint, or a truncated one: " + e.getMessage(), e);
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read " + file + ": " + WholeFile.reason(e), e);
    }
  }

  private static Archive open(Path file) throws IOException {
    final ZipFile zip = ZipArchive.open(file);
    try {
      return new Archive(file, zip);
    } catch (IOException | RuntimeException | Error e) {
      zip.close();
      throw e;
    }
  }

  Path file() {
    return file;
  }

  Iterable<String> names() {
    return entries.keySet();
  }

  boolean has(String name) {
    return entries.containsKey(name);
  }

  /** The most bytes that are read into memory at once. */
  static long limit() {
    return Math.max(LEAST_LIMIT, Runtime.getRuntime().maxMemory() / PART_OF_HEAP);
  }

  /** A whole entry, of which there is one. */
  byte[] bytes(String name) throws IOException {
    return bytes(name, limit());
  }

  private byte[] bytes(String name, long limit) throws IOException {
    final ZipEntry entry = entries.get(name);
    final int most = (int) Math.min(limit, Integer.MAX_VALUE - 16);
    if (entry.getSize() > most) throw tooLarge(name, entry.getSize(), most);
    final byte[] bytes;
    try (InputStream in = stream(entry)) {
      bytes = in.readNBytes(most + 1);
    } catch (OutOfMemoryError e) {
      throw tooLarge(name, entry.getSize(), Runtime.getRuntime().maxMemory());
    }
    if (bytes.length > most) throw tooLarge(name, entry.getSize(), most);
    final CRC32 crc = new CRC32();
    crc.update(bytes);
    if (bytes.length != entry.getSize() || crc.getValue() != entry.getCrc()) throw damaged(name);
    return bytes;
  }

  /**
   * The caller's entries, by the names that the caller gave them.
   *
   * @param expected the names of some that must be there; null if that is not known
   * @throws CheckpointException if one is missing, is damaged or is too large
   */
  Map<String, byte[]> callersEntries(List<String> expected) throws IOException {
    if (expected != null) for (String name : expected) if (!has(CALLER + name)) throw lacks(CALLER + name);
    final Map<String, byte[]> callers = new LinkedHashMap<>();
    long left = Math.max(limit(), fileSize);
    for (String name : entries.keySet()) {
      if (!name.startsWith(CALLER) || name.equals(CALLER)) continue;
      final byte[] bytes = bytes(name, left);
      left -= bytes.length;
      callers.put(name.substring(CALLER.length()), bytes);
    }
    return callers;
  }

  /** Takes parts of an entry, one behind the other; {@code bytes} is used again for the next part. */
  interface Sink {
    void take(long offset, byte[] bytes, int count);
  }

  /**
   * Reads an array from its beginning to its end.
   *
   * @param size the bytes that it must have
   * @throws CheckpointException if it is missing, has another size, or a checksum that does not match
   */
  void array(String name, long size, Sink sink) throws IOException {
    final ZipEntry entry = entries.get(name);
    if (entry == null) throw lacks(name);
    if (entry.getSize() != size) throw new CheckpointException(file + " has " + entry.getSize() + " bytes of " + name + ", not " + size);
    final CRC32 crc = new CRC32();
    final byte[] bytes = new byte[(int) Math.min(BUFFER, size + 1)];
    long at = 0;
    try (InputStream in = stream(entry)) {
      for (int part; at <= size && (part = in.readNBytes(bytes, 0, bytes.length)) > 0; at += part) {
        if (at + part > size) throw damaged(name);
        crc.update(bytes, 0, part);
        sink.take(at, bytes, part);
      }
    }
    if (at != size || crc.getValue() != entry.getCrc()) throw damaged(name);
  }

  private InputStream stream(ZipEntry entry) throws IOException {
    final InputStream in = zip.getInputStream(entry);
    if (in == null) throw damaged(entry.getName());
    return in;
  }

  private CheckpointException tooLarge(String name, long size, long most) {
    return new CheckpointException(
        file + " has " + size + " or more bytes of " + name + ", and this JVM takes up to " + most + ": a larger heap (-Xmx) takes more");
  }

  private CheckpointException lacks(String name) {
    return new CheckpointException(file + " is damaged: it lacks " + name);
  }

  private CheckpointException damaged(String name) {
    return new CheckpointException(file + " is damaged: the checksum or the size of " + name + " does not match");
  }

  @Override
  public void close() throws IOException {
    zip.close();
  }
}
