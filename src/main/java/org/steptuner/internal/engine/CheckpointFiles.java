// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.ClosedFileSystemException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** The files of a {@link org.steptuner.CheckpointFolder}. */
public final class CheckpointFiles {
  private static final int DIGITS = 12; // as many or more, so that names sort as numbers do
  private static final Pattern NAME = Pattern.compile("step-([0-9]{" + DIGITS + ",18})\\.checkpoint");

  private CheckpointFiles() {}

  private record Numbered(Path file, long steps) {}

  /** The name of the checkpoint after so many steps. */
  public static String name(long steps) {
    final String number = Long.toString(steps);
    return "step-" + "0".repeat(Math.max(0, DIGITS - number.length())) + number + ".checkpoint";
  }

  /** @throws UncheckedIOException if there is none and it cannot be made */
  public static void createFolder(Path folder) {
    try {
      checkOpen(folder);
      if (Files.isDirectory(folder)) return;
      Files.createDirectories(folder);
      WholeFile.sync(folder.toAbsolutePath().getParent());
    } catch (IOException | UnsupportedOperationException | ClosedFileSystemException | SecurityException e) {
      throw failed("make the folder " + folder, e);
    }
  }

  /** Files with such names, by steps, the fewest first; none where there is no folder. */
  public static List<Path> list(Path folder) {
    final List<Numbered> found = new ArrayList<>();
    try {
      checkOpen(folder);
      try (DirectoryStream<Path> files = Files.newDirectoryStream(folder)) {
        for (Path file : files) {
          final Matcher name = NAME.matcher(file.getFileName().toString());
          if (name.matches() && Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS))
            found.add(new Numbered(file, Long.parseLong(name.group(1))));
        }
      }
    } catch (NoSuchFileException e) {
      return List.of();
    } catch (IOException | ClosedFileSystemException | SecurityException e) {
      throw failed("read the folder " + folder, e);
    } catch (DirectoryIteratorException e) {
      throw failed("read the folder " + folder, e.getCause());
    }
    found.sort(Comparator.comparingLong(Numbered::steps));
    return found.stream().map(Numbered::file).toList();
  }

  /**
   * Removes all files but the newest that are whole.
   *
   * @param count how many stay
   * @param saved the file that was just saved: it stays, and is one of them
   */
  public static void keep(Path folder, int count, Path saved) {
    if (count == Integer.MAX_VALUE) return;
    final List<Path> files = list(folder);
    int kept = 1;
    for (int f = files.size() - 1; f >= 0; --f) {
      final Path file = files.get(f);
      if (file.equals(saved)) continue;
      if (kept == count) remove(file);
      else if (ZipArchive.isWhole(file, Checkpoint.MANIFEST)) ++kept;
    }
  }

  private static void remove(Path file) {
    try {
      Files.deleteIfExists(file);
    } catch (IOException | UnsupportedOperationException | ClosedFileSystemException | SecurityException e) {
      throw failed("remove " + file, e);
    }
  }

  /** Whether a checkpoint is not what was once written. */
  public static boolean isDamaged(Path file) {
    try {
      ZipArchive.verify(file);
      return !CheckpointReader.hasAllEntries(file);
    } catch (IOException | UncheckedIOException e) {
      return true;
    }
  }

  /** Some providers of file systems throw anything at all once theirs is closed. */
  private static void checkOpen(Path folder) {
    if (!folder.getFileSystem().isOpen()) throw new ClosedFileSystemException();
  }

  private static UncheckedIOException failed(String what, Exception e) {
    return new UncheckedIOException("cannot " + what + ": " + WholeFile.reason(e), e instanceof IOException io ? io : new IOException(e));
  }
}
