// SPDX-License-Identifier: Apache-2.0
package org.steptuner.torture;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.steptuner.CheckpointFolder;
import org.steptuner.Optimizer;

/** The ways to save that a kill may interrupt. */
enum SaveMode {
  /** {@link Optimizer#save}, again and again to the same file. */
  DIRECT(1) {
    @Override
    Saver open(Optimizer optimizer, Path folder) {
      return () -> {
        optimizer.save(folder.resolve(FILE));
        return optimizer.steps();
      };
    }
  },
  /** {@link Optimizer#saveInBackground}, again and again to the same file, while training goes on. */
  BACKGROUND(1) {
    @Override
    Saver open(Optimizer optimizer, Path folder) {
      return new InBackground(optimizer, () -> optimizer.saveInBackground(folder.resolve(FILE)));
    }
  },
  /** {@link CheckpointFolder#save}, which removes all but the newest files. */
  KEPT(SaveMode.KEPT_FILES + 1) {
    @Override
    Saver open(Optimizer optimizer, Path folder) {
      final CheckpointFolder files = CheckpointFolder.of(folder).keep(KEPT_FILES);
      return () -> {
        files.save(optimizer);
        return optimizer.steps();
      };
    }
  },
  /** {@link CheckpointFolder#saveInBackground}. */
  KEPT_IN_BACKGROUND(SaveMode.KEPT_FILES + 1) {
    @Override
    Saver open(Optimizer optimizer, Path folder) {
      final CheckpointFolder files = CheckpointFolder.of(folder).keep(KEPT_FILES);
      return new InBackground(optimizer, () -> files.saveInBackground(optimizer));
    }
  };

  private static final String FILE = "run.checkpoint";
  private static final int KEPT_FILES = 3;

  /** How many complete files there may be: with those that a killed process had no time to remove. */
  final int mostFiles;

  SaveMode(int mostFiles) {
    this.mostFiles = mostFiles;
  }

  /** Saves the optimizer as it is now. */
  interface Saver {
    /** Returns the step of a file of this saver that is certainly on the disk now, or -1 if there is none yet. */
    long save();
  }

  abstract Saver open(Optimizer optimizer, Path folder);

  /** The complete files in a folder, the newest last. */
  List<Path> files(Path folder) {
    if (mostFiles > 1) return CheckpointFolder.of(folder).files();
    final Path file = folder.resolve(FILE);
    return Files.exists(file) ? List.of(file) : List.of();
  }

  /** A call that begins a save returns when the save before it has ended. */
  private static final class InBackground implements Saver {
    private final Optimizer optimizer;
    private final Runnable begin;
    private long begun = -1;

    InBackground(Optimizer optimizer, Runnable begin) {
      this.optimizer = optimizer;
      this.begin = begin;
    }

    @Override
    public long save() {
      begin.run();
      final long ended = begun;
      begun = optimizer.steps();
      return ended;
    }
  }
}
