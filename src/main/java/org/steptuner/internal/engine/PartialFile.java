// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Instant;
import java.util.Set;
import java.util.concurrent.ThreadLocalRandom;

/**
 * The hidden file that a save writes before it takes its name, on the default file system. Its name has one length and is of ASCII letters,
 * however long the target's is, and of whatever characters.
 *
 * <p>The writer holds a lock on it, which ends with the process. So a file whose lock can be taken is one that a killed process left, and
 * {@link #removeAbandoned} removes it. The lock belongs to the process as a whole, and closing any stream of the file would end it:
 * therefore nobody opens files of the own process, which the name tells.
 */
final class PartialFile implements AutoCloseable {
  static final Set<PosixFilePermission> PRIVATE = PosixFilePermissions.fromString("rw-------");

  private static final String PREFIX = ".steptuner-";
  private static final String SUFFIX = ".partial";
  /** Of files that nobody may take for abandoned, since they have no lock. */
  static final String UNLOCKED = ".unlocked";
  private static final String OWN = PREFIX + process() + "-";

  private final Path path;
  private final FileOutputStream stream;
  private boolean moved;

  private PartialFile(Path path, FileOutputStream stream) {
    this.path = path;
    this.stream = stream;
  }

  /** Number and start of the process: in containers a number comes again. */
  private static String process() {
    try {
      final ProcessHandle own = ProcessHandle.current();
      return Long.toString(own.pid(), 36) + "-" + Long.toString(own.info().startInstant().map(Instant::toEpochMilli).orElse(0L), 36);
    } catch (SecurityException e) { // a security manager need not tell
      return Long.toString(ThreadLocalRandom.current().nextLong() >>> 1, 36);
    }
  }

  /** A name that no other file has. */
  static String newName(String suffix) {
    return OWN + Long.toHexString(ThreadLocalRandom.current().nextLong()) + suffix;
  }

  /**
   * A new and empty one.
   *
   * @param restricted whether nobody but the owner may read it; otherwise it has the permissions of any new file
   */
  static PartialFile create(Path folder, boolean restricted) throws IOException {
    while (true) {
      final Path path = folder.resolve(newName(SUFFIX));
      try {
        if (restricted) Files.createFile(path, PosixFilePermissions.asFileAttribute(PRIVATE));
        else Files.createFile(path);
      } catch (FileAlreadyExistsException e) {
        continue;
      }
      final PartialFile created;
      try {
        created = new PartialFile(path, new FileOutputStream(path.toFile()));
      } catch (IOException | RuntimeException | Error e) {
        Files.deleteIfExists(path);
        throw e;
      }
      // Before it was locked, another process may have taken it for an abandoned one.
      boolean owned = false;
      try {
        owned = created.lock() && Files.exists(path, LinkOption.NOFOLLOW_LINKS);
      } catch (RuntimeException | Error e) {
        created.close();
        throw e;
      }
      if (owned) return created;
      created.close();
    }
  }

  /** False where another process has the lock. Where a file system has no locks, nobody can take it for abandoned. */
  private boolean lock() {
    try {
      return stream.getChannel().tryLock() != null;
    } catch (IOException | OverlappingFileLockException e) {
      return true;
    }
  }

  Path path() {
    return path;
  }

  FileOutputStream stream() {
    return stream;
  }

  /** It has another name now. */
  void moved() {
    moved = true;
  }

  /** Deletes it, unless it was moved. */
  @Override
  public void close() throws IOException {
    try {
      if (!moved) Files.deleteIfExists(path);
    } finally {
      try {
        stream.close();
      } catch (IOException e) {
        // That no longer matters: it is deleted, or its content is on the disk.
      }
    }
  }

  /** Removes what killed processes left in a folder, if there is anything and it may be removed. */
  static void removeAbandoned(Path folder) {
    try (DirectoryStream<Path> partials = Files.newDirectoryStream(folder, PREFIX + "*" + SUFFIX)) {
      for (Path partial : partials) if (!partial.getFileName().toString().startsWith(OWN)) removeIfAbandoned(partial);
    } catch (IOException | DirectoryIteratorException e) {
      return; // a folder that may be written but not read
    }
  }

  private static void removeIfAbandoned(Path partial) {
    if (!Files.isRegularFile(partial, LinkOption.NOFOLLOW_LINKS)) return;
    try (FileChannel channel = FileChannel.open(partial, StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS);
        FileLock lock = channel.tryLock()) {
      if (lock != null) Files.deleteIfExists(partial);
    } catch (IOException | OverlappingFileLockException e) {
      return; // it is somebody else's, or was removed meanwhile
    }
  }
}
