// SPDX-License-Identifier: Apache-2.0
package org.steptuner.torture;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.steptuner.Optimizer;

/** The ways to save that a kill may interrupt. */
enum SaveMode {
  /** {@link Optimizer#save}, again and again to the same file. */
  DIRECT {
    @Override
    Saver open(Optimizer optimizer, Path folder) {
      return () -> {
        optimizer.save(folder.resolve(FILE));
        return optimizer.steps();
      };
    }

    @Override
    List<Path> files(Path folder) {
      final Path file = folder.resolve(FILE);
      return Files.exists(file) ? List.of(file) : List.of();
    }
  };

  private static final String FILE = "run.checkpoint";

  /** Saves the optimizer as it is now. */
  interface Saver {
    /** Returns the step that is on the disk now. */
    long save();
  }

  abstract Saver open(Optimizer optimizer, Path folder);

  /** The complete files in a folder, the newest last. */
  abstract List<Path> files(Path folder);
}
