// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import java.lang.ref.WeakReference;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;
import org.bytedeco.javacpp.FloatPointer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;
import org.steptuner.rule.SuppliedUpdate;
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

  /** The same with all tensors moved by one call: sets by set, arrays without updates and with them, in turn. Update buffers move too. */
  @ParameterizedTest
  @MethodSource("org.steptuner.TestOptimizers#some")
  void movingTogetherChangesNothing(Configuration configuration) {
    try (TestTensors still = tensors(0);
        TestTensors even = tensors(1);
        TestTensors odd = tensors(5);
        Optimizer one = configuration.build(still.on(CPU));
        Optimizer other = configuration.build(even.on(CPU))) {
      for (int step = 0; step < 9; ++step) {
        final int t = step;
        final TestTensors now = step % 2 == 0 ? even : odd;
        final TestTensors before = step % 2 == 0 ? odd : even;
        still.gradients(i -> Math.sin(i + t) + 1);
        now.gradients(i -> Math.sin(i + t) + 1);
        before.gradients(i -> Double.NaN);
        if (step > 0) {
          for (int tensor = 0; tensor < 3; ++tensor) now.parameters(tensor).copyFrom(before.parameters(tensor));
          if (step % 3 == 0) other.rebind(now.on(CPU));
          else other.rebind(addresses(now, TestTensors.Tensor::parameters), addresses(now, TestTensors.Tensor::gradients),
              addresses(now, TestTensors.Tensor::updates));
        }
        one.step();
        other.step();
        now.assertSameParameters(still, configuration + ", step " + step);
      }
      even.assertFencesStand("even");
      odd.assertFencesStand("odd");
    }
  }

  private static long[] addresses(TestTensors tensors, Function<TestTensors.Tensor, TestArray> of) {
    return tensors.all().stream().map(of).mapToLong(TestArray::address).toArray();
  }

  /** Without updates, arrays leave those where they are; so does the method for one tensor. */
  @Test
  void updatesMoveOnlyWhenTheyAreNamed() {
    try (TestTensors first = tensors(0);
        TestTensors second = tensors(1);
        Optimizer optimizer = FixedRate.of(1, new SuppliedUpdate()).nonFinite(NonFinite.UNCHECKED).build(first.on(CPU))) {
      optimizer.rebind(addresses(second, TestTensors.Tensor::parameters), addresses(second, TestTensors.Tensor::gradients));
      optimizer.rebind("t0", first.parameters(0).address(), first.gradients(0).address());
      for (int t = 0; t < 3; ++t)
        assertEquals(first.updates(t).address(), optimizer.parameters().tensors().get(t).updateAddress());
      optimizer.rebind("t1", first.parameters(1).address(), 0, second.updates(1).address());
      assertEquals(
          List.of(first.updates(0).address(), second.updates(1).address(), first.updates(2).address()),
          optimizer.parameters().tensors().stream().map(ParameterSet.Tensor::updateAddress).toList());
      assertEquals(0, optimizer.parameters().tensors().get(1).gradientAddress());
      first.parameters(i -> 0).gradients(i -> Double.NaN);
      second.parameters(i -> 0).gradients(i -> -3);
      first.updates(0).fill(i -> 5);
      first.updates(2).fill(i -> 6);
      optimizer.step();
      assertEquals(List.of(5.0, 3.0, 6.0), List.of(first.parameters(0).get(7), first.parameters(1).get(7), second.parameters(2).get(7)));
      final long x = first.parameters(1).address();
      assertRefused(IllegalArgumentException.class, () -> optimizer.rebind("t1", x, 0, 0), "'t1'", "update", "null");
      assertRefused(IllegalArgumentException.class, () -> optimizer.rebind("t1", x, 0, x + 8), "'t1'", "update", "overlap");
    }
  }

  /** Tensors that move together leave their places at the same time. */
  @Test
  void tensorsMayTakeEachOthersPlaces() {
    try (TestTensors tensors = new TestTensors().add("a", FLOAT32, 40).add("b", FLOAT32, 40).add("c", FLOAT32, 40).gradients(i -> 1);
        Optimizer optimizer = FixedRate.of(1, SGD.defaults()).build(tensors.on(CPU))) {
      final long[] x = addresses(tensors, TestTensors.Tensor::parameters);
      final long[] g = addresses(tensors, TestTensors.Tensor::gradients);
      optimizer.rebind(new long[] {x[1], x[2], x[0]}, g); // round in a circle
      optimizer.rebind(new long[] {x[1], g[0], x[0]}, new long[] {x[2], g[1], g[2]}); // parameters and gradients of two tensors
      tensors.parameters(1).fill(i -> 10);
      tensors.parameters(2).fill(i -> 3);
      optimizer.step();
      assertEquals(7, tensors.parameters(1).get(39));
      assertEquals(3, tensors.parameters(2).get(39));
      assertRefused(
          IllegalArgumentException.class, () -> optimizer.rebind(new long[] {x[1], x[1] + 80, x[0]}, g), "'a'", "new parameters of", "'b'",
          "overlap");
      assertRefused(
          IllegalArgumentException.class, () -> optimizer.rebind(x, new long[] {g[0], g[1], x[0] + 4}), "'c'", "the new gradients", "'a'",
          "overlap");
      assertRefused(
          IllegalArgumentException.class, () -> optimizer.rebind(new long[] {x[0], x[1], g[1] - 8}, g), "gradients of tensor 'b'",
          "the new parameters of tensor 'c'", "overlap");
      optimizer.rebind(x, new long[] {g[0], g[0], g[0]}); // gradients may coincide
      optimizer.step();
    }
  }

  /** One address that cannot be used among many: not one tensor has moved. */
  @Test
  void allMoveOrNone() {
    try (TestTensors first = tensors(0);
        TestTensors second = tensors(1);
        Optimizer optimizer = FixedRate.of(1, SGD.defaults()).build(first.gradients(i -> 1).on(CPU))) {
      final ParameterSet before = optimizer.parameters();
      for (int bad = 0; bad < 3; ++bad)
        for (long address : new long[] {0x1000, second.gradients(bad).address() + 1, 0}) {
          final long[] x = addresses(second, TestTensors.Tensor::parameters);
          final long[] g = addresses(second, TestTensors.Tensor::gradients);
          g[bad] = address;
          assertRefused(IllegalArgumentException.class, () -> optimizer.rebind(x, g), "'t" + bad + "'", "gradient");
          x[bad] = address == 0 ? 0 : address + 3;
          assertRefused(IllegalArgumentException.class, () -> optimizer.rebind(x, g), "'t" + bad + "'", "parameter");
        }
      assertEquals(before.tensors(), optimizer.parameters().tensors());
      second.parameters(i -> 77);
      optimizer.step();
      assertEquals(0, first.parameters(0).get(0));
      assertEquals(77, second.parameters(2).get(76));
      final long[] two = new long[2];
      final long[] three = addresses(second, TestTensors.Tensor::gradients);
      assertRefused(IllegalArgumentException.class, () -> optimizer.rebind(two, three), "parameterAddresses", "3 tensors", "not 2");
      assertRefused(IllegalArgumentException.class, () -> optimizer.rebind(three, two), "gradientAddresses", "3 tensors", "not 2");
      assertRefused(IllegalArgumentException.class, () -> optimizer.rebind(three, three, two), "updateAddresses", "3 tensors", "not 2");
      assertRefused(NullPointerException.class, () -> optimizer.rebind(three, null), "gradientAddresses");
      assertRefused(NullPointerException.class, () -> optimizer.rebind(null, three), "parameterAddresses");
      assertRefused(NullPointerException.class, () -> optimizer.rebind(three, three, null), "updateAddresses");
      assertRefused(NullPointerException.class, () -> optimizer.rebind(null), "moved");
    }
  }

  /** "A set that differs is an error naming the tensor and what differs"; another order does not matter. */
  @Test
  void anotherSetIsRefused() {
    try (TestTensors tensors = tensors(0); Optimizer optimizer = FixedRate.of(1, SGD.defaults()).build(tensors.gradients(i -> 1).on(CPU))) {
      final Function<TestTensors, Executable> rebinding = other -> () -> optimizer.rebind(other.on(CPU));
      try (TestTensors other = two().add("t2", FLOAT32, FLOAT64, 78, 0)) {
        assertRefused(IllegalArgumentException.class, rebinding.apply(other), "count", "'t2'", "78", "77");
      }
      try (TestTensors other = two().add("t2", FLOAT64, FLOAT64, 77, 0)) {
        assertRefused(IllegalArgumentException.class, rebinding.apply(other), "parameterType", "'t2'", "FLOAT64", "FLOAT32");
      }
      try (TestTensors other = two().add("t2", FLOAT32, FLOAT32, 77, 0)) {
        assertRefused(IllegalArgumentException.class, rebinding.apply(other), "gradientType", "'t2'", "FLOAT64", "FLOAT32");
      }
      try (TestTensors other = two().group("third").add("t2", FLOAT32, FLOAT64, 77, 0)) {
        assertRefused(IllegalArgumentException.class, rebinding.apply(other), "group", "'t2'", "third", "default");
      }
      try (TestTensors other = two()) {
        assertRefused(IllegalArgumentException.class, rebinding.apply(other), "no tensor 't2'");
      }
      try (TestTensors other = two().add("t2", FLOAT32, FLOAT64, 77, 0).add("t3", FLOAT32, 1)) {
        assertRefused(IllegalArgumentException.class, rebinding.apply(other), "no tensor 't3'");
      }
      try (TestTensors other =
          new TestTensors().add("t2", FLOAT32, FLOAT64, 77, 0).add("t0", FLOAT32, FLOAT32, 5000, 3).group("second")
              .add("t1", FLOAT64, FLOAT64, 129, 0)) {
        optimizer.rebind(other.on(CPU));
        other.parameters(i -> 3).gradients(i -> 1);
        optimizer.step();
        assertEquals(2, other.parameters(0).get(76));
        assertEquals(List.of("t0", "t1", "t2"), optimizer.parameters().tensors().stream().map(ParameterSet.Tensor::name).toList());
        assertEquals(other.parameters(1).address(), optimizer.parameters().tensors().get(0).parameterAddress());
        assertEquals(List.of(ParameterSet.DEFAULT_GROUP, "second"), optimizer.parameters().groups());
      }
    }
  }

  private static TestTensors two() {
    return new TestTensors().add("t0", FLOAT32, FLOAT32, 5000, 0).group("second").add("t1", FLOAT64, FLOAT64, 129, 0)
        .group(ParameterSet.DEFAULT_GROUP);
  }

  /** Buffers and pointers of a set that tensors were moved to stay reachable for as long as they are there. */
  @Test
  void theOwnersOfTheMemoryStayReachable() throws InterruptedException {
    try (Optimizer optimizer = FixedRate.of(1, SGD.defaults()).build(buffers(new ArrayList<>()))) {
      final List<WeakReference<Object>> owners = new ArrayList<>();
      optimizer.rebind(buffers(owners));
      for (int i = 0; i < 20; ++i) {
        System.gc();
        for (WeakReference<Object> owner : owners) assertNotNull(owner.get(), "memory in use was given up");
      }
      final long gradients = optimizer.parameters().tensors().get(0).gradientAddress();
      optimizer.step();
      optimizer.rebind(buffers(new ArrayList<>()));
      assertNotEquals(gradients, optimizer.parameters().tensors().get(0).gradientAddress());
      for (int i = 0; i < 100 && owners.get(0).get() != null; ++i) {
        System.gc();
        Thread.sleep(10);
      }
      for (WeakReference<Object> owner : owners) assertNull(owner.get(), "memory that is not used any more is kept");
    }
  }

  private static ParameterSet buffers(List<WeakReference<Object>> owners) {
    final FloatBuffer x = direct();
    final FloatBuffer g = direct();
    final FloatPointer y = new FloatPointer(7);
    final FloatPointer h = new FloatPointer(7).put(new float[7]);
    for (Object owner : List.of(x, g, y, h)) owners.add(new WeakReference<>(owner));
    return ParameterSet.on(CPU).add("buffers", x, g).add("pointers", y.put(new float[7]), h, 7, FLOAT32).build();
  }

  private static FloatBuffer direct() {
    return ByteBuffer.allocateDirect(400).order(ByteOrder.nativeOrder()).asFloatBuffer();
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
      assertRefused(IllegalArgumentException.class, () -> before.at(new long[2], new long[3]), "3 tensors", "2, 3 and 3");
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
