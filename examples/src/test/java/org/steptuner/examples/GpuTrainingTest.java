// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import org.junit.jupiter.api.Test;

class GpuTrainingTest {
  @Test
  void saysWhatIsMissingOrTrains() {
    final PrintStream before = System.out;
    final ByteArrayOutputStream printed = new ByteArrayOutputStream();
    System.setOut(new PrintStream(printed, true, StandardCharsets.UTF_8));
    try {
      GpuTraining.main(new String[0]);
    } finally {
      System.setOut(before);
    }
    final String text = printed.toString(StandardCharsets.UTF_8);
    assertTrue(text.startsWith("This example needs a GPU: ") || text.startsWith("ordinary"), text);
  }

  @Test
  void anUnknownWayIsNamed() {
    final var e = assertThrows(IllegalArgumentException.class, () -> GpuTraining.main(new String[] {"ordinary", "sideways"}));
    assertTrue(e.getMessage().contains("'sideways'"), e.getMessage());
  }
}
