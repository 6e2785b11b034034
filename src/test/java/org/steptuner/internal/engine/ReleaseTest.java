// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.steptuner.Refusal.assertRefused;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Scope;
import org.steptuner.TestTensors;

/** Slots and sweeps that a plan frees while it lives: what else it has goes on, and what uses them says that they are gone. */
class ReleaseTest {
  private static TestTensors tensors() {
    return new TestTensors().add("a", DataType.FLOAT32, 300).add("b", DataType.FLOAT32, 5000).parameters(i -> 1).gradients(i -> 2);
  }

  private static Plan plan(TestTensors tensors) {
    return new Plan(tensors.on(Device.cpu(1)), List.of("momentum", "square", "other"), Scope.ALL);
  }

  private static Sweep sgd(Plan plan) {
    final Sweep sweep = plan.bind("fixed_rate", "sgd");
    sweep.put("gradientScale", 1).put("weightDecay", 0).put("rate", 0.5).setAll();
    return sweep;
  }

  @Test
  void aSlotThatWasReleasedIsNoSlot() {
    try (TestTensors tensors = tensors(); Plan plan = plan(tensors)) {
      final Sweep adam = plan.bind("fixed_rate", "adam");
      for (String name : adam.coefficients()) adam.put(name, 0.5);
      adam.setAll();
      adam.run();
      plan.fill("other", 7);
      plan.release("square");
      assertEquals(List.of("momentum", "other"), plan.slots());
      assertRefused(IllegalArgumentException.class, () -> plan.release("square"), "'square'");
      assertRefused(IllegalArgumentException.class, () -> plan.fill("square", 0), "'square'");
      assertRefused(IllegalArgumentException.class, () -> plan.address("square", 0), "'square'");
      assertRefused(IllegalArgumentException.class, () -> plan.bytes("square", 0), "'square'");
      assertRefused(IllegalArgumentException.class, () -> plan.write("square", 0, 0, new byte[4], 4), "'square'");
      assertRefused(IllegalArgumentException.class, adam::run, "operand square has no slot");
      assertRefused(IllegalArgumentException.class, () -> plan.bind("fixed_rate", "adam"), "operand square has no slot");
      final double before = tensors.parameters(0).get(0);
      sgd(plan).run();
      assertEquals(before - 1, tensors.parameters(0).get(0), 1e-6);
      plan.addScratch("square"); // a new one of this name
      final byte[] content = new byte[4];
      plan.read("other", 1, 0, content, 4);
      assertEquals(7f, ByteBuffer.wrap(content).order(ByteOrder.nativeOrder()).getFloat());
      assertNotEquals(0, plan.address("square", 1));
      assertEquals(List.of("momentum", "other"), plan.slots());
    }
  }

  @Test
  void aSweepThatWasReleasedSaysSo() {
    try (TestTensors tensors = tensors(); Plan plan = plan(tensors)) {
      final Sweep gone = sgd(plan);
      final Sweep stays = sgd(plan);
      gone.run();
      gone.release();
      final double before = tensors.parameters(0).get(0);
      for (Runnable use : List.<Runnable>of(gone::run, gone::await, gone::setAll, gone::bytes, gone::release))
        assertRefused(IllegalStateException.class, use::run, "released", "fixed_rate|sgd");
      assertEquals(before, tensors.parameters(0).get(0));
      stays.run();
      assertEquals(before - 1, tensors.parameters(0).get(0), 1e-6);
    }
  }

  /** The trainer may hold the buffers of a vector longer than the library needs the slot. */
  @Test
  void theBuffersOfAVectorStayMemory() {
    try (TestTensors tensors = tensors(); Plan plan = plan(tensors)) {
      final SlotVector vector = new SlotVector(plan, "other");
      final FloatBuffer lent = vector.floats(1);
      plan.fill("other", 3);
      plan.release("other");
      assertEquals(List.of("momentum", "square"), plan.slots());
      lent.put(4999, 5);
      assertEquals(3, lent.get(0));
      assertEquals(5, lent.get(4999));
    }
  }
}
