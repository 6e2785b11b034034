// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.ClosedFileSystemException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.zip.CRC32;
import java.util.zip.CheckedInputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;

/** Opens zip files, on whatever file system they are. */
final class ZipArchive {
  private static final int READ_AND_DELETE = ZipFile.OPEN_READ | ZipFile.OPEN_DELETE;

  private ZipArchive() {}

  /**
   * Opens a zip file. {@link ZipFile} knows the default file system only: a file of another one is copied into the folder for temporary
   * files. That copy loses its name as soon as it is open, and so its bytes are free when it is closed, or the process ends in any way.
   *
   * <p>It may be called on an interrupted thread.
   *
   * @throws java.util.zip.ZipException if it is no zip file
   * @throws IOException if it cannot be read
   */
  static ZipFile open(Path file) throws IOException {
    try {
      if (Files.isDirectory(file)) throw new FileSystemException(file.toString(), null, "it is a folder");
      WholeFile.checkOrdinary(file);
      return WholeFile.isLocal(file) ? zip(file.toFile(), ZipFile.OPEN_READ) : WholeFile.uninterrupted(() -> openCopy(file));
    } catch (UnsupportedOperationException | ClosedFileSystemException | SecurityException e) {
      throw new IOException(WholeFile.reason(e), e);
    }
  }

  /** Some JDKs make arrays of as many elements as the end of an archive says, and a damaged one may say any number. */
  private static ZipFile zip(File file, int mode) throws IOException {
    try {
      return new ZipFile(file, mode);
    } catch (IllegalArgumentException | NegativeArraySizeException | IndexOutOfBoundsException | OutOfMemoryError e) {
      final ZipException damaged = new ZipException("its directory cannot be read: " + e);
      damaged.initCause(e);
      throw damaged;
    }
  }

  private static ZipFile openCopy(Path file) throws IOException {
    try (InputStream in = Files.newInputStream(file)) {
      final Path copy = Files.createTempFile("steptuner", ".checkpoint");
      try {
        try (OutputStream out = new FileOutputStream(copy.toFile())) {
          in.transferTo(out);
        }
        return zip(copy.toFile(), READ_AND_DELETE);
      } finally {
        Files.deleteIfExists(copy);
      }
    }
  }

  /** Whether a file is a zip archive to its end, with an entry. Reads no entry. */
  static boolean isWhole(Path file, String entry) {
    try (ZipFile zip = open(file)) {
      return zip.getEntry(entry) != null;
    } catch (IOException e) {
      return false;
    }
  }

  /**
   * Reads all of a zip file.
   *
   * @throws IOException if an entry is not what its checksum says, or it cannot be read
   */
  static void verify(Path file) throws IOException {
    try (ZipFile zip = open(file)) {
      for (ZipEntry entry : Collections.list(zip.entries())) {
        final CRC32 sum = new CRC32();
        try (InputStream in = new CheckedInputStream(zip.getInputStream(entry), sum)) {
          in.transferTo(OutputStream.nullOutputStream());
        }
        if (sum.getValue() != entry.getCrc()) throw new ZipException("the checksum of " + entry.getName() + " does not match");
      }
    }
  }
}
