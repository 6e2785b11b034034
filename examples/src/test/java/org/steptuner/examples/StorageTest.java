// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.PointerScope;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.global.torch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;

class StorageTest {
  /** A network in the types of each storage learns which of two numbers is larger. */
  @ParameterizedTest
  @EnumSource
  void learns(StorageRuns.Storage storage) {
    for (StorageRuns.Tuner tuner : StorageRuns.Tuner.values())
      try (PointerScope scope = new PointerScope();
          Mlp model = new Mlp(1, storage.weights(), torch::relu, 2, 16, 2);
          Optimizer optimizer = StorageRuns.run(tuner, storage).optimizer().build(model.parameters(Device.cpu(1)))) {
            torch.manual_seed(1);
            final Tensor inputs = torch.randn(64, 2);
            final Tensor labels = inputs.select(1, 0).gt(inputs.select(1, 1)).to(torch.ScalarType.Long);
            final double first = model.lossAndGradients(inputs, labels);
            double loss = first;
            for (int step = 0; step < 400; ++step) {
              assertFalse(optimizer.step(loss).skipped());
              loss = model.lossAndGradients(inputs, labels);
            }
            assertTrue(loss < 0.9 * first, tuner + ": " + first + " to " + loss);
          }
  }

  @Test
  void theTableComparesMeans() {
    final List<StorageReport.Row> rows = new ArrayList<>();
    for (StorageRuns.Tuner tuner : StorageRuns.Tuner.values())
      for (StorageRuns.Storage storage : StorageRuns.Storage.values())
        rows.add(new StorageReport.Row(tuner, storage, new double[] {0.8, 0.82 + 0.01 * storage.ordinal()}, new double[] {0.5, 0.3}));
    final String[] lines = new StorageReport(rows, 3, 2, "CPU").table().split("\n");
    assertEquals("| AdamW, 1e-3 | float32 | 0.8000 0.8200 | 0.8100 | +0.00 | 0.4000 |", lines[2]);
    assertEquals("| AdamW, 1e-3 | state bfloat16 | 0.8000 0.8300 | 0.8150 | +0.50 | 0.4000 |", lines[3]);
    assertEquals(2 + rows.size(), lines.length);
  }

  @Test
  void anArenaRoundsToTheNearest() {
    try (FlatArena arena = new FlatArena(2, DataType.BFLOAT16)) {
      final Tensor tensor = arena.tensor("x", 2);
      arena.put(0, 1 + 0x1p-8f); // halfway: the even one
      arena.put(1, -1 - 0x1.8p-8f);
      assertEquals(1, tensor.select(0, 0).item_float());
      assertEquals(-1 - 0x1p-7f, tensor.select(0, 1).item_float());
    }
  }
}
