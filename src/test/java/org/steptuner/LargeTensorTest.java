// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;

import java.nio.file.Files;
import java.nio.file.Path;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;

/**
 * Tensors of more than 2^31 elements, in zero pages that nobody writes and that therefore cost no memory. A step may read them; it is
 * stopped before it would write.
 */
class LargeTensorTest {
  private static final long COUNT = (1L << 31) + 4096 + 77;

  /** Thrown by a reducer, between the sums of a step and its writes. */
  private static final class Stop extends RuntimeException {
    private static final long serialVersionUID = 1;
    final double sum;

    Stop(double sum) {
      this.sum = sum;
    }
  }

  @Test
  void elementsBeyondTwoToTheThirtyFirst() throws Exception {
    final long before = residentBytes();
    Assumptions.assumeTrue(available() > 6L << 30, "too little memory, should zero pages not be shared here");
    final Pointer parameters = Pointer.calloc(COUNT, 2);
    final Pointer gradients = Pointer.calloc(COUNT, 2);
    try {
      Assumptions.assumeTrue(parameters != null && gradients != null, "no address space");
      final BytePointer g = new BytePointer(gradients).capacity(2 * COUNT);
      final ParameterSet set =
          ParameterSet.on(Device.cpu(2)).add("x", parameters.address(), gradients.address(), COUNT, BFLOAT16).build();
      final FixedRate descent = FixedRate.of(1, SGD.defaults());
      try (Optimizer optimizer = descent.build(set)) {
        put(g, (1L << 31) + 5, Double.POSITIVE_INFINITY);
        assertTrue(optimizer.step().skipped());
        assertEquals(Double.POSITIVE_INFINITY, optimizer.report().gradientNorm());
        put(g, (1L << 31) + 5, 0);
        // The last element of all: NaN and no longer Infinity, so it was the removed one that was seen.
        put(g, COUNT - 1, Double.NaN);
        assertTrue(optimizer.step().skipped());
        assertTrue(Double.isNaN(optimizer.report().gradientNorm()));
        put(g, COUNT - 1, 0);
      }
      // Finite values on both sides of 2^31: their sum is exact.
      put(g, 1, 2);
      put(g, (1L << 31) - 1, 3);
      put(g, 1L << 31, 4);
      put(g, COUNT - 1, 5);
      final int[] calls = {0};
      final SumReducer stop =
          (sums, count) -> {
            if (++calls[0] == 2) throw new Stop(sums[0]); // in the first call the processes agree
          };
      try (Optimizer optimizer = descent.sumReducer(stop).build(set)) {
        assertEquals(4 + 9 + 16 + 25, assertThrows(Stop.class, optimizer::step).sum);
      }
      assertTrue(residentBytes() - before < 1L << 30, "zero pages were not written");
    } finally {
      if (parameters != null) Pointer.free(parameters);
      if (gradients != null) Pointer.free(gradients);
    }
  }

  private static void put(BytePointer memory, long element, double value) {
    memory.putShort(2 * element, (short) Formats.encode(BFLOAT16, value));
  }

  private static long available() throws Exception {
    for (String line : Files.readAllLines(Path.of("/proc/meminfo")))
      if (line.startsWith("MemAvailable:")) return Long.parseLong(line.replaceAll("[^0-9]", "")) << 10;
    return 0;
  }

  private static long residentBytes() throws Exception {
    return Long.parseLong(Files.readString(Path.of("/proc/self/statm")).split(" ")[1]) * 4096;
  }
}
