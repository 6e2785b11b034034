// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

class QuickstartTest {
  @Test
  void lossFalls() {
    final double loss = new Quickstart().train();
    assertTrue(loss < 0.2, "loss " + loss);
  }

  @Test
  void snippetsFitIntoFifteenLines() throws IOException {
    for (String file : List.of("Quickstart", "FlatArena")) {
      final List<String> lines = Files.readAllLines(Path.of("src/main/java/org/steptuner/examples", file + ".java"));
      final List<String> trimmed = lines.stream().map(String::strip).toList();
      final int length = trimmed.indexOf("// README snippet: end") - trimmed.indexOf("// README snippet: begin") - 1;
      assertTrue(length > 0 && length <= 15, file + " has a snippet of " + length + " lines");
    }
  }
}
