// SPDX-License-Identifier: Apache-2.0
package org.steptuner.torture;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import java.util.zip.DeflaterOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipInputStream;

/**
 * A zip archive of which every field can be made wrong. As it is made of another one, it is right. Fields are those of PKWARE's APPNOTE:
 * local headers (4.3.7), central directory (4.3.12), its zip64 end (4.3.14) and end (4.3.16).
 */
final class ZipForge {
  private static final long MASK = 0xffffffffL;

  /** An entry, with what both of its headers say about it. */
  static final class Entry {
    byte[] name;
    byte[] content;
    int flags = 0x800; // names are UTF-8
    int method;
    long crc;
    long packedSize;
    long size;
    /** What the central directory says about the place of the local header, or -1 for the truth. */
    long offset = -1;
    byte[] extra = {};
    byte[] localExtra = {};
    /** What the central directory says where it differs from the local header, or -1. */
    long centralSize = -1;
    long centralCrc = -1;

    Entry(String name, byte[] content) {
      this.name = name.getBytes(StandardCharsets.UTF_8);
      store(content);
    }

    String name() {
      return new String(name, StandardCharsets.UTF_8);
    }

    /** Gives the entry another content, with sizes and checksum that fit. */
    void store(byte[] bytes) {
      content = bytes;
      method = 0;
      size = packedSize = bytes.length;
      crc = crcOf(bytes);
    }

    /** Likewise, compressed, and so many times one after the other. */
    void deflate(byte[] bytes, int times) {
      final ByteArrayOutputStream packed = new ByteArrayOutputStream();
      final Deflater deflater = new Deflater(1, true);
      final CRC32 sum = new CRC32();
      try (DeflaterOutputStream out = new DeflaterOutputStream(packed, deflater)) {
        for (int i = 0; i < times; ++i) {
          out.write(bytes);
          sum.update(bytes);
        }
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      } finally {
        deflater.end();
      }
      content = packed.toByteArray();
      packedSize = content.length;
      size = (long) bytes.length * times;
      crc = sum.getValue();
      method = 8;
    }

    Entry copy() {
      final Entry copy = new Entry(name(), content);
      copy.method = method;
      copy.crc = crc;
      copy.size = size;
      copy.packedSize = packedSize;
      return copy;
    }
  }

  final List<Entry> entries = new ArrayList<>();
  byte[] before = {};
  byte[] comment = {};
  /** What the end says, or -1 for the truth. */
  long count = -1;
  long directorySize = -1;
  long directoryOffset = -1;
  /** What the zip64 end says, or null for none. */
  long[] zip64;

  static ZipForge of(byte[] archive) {
    final ZipForge forge = new ZipForge();
    try (ZipInputStream zip = new ZipInputStream(new ByteArrayInputStream(archive))) {
      for (ZipEntry entry; (entry = zip.getNextEntry()) != null;) forge.entries.add(new Entry(entry.getName(), zip.readAllBytes()));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return forge;
  }

  static long crcOf(byte[] bytes) {
    final CRC32 crc = new CRC32();
    crc.update(bytes);
    return crc.getValue();
  }

  /** The text with the optimizer's settings: the first entry in all versions. */
  Entry manifest() {
    return entries.get(0);
  }

  byte[] write() {
    final Bytes out = new Bytes();
    out.put(before);
    final long[] offsets = new long[entries.size()];
    for (int i = 0; i < offsets.length; ++i) {
      final Entry e = entries.get(i);
      offsets[i] = out.size();
      out.four(0x04034b50).two(20).two(e.flags).two(e.method).four(0).four(e.crc).four(e.packedSize).four(e.size);
      out.two(e.name.length).two(e.localExtra.length).put(e.name).put(e.localExtra).put(e.content);
    }
    final long directory = out.size();
    for (int i = 0; i < offsets.length; ++i) {
      final Entry e = entries.get(i);
      out.four(0x02014b50).two(20).two(20).two(e.flags).two(e.method).four(0).four(e.centralCrc < 0 ? e.crc : e.centralCrc);
      out.four(e.packedSize).four(e.centralSize < 0 ? e.size : e.centralSize).two(e.name.length).two(e.extra.length).two(0).two(0).two(0);
      out.four(0).four(e.offset < 0 ? offsets[i] : e.offset).put(e.name).put(e.extra);
    }
    final long size = out.size() - directory;
    if (zip64 != null) {
      final long end = out.size();
      out.four(0x06064b50).eight(44).two(45).two(45).four(0).four(0).eight(zip64[0]).eight(zip64[0]).eight(zip64[1]).eight(zip64[2]);
      out.four(0x07064b50).four(0).eight(zip64[3] < 0 ? end : zip64[3]).four(1);
    }
    final long told = count < 0 ? entries.size() : count;
    out.four(0x06054b50).two(0).two(0).two(told).two(told).four(directorySize < 0 ? size : directorySize);
    out.four(directoryOffset < 0 ? directory : directoryOffset).two(comment.length).put(comment);
    return out.toByteArray();
  }

  /** Sets the times of all entries to the same one, so that saving twice gives the same bytes. */
  static byte[] timeless(byte[] archive) {
    final ByteBuffer bytes = ByteBuffer.wrap(archive).order(ByteOrder.LITTLE_ENDIAN);
    int end = archive.length - 22;
    while (bytes.getInt(end) != 0x06054b50) --end;
    int at = bytes.getInt(end + 16);
    for (int i = bytes.getShort(end + 10) & 0xffff; i > 0; --i) {
      bytes.putInt(at + 12, 0x21);
      bytes.putInt(bytes.getInt(at + 42) + 10, 0x21);
      at += 46 + bytes.getShort(at + 28) + bytes.getShort(at + 30) + bytes.getShort(at + 32);
    }
    return archive;
  }

  /** An extra field of zip64, with these numbers. */
  static byte[] zip64Extra(long... numbers) {
    final Bytes out = new Bytes().two(1).two(8L * numbers.length);
    for (long number : numbers) out.eight(number);
    return out.toByteArray();
  }

  /** Little-endian. */
  private static final class Bytes extends ByteArrayOutputStream {
    Bytes two(long value) {
      write((int) value);
      write((int) (value >> 8));
      return this;
    }

    Bytes four(long value) {
      return two(value & 0xffff).two((value & MASK) >> 16);
    }

    Bytes eight(long value) {
      return four(value & MASK).four(value >>> 32);
    }

    Bytes put(byte[] bytes) {
      writeBytes(bytes);
      return this;
    }
  }
}
