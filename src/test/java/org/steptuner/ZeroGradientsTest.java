// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static java.nio.file.StandardOpenOption.CREATE;
import static java.nio.file.StandardOpenOption.READ;
import static java.nio.file.StandardOpenOption.WRITE;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.rule.ScheduleFreeSGD;
import org.steptuner.rule.SGD;
import org.steptuner.rule.SuppliedUpdate;
import org.steptuner.tuner.FixedRate;

/** One call zeroes the gradients of all tensors, and nothing else. */
class ZeroGradientsTest {
  private static TestTensors tensors(int offset) {
    return new TestTensors()
        .add("large", FLOAT32, FLOAT32, 100_003, offset)
        .group("second")
        .add("double", FLOAT64, FLOAT64, 4097, offset)
        .add("empty", FLOAT32, 0)
        .group(ParameterSet.DEFAULT_GROUP)
        .add("half", FLOAT32, FLOAT16, 777, offset)
        .add("short", BFLOAT16, BFLOAT16, 1, offset)
        .parameters(i -> 1)
        .gradients(i -> 1 + i % 3);
  }

  @ParameterizedTest
  @MethodSource("org.steptuner.TestDevices#all")
  void allGradientsAndNothingElse(TestDevices.Candidate candidate) {
    final Device device = candidate.open();
    for (int offset : new int[] {0, 1, 6})
      try (TestTensors tensors = tensors(offset);
          TestTensors before = tensors(offset);
          Optimizer optimizer = FixedRate.of(0.5, SGD.defaults()).build(tensors.on(device))) {
            for (int round = 0; round < 3; ++round) {
              tensors.gradients(i -> 1 + i % 3);
              optimizer.zeroGradients();
              optimizer.step(); // by which the gradients are 0 everywhere
              tensors.assertSameParameters(before, device + ", offset " + offset);
              for (int t = 0; t < 5; ++t) {
                assertArrayEquals(new double[tensors.gradients(t).count()], tensors.gradients(t).toDoubles());
                TestTensors.assertSameBits(before.updates(t), tensors.updates(t), "update " + t);
              }
              tensors.assertFencesStand(device + ", offset " + offset);
            }
          }
  }

  /** That is what it is for: gradients that are not finite would spoil what is added to them. */
  @Test
  void afterASkippedStepAndWhileEvaluating() {
    try (TestTensors tensors = tensors(0);
        Optimizer optimizer = FixedRate.of(0.5, ScheduleFreeSGD.defaults()).build(tensors.on(Device.cpu(2)))) {
      optimizer.step();
      tensors.gradients(0).set(9, Double.NaN);
      assertTrue(optimizer.step().skipped());
      optimizer.zeroGradients();
      assertEquals(0, tensors.gradients(0).get(9));
      optimizer.evaluating();
      final double[] evaluated = tensors.values();
      tensors.gradients(i -> 7);
      optimizer.zeroGradients();
      assertTrue(optimizer.isEvaluating());
      assertArrayEquals(evaluated, tensors.values());
      assertEquals(0, tensors.gradients(1).get(4096));
      optimizer.training();
      assertEquals(StepReport.Skip.NONE, optimizer.step().skip());
    }
  }

  /** Gradients that have moved are zeroed where they are now; where there are none, nothing is. */
  @Test
  void whereTheGradientsAreNow() {
    try (TestTensors first = tensors(0);
        TestTensors second = tensors(1);
        Optimizer optimizer = FixedRate.of(0.5, new SuppliedUpdate()).nonFinite(NonFinite.UNCHECKED).build(first.on(Device.cpu(2)))) {
      optimizer.zeroGradients();
      first.gradients(i -> 4);
      optimizer.rebind("half", first.parameters(3).address(), second.gradients(3).address());
      optimizer.rebind("double", first.parameters(1).address(), 0);
      optimizer.zeroGradients();
      assertEquals(4, first.gradients(3).get(5));
      assertEquals(0, second.gradients(3).get(5));
      assertEquals(4, first.gradients(1).get(5));
      assertEquals(0, first.gradients(0).get(5));
      // Several tensors may have one place for their gradients, or a part of it.
      optimizer.rebind("half", first.parameters(3).address(), first.gradients(0).address());
      first.gradients(i -> 4);
      first.gradients(0).fill(i -> 4);
      assertRefused(
          IllegalArgumentException.class,
          () -> optimizer.rebind("double", first.parameters(1).address(), first.parameters(1).address() + 8), "overlap");
      optimizer.rebind("double", first.parameters(1).address(), first.gradients(0).address() + 160_000);
      optimizer.zeroGradients();
      assertArrayEquals(new double[100_003], first.gradients(0).toDoubles());
      first.assertFencesStand("gradients that coincide");
    }
  }

  /** Gradients are only read by everything else: here it shows that they cannot be written, and before any is. */
  @Test
  void readOnlyGradientsAreRefused(@TempDir Path folder) throws IOException {
    try (FileChannel file = FileChannel.open(folder.resolve("map"), READ, WRITE, CREATE); TestTensors tensors = tensors(0)) {
      file.truncate(0).position(8191).write(ByteBuffer.allocate(1));
      final MappedByteBuffer map = file.map(FileChannel.MapMode.READ_ONLY, 0, 8192);
      try (Pointer pointer = new Pointer(map);
          Optimizer optimizer = FixedRate.of(0.5, SGD.defaults()).build(tensors.on(Device.cpu(1)))) {
        optimizer.zeroGradients();
        tensors.gradients(i -> 3);
        final long there = tensors.gradients(3).address();
        optimizer.rebind("half", tensors.parameters(3).address(), pointer.address());
        for (int again = 0; again < 2; ++again)
          assertRefused(IllegalArgumentException.class, optimizer::zeroGradients, "gradient", "'half'", "write");
        assertEquals(3, tensors.gradients(0).get(0));
        assertEquals(3, tensors.gradients(4).get(0));
        optimizer.step(); // reading is enough
        optimizer.rebind("half", tensors.parameters(3).address(), there);
        optimizer.zeroGradients();
        assertEquals(0, tensors.gradients(0).get(0));
        assertEquals(0, tensors.gradients(3).get(776));
      }
    }
  }
}
