// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.FLOAT64;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledIfSystemProperty;
import org.junit.jupiter.api.io.TempDir;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;

/**
 * A tensor of more than 4 GiB, and a small one behind it: sizes and places that need the 64-bit form of the zip format. It takes 9 GB of
 * memory, and as much on the disk, and so runs only when it is asked for.
 */
@EnabledIfSystemProperty(named = "steptuner.test.large", matches = "true")
class LargeCheckpointTest {
  private static final long COUNT = (1L << 29) + 77;

  @TempDir
  Path folder;

  @Test
  void sizesBeyondFourGigabytes() throws IOException {
    final Pointer parameters = Pointer.calloc(COUNT, 8);
    final Pointer gradients = Pointer.calloc(COUNT, 8);
    try (TestTensors small = TestTensors.of(FLOAT64, 5).parameters(i -> i + 1)) {
      final DoublePointer x = new DoublePointer(parameters).capacity(COUNT);
      final ParameterSet set =
          ParameterSet.on(Device.cpu(2)).add("x", parameters.address(), gradients.address(), COUNT, FLOAT64)
              .add("y", small.parameters(0).address(), small.gradients(0).address(), 5, FLOAT64).build();
      try (Optimizer optimizer = FixedRate.of(1, SGD.defaults()).build(set)) {
        for (boolean background : new boolean[] {false, true}) {
          for (long at : new long[] {0, 1 << 28, COUNT - 1}) x.put(at, at + 0.5);
          final Path file = folder.resolve("f");
          if (background) optimizer.saveInBackground(file);
          else optimizer.save(file);
          optimizer.awaitSaved();
          assertTrue(Files.size(file) > 8 * COUNT);
          for (long at : new long[] {0, 1 << 28, COUNT - 1}) x.put(at, -1);
          small.parameters(i -> -1);
          optimizer.restore(file);
          for (long at : new long[] {0, 1 << 28, COUNT - 1}) assertEquals(at + 0.5, x.get(at));
          for (int i = 0; i < 5; ++i) assertEquals(i + 1, small.parameters(0).get(i));
        }
      }
    } finally {
      Pointer.free(parameters);
      Pointer.free(gradients);
    }
  }
}
