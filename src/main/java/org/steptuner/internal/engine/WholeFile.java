// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.ClosedByInterruptException;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.ClosedFileSystemException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.NotDirectoryException;
import java.nio.file.Path;
import java.nio.file.ReadOnlyFileSystemException;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.PosixFileAttributeView;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.util.HashSet;
import java.util.Set;

/**
 * Writes a file whole or not at all: the content goes into a hidden file beside the target, which then takes the target's name. Until then
 * the old file stays as it is, and where anything fails, nothing is left beside it.
 *
 * <ul>
 * <li>On the default file system the content is on the disk before it takes the name, and the name is on the disk afterwards, where the
 *     folder may be read. Other file systems keep what they promise themselves: {@code zipfs} writes its archive when it is closed.
 * <li>A symbolic link stays, and the file that it leads to is replaced.
 * <li>A file that is replaced hands on its permissions, and its owner and group where this process may set them.
 * <li>An interrupted thread writes as any other does, and is interrupted afterwards as it was before.
 * </ul>
 */
public final class WholeFile {
  private static final int MOST_LINKS = 40; // as in Linux
  private static final int BUFFER = 1 << 16;

  /** What a file is to hold. */
  public interface Content {
    /** Writes it; the stream is closed by the caller. It may be asked again, for another stream. */
    void writeTo(OutputStream out) throws IOException;
  }

  /** Work with files. */
  interface Work<T> {
    T run() throws IOException;
  }

  private WholeFile() {}

  /**
   * Writes a file.
   *
   * @param file where to write; an existing file is replaced
   * @throws IOException if that cannot be done; {@link #reason} says why
   */
  public static void write(Path file, Content content) throws IOException {
    try {
      final Path target = target(file);
      uninterrupted(
          () -> {
            if (isLocal(target)) writeLocally(target, content);
            else writeElsewhere(target, content);
            return null;
          });
    } catch (UnsupportedOperationException | ClosedFileSystemException | SecurityException e) {
      throw new IOException(reason(e), e); // as providers of file systems throw
    }
  }

  /** Why a file could not be written or read, in words: some exceptions have the name of a file as their message. */
  public static String reason(Exception e) {
    if (e instanceof ReadOnlyFileSystemException) return "the file system is read-only";
    if (e instanceof ClosedFileSystemException) return "the file system is closed";
    if (e instanceof FileSystemException failed) {
      if (failed.getReason() != null) return failed.getReason();
      if (e instanceof NoSuchFileException) return "there is no " + failed.getFile();
      if (e instanceof NotDirectoryException) return failed.getFile() + " is no folder";
      if (e instanceof FileAlreadyExistsException) return failed.getFile() + " is there and is something else";
      if (e instanceof AccessDeniedException) return "no permission for " + failed.getFile();
    }
    return e.getMessage() == null ? e.toString() : e.getMessage();
  }

  /** Whether {@link java.io.File} can name a file: it is on the default file system, and its name can be decoded. */
  static boolean isLocal(Path file) {
    if (file.getFileSystem() != FileSystems.getDefault()) return false;
    try {
      return file.toFile().toPath().equals(file);
    } catch (InvalidPathException | UnsupportedOperationException e) {
      return false;
    }
  }

  /**
   * Does work on a thread that may be interrupted, now or while it works. Some channels are closed by that; the work is then done again.
   * The thread's status is kept.
   */
  static <T> T uninterrupted(Work<T> work) throws IOException {
    boolean interrupted = false;
    try {
      while (true) {
        interrupted |= Thread.interrupted();
        try {
          return work.run();
        } catch (ClosedByInterruptException e) {
          interrupted = true;
        }
      }
    } finally {
      if (interrupted) Thread.currentThread().interrupt();
    }
  }

  /** The file to replace: where the links lead to. */
  private static Path target(Path file) throws IOException {
    Path target = file.toAbsolutePath();
    for (int links = 0; Files.isSymbolicLink(target); ++links) {
      if (links == MOST_LINKS) throw new FileSystemException(file.toString(), null, "its symbolic links go in a circle, or are too many");
      target = target.resolveSibling(Files.readSymbolicLink(target));
    }
    if (target.getFileName() == null || Files.isDirectory(target)) throw new FileSystemException(file.toString(), null, "it is a folder");
    checkOrdinary(target);
    if (!Files.readAttributes(target.getParent(), BasicFileAttributes.class).isDirectory())
      throw new FileSystemException(file.toString(), null, target.getParent() + " is no folder");
    return target;
  }

