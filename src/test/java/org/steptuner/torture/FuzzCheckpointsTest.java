// SPDX-License-Identifier: Apache-2.0
package org.steptuner.torture;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.steptuner.MemoryFolder;

/** A few of the damaged files that .ci/fuzz-checkpoints makes ten thousand of. */
class FuzzCheckpointsTest {
  @TempDir(factory = MemoryFolder.class)
  Path folder;

  @Test
  void damagedFilesAreRefusedOrRestoredAsTheyWereSaved() throws IOException {
    final FuzzCheckpoints fuzz = new FuzzCheckpoints(1, folder);
    fuzz.run(0, 8 * Damage.values().length, 300);
    assertEquals(List.of(), fuzz.failures());
    // Every outcome but an error of reading, so the files were neither all broken nor all sound.
    for (FuzzCheckpoints.Outcome outcome : List.of(
        FuzzCheckpoints.Outcome.REFUSED, FuzzCheckpoints.Outcome.AS_SAVED, FuzzCheckpoints.Outcome.AS_EDITED))
      assertTrue(fuzz.count(outcome) > 0, fuzz.table());
  }

  /** What a seed gives does not depend on the time or on what was tested before. */
  @Test
  void aFileComesAgain() throws IOException {
    final FuzzCheckpoints one = new FuzzCheckpoints(2, folder);
    final FuzzCheckpoints other = new FuzzCheckpoints(2, folder);
    other.run(100, 110, 300);
    for (int i = 0; i < Damage.values().length; ++i) assertArrayEquals(one.content(i), other.content(i));
  }
}
