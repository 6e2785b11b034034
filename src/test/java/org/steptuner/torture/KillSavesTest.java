// SPDX-License-Identifier: Apache-2.0
package org.steptuner.torture;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A few of the kills that .ci/kill-saves makes a thousand of. */
class KillSavesTest {
  @TempDir
  Path folder;

  @Test
  void aKilledSaveLeavesAWholeFile() throws IOException, InterruptedException {
    final KillSaves.Outcome outcome = KillSaves.run(24, 1, folder);
    assertEquals(List.of(), outcome.failures());
    assertTrue(outcome.duringSaves() > 0, outcome.toString());
  }
}
