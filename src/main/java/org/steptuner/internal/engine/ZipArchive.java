// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
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
    return WholeFile.uninterrupted(
        () -> {
          if (Files.isDirectory(file)) throw new FileSystemException(file.toString(), null, "it is a folder");
          WholeFile.checkOrdinary(file);
          return WholeFile.isLocal(file) ? zip(file.toFile(), ZipFile.OPEN_READ) : openCopy(file);
        });
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
}
