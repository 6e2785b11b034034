// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;

/** Trainers that allocate anew: a tensor can move between any two steps, and its new addresses are checked like its first ones. */
class RebindTest {
  private static final Device CPU = Device.cpu(1);

  /** Gradients in another place at every step, parameters too now and then: the same bits as if nothing had moved. */
  @ParameterizedTest
  @MethodSource("org.steptuner.TestOptimizers#some")
  void movingChangesNothing(Configuration configuration) {
    if (configuration.name().contains("Supplied")) return; // update buffers stay where they are
    try (TestTensors still = tensors(0);
        TestTensors even = tensors(1);
        TestTensors odd = tensors(5);
        Optimizer one = configuration.build(still.on(CPU));
        Optimizer other = configuration.build(even.on(CPU))) {
      for (int step = 0; step < 8; ++step) {
        final int t = step;
        final TestTensors now = step % 2 == 0 ? even : odd;
        final TestTensors before = step % 2 == 0 ? odd : even;
        still.gradients(i -> Math.sin(i + t) + 1);
        now.gradients(i -> Math.sin(i + t) + 1);
        before.gradients(i -> Double.NaN);
        if (step > 0)
          for (int tensor = 0; tensor < 3; ++tensor) {
            now.parameters(tensor).copyFrom(before.parameters(tensor));
            other.rebind("t" + tensor, now.parameters(tensor).address(), now.gradients(tensor).address());
          }
        one.step();
        other.step();
        now.assertSameParameters(still, configuration + ", step " + step);
      }
      even.assertFencesStand("even");
      odd.assertFencesStand("odd");
    }
  }

  /** The set that an optimizer shows is where its tensors are, not where they were. */
  @Test
  void theParametersOfAnOptimizerMoveWithIt() {
    try (TestTensors first = tensors(0);
        TestTensors second = tensors(1);
        Optimizer optimizer = FixedRate.of(0.1, SGD.defaults()).build(first.on(CPU))) {
      final ParameterSet before = optimizer.parameters();
      optimizer.rebind("t1", second.parameters(1).address(), second.gradients(1).address());
      final ParameterSet.Tensor moved = optimizer.parameters().tensors().get(1);
      assertEquals(second.parameters(1).address(), moved.parameterAddress());
      assertEquals(second.gradients(1).address(), moved.gradientAddress());
      assertEquals("second", moved.group());
      assertEquals(before.tensors().get(0), optimizer.parameters().tensors().get(0));
      assertEquals(before.groups(), optimizer.parameters().groups());
      assertEquals(first.parameters(1).address(), before.tensors().get(1).parameterAddress(), "the set that was handed in changed");
      assertRefused(
          IllegalArgumentException.class, () -> optimizer.rebind("t2", second.parameters(1).address(), first.gradients(2).address()),
          "'t2'", "'t1'", "overlap");
      assertRefused(IllegalArgumentException.class, () -> before.at(new long[2], new long[3]), "3 tensors", "2 and 3");
    }
  }

  // Groups out of order: the library's own order of tensors is then another one.
  private static TestTensors tensors(int offset) {
    return new TestTensors()
        .add("t0", FLOAT32, FLOAT32, 5000, offset)
        .group("second")
        .add("t1", FLOAT64, FLOAT64, 129, offset)
        .group(ParameterSet.DEFAULT_GROUP)
        .add("t2", FLOAT32, FLOAT64, 77, offset)
        .parameters(i -> 1 + i % 3);
  }

  @Test
  void badAddressesAreRefusedAndTheOldOnesStay() {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 4).gradients(i -> 1);
        Optimizer optimizer = FixedRate.of(1, SGD.defaults()).build(tensors.on(CPU))) {
      final long x = tensors.parameters(0).address();
      final long g = tensors.gradients(0).address();
      assertRefused(IllegalArgumentException.class, () -> optimizer.rebind("y", x, g), "'y'");
      assertRefused(NullPointerException.class, () -> optimizer.rebind(null, x, g), "tensor");
      assertRefused(IllegalArgumentException.class, () -> optimizer.rebind("x", 0, g), "parameter", "null");
      assertRefused(IllegalArgumentException.class, () -> optimizer.rebind("x", x + 2, g), "parameter", "multiple");
      assertRefused(IllegalArgumentException.class, () -> optimizer.rebind("x", x, g + 1), "gradient", "multiple");
      assertRefused(IllegalArgumentException.class, () -> optimizer.rebind("x", 0x1000, g), "parameter", "not memory");
      assertRefused(IllegalArgumentException.class, () -> optimizer.rebind("x", x, 0x1000), "gradient", "not memory");
      optimizer.step();
      assertArrayEquals(new double[] {-1, -1, -1, -1}, tensors.values());
    }
  }

  /** A null gradient that a rule reads would crash the process at the next step. */
  @Test
  void aNullGradientIsRefused() {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 4);
        Optimizer optimizer = FixedRate.of(1, AdamW.defaults()).build(tensors.on(CPU))) {
      final long x = tensors.parameters(0).address();
      assertRefused(IllegalArgumentException.class, () -> optimizer.rebind("x", x, 0), "gradient", "null");
    }
  }

  /** "Addresses are checked as in ParameterSet": memory of another tensor included. */
  @Test
  void memoryOfAnotherTensorIsRefused() {
    try (TestTensors tensors = new TestTensors().add("a", FLOAT32, 4).add("b", FLOAT32, 4);
        Optimizer optimizer = FixedRate.of(1, AdamW.defaults()).build(tensors.on(CPU))) {
      final long g = tensors.gradients(0).address();
      assertRefused(IllegalArgumentException.class, () -> optimizer.rebind("a", tensors.parameters(1).address(), g), "overlap");
    }
  }

  @Test
  void gradientsOfAnotherTensorAreRefusedForParameters() {
    try (TestTensors tensors = new TestTensors().add("a", FLOAT32, 4).add("b", FLOAT32, 4);
        Optimizer optimizer = FixedRate.of(1, AdamW.defaults()).build(tensors.on(CPU))) {
      final long g = tensors.gradients(1).address();
      assertRefused(IllegalArgumentException.class, () -> optimizer.rebind("a", g, g), "overlap");
    }
  }

  /** An empty tensor has no memory to be checked. */
  @Test
  void anEmptyTensorGoesAnywhere() {
    try (TestTensors tensors = new TestTensors().add("a", FLOAT32, 4).add("empty", FLOAT32, 0).gradients(i -> 1);
        Optimizer optimizer = FixedRate.of(1, SGD.defaults()).build(tensors.on(CPU))) {
      optimizer.rebind("empty", 0, 0);
      optimizer.step();
      assertEquals(-1, tensors.parameters(0).get(0));
    }
  }
}