  /** A pipe would be waited for without end, and a device has no end. */
  static void checkOrdinary(Path file) throws FileSystemException {
    if (Files.exists(file) && !Files.isRegularFile(file))
      throw new FileSystemException(file.toString(), null, "it is a device, a pipe or a socket, and no ordinary file");
  }

  private static void writeLocally(Path target, Content content) throws IOException {
    final Path folder = target.getParent();
    PartialFile.removeAbandoned(folder);
    final PosixFileAttributes old = attributes(target);
    try (PartialFile partial = PartialFile.create(folder, old != null)) {
      write(content, partial.stream());
      partial.stream().getFD().sync();
      if (old != null) handOn(old, partial.path());
      Files.move(partial.path(), target, StandardCopyOption.ATOMIC_MOVE);
      partial.moved();
    }
    sync(folder);
  }

  private static void writeElsewhere(Path target, Content content) throws IOException {
    final PosixFileAttributes old = attributes(target);
    final Path temporary = target.resolveSibling(PartialFile.newName(PartialFile.UNLOCKED));
    final OutputStream out = Files.newOutputStream(temporary, StandardOpenOption.CREATE_NEW, StandardOpenOption.WRITE);
    boolean moved = false;
    try {
      try (out) {
        if (old != null) restrict(temporary);
        write(content, out);
      }
      if (old != null) handOn(old, temporary);
      sync(temporary);
      try {
        Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
      } catch (AtomicMoveNotSupportedException | UnsupportedOperationException e) {
        Files.move(temporary, target, StandardCopyOption.REPLACE_EXISTING);
      }
      moved = true;
      sync(target.getParent());
    } finally {
      if (!moved) Files.deleteIfExists(temporary);
    }
  }

  private static void write(Content content, OutputStream to) throws IOException {
    final OutputStream buffered = new BufferedOutputStream(to, BUFFER);
    content.writeTo(buffered);
    buffered.flush();
  }

  /**
   * Forces a file, or the names in a folder, to the disk, where that is the default file system's. Some disks cannot, and some folders may
   * not be read: that is no failure.
   */
  static void sync(Path file) throws IOException {
    if (file.getFileSystem() != FileSystems.getDefault()) return;
    uninterrupted(
        () -> {
          try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            channel.force(true);
          } catch (ClosedByInterruptException e) {
            throw e;
          } catch (IOException e) {
            return null;
          }
          return null;
        });
  }

  /** Owner, group and permissions; null where there is no file, or the file system has no such things. */
  private static PosixFileAttributes attributes(Path file) throws IOException {
    final PosixFileAttributeView view = Files.getFileAttributeView(file, PosixFileAttributeView.class, LinkOption.NOFOLLOW_LINKS);
    try {
      return view == null || !Files.exists(file) ? null : view.readAttributes();
    } catch (NoSuchFileException e) {
      return null;
    }
  }

  /** Lets nobody but the owner read a file: what it will hold may be as secret as what it will replace. */
  static void restrict(Path file) throws IOException {
    setPermissions(
        Files.getFileAttributeView(file, PosixFileAttributeView.class), PartialFile.PRIVATE);
  }

  /** What a group may do that is not the old one is no more than what all others may do. */
  private static void handOn(PosixFileAttributes old, Path to) throws IOException {
    final PosixFileAttributeView view = Files.getFileAttributeView(to, PosixFileAttributeView.class);
    final PosixFileAttributes now = view.readAttributes();
    final Set<PosixFilePermission> permissions = new HashSet<>(old.permissions());
    try {
      if (!now.group().equals(old.group())) view.setGroup(old.group());
    } catch (IOException e) { // only a member of the group may do that
      if (!permissions.contains(PosixFilePermission.OTHERS_READ)) permissions.remove(PosixFilePermission.GROUP_READ);
      if (!permissions.contains(PosixFilePermission.OTHERS_WRITE)) permissions.remove(PosixFilePermission.GROUP_WRITE);
      if (!permissions.contains(PosixFilePermission.OTHERS_EXECUTE)) permissions.remove(PosixFilePermission.GROUP_EXECUTE);
    }
    setPermissions(view, permissions);
    try {
      if (!now.owner().equals(old.owner())) view.setOwner(old.owner());
    } catch (IOException e) {
      return; // only the superuser may do that
    }
  }

  private static void setPermissions(PosixFileAttributeView view, Set<PosixFilePermission> wanted) throws IOException {
    if (view.readAttributes().permissions().equals(wanted)) return;
    try {
      view.setPermissions(wanted);
    } catch (IOException e) {
      // Some file systems give all files the same permissions.
      if (!wanted.containsAll(view.readAttributes().permissions())) throw e;
    }
  }
}
