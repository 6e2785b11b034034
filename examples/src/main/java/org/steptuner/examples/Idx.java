// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.io.BufferedInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;

/**
 * An array of bytes in an IDX file, the format of MNIST and its relatives.
 *
 * <pre>
 * 0 0 8 n                  magic: unsigned bytes, n dimensions
 * d1 .. dn                 sizes, 32 bits each, big-endian
 * d1 * .. * dn bytes       the last dimension varies fastest
 * </pre>
 *
 * @param sizes of the dimensions
 * @param bytes the elements, unsigned
 */
record Idx(int[] sizes, byte[] bytes) {
  private static final int UNSIGNED_BYTE = 8;

  /**
   * Reads a file, compressed by gzip if its name says so.
   *
   * @param wanted the sizes that it must have
   * @throws DataException if it is no such file, truncated, or longer than it says
   */
  static Idx read(Path file, int... wanted) {
    try (InputStream in = open(file)) {
      return read(in, file, wanted);
    } catch (EOFException | ZipException e) {
      throw new DataException(file + " is damaged or truncated (" + e.getMessage() + ")", e);
    } catch (IOException e) {
      throw new DataException("cannot read " + file + ": " + e, e);
    }
  }

  private static Idx read(InputStream in, Path file, int[] wanted) throws IOException {
    final byte[] header = in.readNBytes(4 + 4 * wanted.length);
    final ByteBuffer words = ByteBuffer.wrap(header);
    final int magic = UNSIGNED_BYTE << 8 | wanted.length;
    if (header.length < 4 || words.getInt() != magic)
      throw new DataException(
          file + " is not an IDX file of unsigned bytes in " + wanted.length + " dimension(s): it begins with "
              + HexFormat.of().formatHex(header, 0, Math.min(4, header.length)) + ", not " + HexFormat.of().toHexDigits(magic));
    if (header.length < 4 + 4 * wanted.length) throw new DataException(file + " is truncated: it ends within its header");
    final int[] sizes = new int[wanted.length];
    for (int d = 0; d < sizes.length; ++d) sizes[d] = words.getInt();
    if (!Arrays.equals(sizes, wanted))
      throw new DataException(file + " holds an array of " + Arrays.toString(sizes) + ", not of " + Arrays.toString(wanted));
    final int count = Arrays.stream(sizes).reduce(1, Math::multiplyExact);
    final byte[] bytes = in.readNBytes(count);
    if (bytes.length < count)
      throw new DataException(file + " is truncated: it has " + bytes.length + " of " + count + " elements");
    if (in.read() >= 0) throw new DataException(file + " goes on after its " + count + " elements");
    return new Idx(sizes, bytes);
  }

  private static InputStream open(Path file) throws IOException {
    final InputStream raw = new BufferedInputStream(Files.newInputStream(file), 1 << 16);
    if (!file.toString().endsWith(".gz")) return raw;
    try {
      return new GZIPInputStream(raw, 1 << 16);
    } catch (IOException e) {
      raw.close();
      throw e;
    }
  }
}
