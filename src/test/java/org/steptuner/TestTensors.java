// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntToDoubleFunction;

/** A trainer's tensors: parameters, gradients and update buffers in native memory. */
public final class TestTensors implements AutoCloseable {
  /** One tensor; {@code whole} is null where it is not a piece of another one. */
  public record Tensor(
      String name, String group, TestArray parameters, TestArray gradients, TestArray updates, String whole, long firstElement) {}

  private final List<Tensor> tensors = new ArrayList<>();
  private String group = ParameterSet.DEFAULT_GROUP;

  /** One tensor of one type. */
  public static TestTensors of(DataType type, int count) {
    return new TestTensors().add("x", type, count);
  }

  public TestTensors group(String name) {
    group = name;
    return this;
  }

  public TestTensors add(String name, DataType type, int count) {
    return add(name, type, type, count, 0);
  }

  /** The offset, in elements from a 64-byte boundary, is another one for each of the three arrays. */
  public TestTensors add(String name, DataType type, DataType gradientType, int count, int offset) {
    final int second = offset == 0 ? 0 : offset + 3;
    final int third = offset == 0 ? 0 : offset + 5;
    tensors.add(
        new Tensor(
            name, group, new TestArray(type, count, offset), new TestArray(gradientType, count, second),
            new TestArray(type.stateType(), count, third), null, 0));
    return this;
  }

  /** The tensor added last is a piece of another one. */
  public TestTensors pieceOf(String whole, long firstElement) {
    final Tensor last = tensors.remove(tensors.size() - 1);
    tensors.add(new Tensor(last.name, last.group, last.parameters, last.gradients, last.updates, whole, firstElement));
    return this;
  }

  public List<Tensor> all() {
    return tensors;
  }

  public TestArray parameters(int tensor) {
    return tensors.get(tensor).parameters;
  }

  public TestArray gradients(int tensor) {
    return tensors.get(tensor).gradients;
  }

  public TestArray updates(int tensor) {
    return tensors.get(tensor).updates;
  }

  /** Sets all parameters; elements are numbered through all tensors. */
  public TestTensors parameters(IntToDoubleFunction value) {
    int before = 0;
    for (Tensor tensor : tensors) {
      final int first = before;
      tensor.parameters.fill(i -> value.applyAsDouble(first + i));
      before += tensor.parameters.count();
    }
    return this;
  }

  /** Sets all gradients, and the updates to what plain descent makes of them. */
  public TestTensors gradients(IntToDoubleFunction value) {
    int before = 0;
    for (Tensor tensor : tensors) {
      final int first = before;
      tensor.gradients.fill(i -> value.applyAsDouble(first + i));
      tensor.updates.fill(i -> -tensor.gradients.get(i));
      before += tensor.parameters.count();
    }
    return this;
  }

  /** All parameters, one tensor after the other. */
  public double[] values() {
    return tensors.stream().flatMapToDouble(t -> Arrays.stream(t.parameters.toDoubles())).toArray();
  }

  /** The parameter set that a trainer would make of them. */
  public ParameterSet on(Device device) {
    final ParameterSet.Builder builder = ParameterSet.on(device);
    for (Tensor t : tensors) {
      builder
          .group(t.group)
          .add(
              t.name, t.parameters.address(), t.parameters.type(), t.gradients.address(), t.gradients.type(), t.updates.address(),
              t.parameters.count());
      if (t.whole != null) builder.pieceOf(t.whole, t.firstElement);
    }
    return builder.build();
  }

  /** Fails with the first element whose bits differ. */
  public void assertSameParameters(TestTensors expected, String what) {
    for (int t = 0; t < tensors.size(); ++t) assertSameBits(expected.parameters(t), parameters(t), what + ", tensor " + t);
  }

  public static void assertSameBits(TestArray expected, TestArray actual, String what) {
    assertEquals(expected.count(), actual.count(), what);
    final int at = expected.buffer().mismatch(actual.buffer());
    if (at < 0) return;
    final int i = at / expected.type().bytes();
    assertEquals(
        Long.toHexString(expected.bits(i)) + " = " + expected.get(i), Long.toHexString(actual.bits(i)) + " = " + actual.get(i),
        what + " (" + actual.type() + "), element " + i + " of " + actual.count());
  }

  public void assertFencesStand(String what) {
    for (Tensor t : tensors)
      for (TestArray array : List.of(t.parameters, t.gradients, t.updates))
        assertTrue(array.fencesStand(), what + ": memory beside tensor " + t.name + " was written");
  }

  @Override
  public void close() {
    for (Tensor t : tensors) {
      t.parameters.close();
      t.gradients.close();
      t.updates.close();
    }
  }
}
