// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;

/** A test with a checkpoint in a folder of its own. */
abstract class CheckpointFileTest {
  @TempDir(factory = MemoryFolder.class)
  Path folder;

  Path file;

  @BeforeEach
  void name() {
    file = folder.resolve("run.checkpoint");
  }
}
