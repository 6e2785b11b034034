// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.extension.AnnotatedElementContext;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.io.TempDirFactory;

/** Temporary folders in memory, where there are such: a checkpoint is forced to the disk, and hundreds of them take their time. */
public final class MemoryFolder implements TempDirFactory {
  static Path parent() {
    final Path memory = Path.of("/dev/shm");
    return Files.isWritable(memory) ? memory : Path.of(System.getProperty("java.io.tmpdir"));
  }

  /** An empty file there, which the caller deletes. */
  public static Path file() throws IOException {
    return Files.createTempFile(parent(), "steptuner", ".checkpoint");
  }

  @Override
  public Path createTempDirectory(AnnotatedElementContext element, ExtensionContext extension) throws IOException {
    return Files.createTempDirectory(parent(), "steptuner");
  }
}
