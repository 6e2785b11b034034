// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import org.steptuner.internal.engine.CheckpointFiles;
import org.steptuner.internal.engine.SavesInBackground;

/**
 * A folder with the checkpoints of one run, of which the newest are kept.
 *
 * <pre>{@code
 * CheckpointFolder checkpoints = CheckpointFolder.of(Path.of("run-7")).keep(3);
 * checkpoints.restoreLatest(optimizer);          // nothing happens in an empty folder
 * for (...) {
 *   optimizer.step();
 *   if (optimizer.steps() % 1000 == 0) checkpoints.saveInBackground(optimizer);
 * }
 * }</pre>
 *
 * <p>A file is named by the steps that its optimizer has made: {@code step-000000001000.checkpoint}. The newest file is that of the most
 * steps. A run that goes back to an older file and takes another way from there needs a folder of its own, or the newer files removed.
 *
 * <p>Other files in the folder are left alone. The folder is made when the first file is saved.
 */
public final class CheckpointFolder {
  private final Path folder;
  private final int kept;

  /**
   * What was restored.
   *
   * @param file the file that it was restored from
   * @param restored what the file has, and what differed
   * @param skipped newer files that are damaged or cannot be read, the newest first, with the reason
   */
  public record Latest(Path file, Restored restored, Map<Path, RuntimeException> skipped) {
    /** Makes a copy of the map. */
    public Latest {
      Objects.requireNonNull(file, "file");
      Objects.requireNonNull(restored, "restored");
      skipped = Collections.unmodifiableMap(new LinkedHashMap<>(skipped));
    }
  }

  private CheckpointFolder(Path folder, int kept) {
    this.folder = folder;
    this.kept = kept;
  }

  /**
   * A folder of which all checkpoints are kept.
   *
   * @param folder on any file system; it need not exist yet, nor the folder that it is in
   */
  public static CheckpointFolder of(Path folder) {
    return new CheckpointFolder(Objects.requireNonNull(folder, "folder"), Integer.MAX_VALUE);
  }

  /**
   * The same folder, of which the newest checkpoints are kept. A save removes the older ones, when its own file is whole and in its place.
   * A truncated file does not count as one of those that are kept.
   *
   * @param files how many: at least 1
   * @throws IllegalArgumentException if it is less
   */
  public CheckpointFolder keep(int files) {
    if (files < 1) throw new IllegalArgumentException("files must be at least 1, not " + files);
    return new CheckpointFolder(folder, files);
  }

  /**
   * Saves an optimizer as {@link Optimizer#save(Path)} does.
   *
   * @return the file
   * @throws UncheckedIOException if it cannot be written, or an older file cannot be removed
   */
  public Path save(Optimizer optimizer) {
    return save(optimizer, Map.of());
  }

  /**
   * Saves an optimizer as {@link Optimizer#save(Path, Map)} does.
   *
   * @return the file
   * @throws UncheckedIOException if it cannot be written, or an older file cannot be removed
   */
  public Path save(Optimizer optimizer, Map<String, byte[]> entries) {
    final Path file = fileOf(optimizer);
    optimizer.save(file, entries);
    CheckpointFiles.keep(folder, kept, file);
    return file;
  }

  /**
   * Saves an optimizer as {@link Optimizer#saveInBackground(Path)} does. Older files are removed in the background too.
   *
   * @return the file that is being written
   */
  public Path saveInBackground(Optimizer optimizer) {
    return saveInBackground(optimizer, Map.of());
  }

  /**
   * Saves an optimizer as {@link Optimizer#saveInBackground(Path, Map)} does. Older files are removed in the background too. If that fails,
   * it is an error of this save.
   *
   * @return the file that is being written
   * @throws IllegalArgumentException if the optimizer is not one of this library's
   */
  public Path saveInBackground(Optimizer optimizer, Map<String, byte[]> entries) {
    if (!(optimizer instanceof SavesInBackground saver))
      throw new IllegalArgumentException("optimizer must be one that a tuner's build made, not " + optimizer);
    final Path file = fileOf(optimizer);
    saver.saveInBackground(file, entries, () -> CheckpointFiles.keep(folder, kept, file));
    return file;
  }

  private Path fileOf(Optimizer optimizer) {
    final long steps = optimizer.steps();
    CheckpointFiles.createFolder(folder);
    return folder.resolve(CheckpointFiles.name(steps));
  }

  /**
   * The checkpoints in the folder, the oldest first; none if there is no folder.
   *
   * @throws UncheckedIOException if the folder cannot be read
   */
  public List<Path> files() {
    return CheckpointFiles.list(folder);
  }

  /**
   * The newest checkpoint in the folder, if there is any.
   *
   * @throws UncheckedIOException if the folder cannot be read
   */
  public Optional<Path> latest() {
    final List<Path> files = files();
    return files.isEmpty() ? Optional.empty() : Optional.of(files.get(files.size() - 1));
  }

  /**
   * Restores an optimizer from the newest checkpoint that is not damaged, if nothing differs:
   * {@link #restoreLatest(Optimizer, RestoreOptions)} with {@link RestoreOptions#strict()}.
   *
   * @return the file that was taken, and those that were not; empty if there is no checkpoint
   * @throws CheckpointException if that file is of another optimizer, or all are damaged
   * @throws UncheckedIOException if the folder cannot be read, or an earlier save in the background failed
   */
  public Optional<Latest> restoreLatest(Optimizer optimizer) {
    return restoreLatest(optimizer, RestoreOptions.strict());
  }

  /**
   * Restores an optimizer from the newest checkpoint, as {@link Optimizer#restore(Path, RestoreOptions)} does. If that is damaged or cannot
   * be read, the next older one is taken, and so on.
   *
   * @param options what may differ
   * @return the file that was taken, and those that were not; empty if there is no checkpoint
   * @throws CheckpointException if the newest one that is not damaged is of another optimizer, or differs in what the options do not
   *     allow; if all are damaged, with the reason of each as a suppressed exception. Nothing has changed then
   * @throws UncheckedIOException if the folder cannot be read, or an earlier save in the background failed
   */
  public Optional<Latest> restoreLatest(Optimizer optimizer, RestoreOptions options) {
    Objects.requireNonNull(options, "options");
    optimizer.awaitSaved();
    final List<Path> files = files();
    final Map<Path, RuntimeException> skipped = new LinkedHashMap<>();
    for (int f = files.size() - 1; f >= 0; --f) {
      final Path file = files.get(f);
      try {
        return Optional.of(new Latest(file, optimizer.restore(file, options), skipped));
      } catch (UncheckedIOException e) {
        skipped.put(file, e);
      } catch (CheckpointException e) {
        if (!CheckpointFiles.isDamaged(file)) throw e;
        skipped.put(file, e);
      }
    }
    if (skipped.isEmpty()) return Optional.empty();
    final CheckpointException none =
        new CheckpointException("none of the " + skipped.size() + " checkpoints in " + folder + " can be read");
    skipped.values().forEach(none::addSuppressed);
    throw none;
  }
}
