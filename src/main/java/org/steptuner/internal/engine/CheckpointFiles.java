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
import org.steptuner.CheckpointException;

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
    done("make the folder ", folder, () -> {
      if (Files.isDirectory(folder)) return null;
      Files.createDirectories(folder);
      for (Path above = folder.toAbsolutePath().getParent(); above != null; above = above.getParent()) WholeFile.sync(above);
      return null;
    });
  }

  /** Files with such names, by steps, the fewest first; none where there is no folder. */
  public static List<Path> list(Path folder) {
    return done("read the folder ", folder, () -> {
      final List<Numbered> found = new ArrayList<>();
      try (DirectoryStream<Path> files = Files.newDirectoryStream(folder)) {
        for (Path file : files) {
          final Matcher name = NAME.matcher(file.getFileName().toString());
          if (name.matches() && Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS))
            found.add(new Numbered(file, Long.parseLong(name.group(1))));
        }
      } catch (NoSuchFileException e) {
        return List.of();
      } catch (DirectoryIteratorException e) {
        throw e.getCause();
      }
      found.sort(Comparator.comparingLong(Numbered::steps));
      return found.stream().map(Numbered::file).toList();
    });
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
      if (kept == count) done("remove ", file, () -> Files.deleteIfExists(file));
      else if (holds(file, archive -> archive.has(Checkpoint.MANIFEST))) ++kept;
    }
  }

  /** Whether a checkpoint is not what was once written. */
  public static boolean isDamaged(Path file) {
    return !holds(file, archive -> {
      archive.verify();
      return CheckpointReader.hasAllEntries(archive);
    });
  }

  /** False also of a file that cannot be read, or is damaged. */
  private static boolean holds(Path file, Archive.Reader<Boolean> question) {
    try {
      return Archive.read(file, question);
    } catch (CheckpointException | UncheckedIOException e) {
      return false;
    }
  }

  private static <T> T done(String what, Path file, WholeFile.Work<T> work) {
    try {
      return WholeFile.uninterrupted(() -> {
        // Some providers of file systems throw anything at all once theirs is closed.
        if (!file.getFileSystem().isOpen()) throw new ClosedFileSystemException();
        return work.run();
      });
    } catch (IOException e) {
      throw new UncheckedIOException("cannot " + what + file + ": " + WholeFile.reason(e), e);
    }
  }
}
