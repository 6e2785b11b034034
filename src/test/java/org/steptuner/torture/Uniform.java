// SPDX-License-Identifier: Apache-2.0
package org.steptuner.torture;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.TestTensors;
import org.steptuner.rule.AdamW;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Memory;

/**
 * A run whose elements are all equal at every step, in parameters and state. So a saved file of any size can be compared with a run of one
 * element, and shows where it is made of two steps.
 */
final class Uniform implements AutoCloseable {
  private static final List<String> STATE = List.of("momentum", "square");

  private final TestTensors tensors;
  private final Optimizer optimizer;

  /** Tensors of this many elements, in float32, and an eighth of it, in float64. */
  Uniform(int count) {
    tensors =
        new TestTensors().add("w", DataType.FLOAT32, count)
            .add("b", DataType.FLOAT64, Math.max(1, count / 8))
            .parameters(i -> 1)
            .gradients(i -> 0.375);
    optimizer = FixedRate.of(0.01, AdamW.defaults().weightDecay(0.1)).build(tensors.on(Device.cpu(1)));
  }

  Optimizer optimizer() {
    return optimizer;
  }

  /** Where an array has an element with other bits than the first one of the other run's, or null. */
  String difference(Uniform other) {
    for (int t = 0; t < tensors.all().size(); ++t) {
      final int size = tensors.parameters(t).type().bytes();
      final String name = tensors.all().get(t).name();
      final String found = difference(tensors.parameters(t).buffer(), other.tensors.parameters(t).buffer(), size);
      if (found != null) return "parameters of " + name + ", " + found;
      for (String slot : STATE) {
        final String inState = difference(state(slot, name), other.state(slot, name), size);
        if (inState != null) return slot + " of " + name + ", " + inState;
      }
    }
    return null;
  }

  private static String difference(ByteBuffer actual, ByteBuffer expected, int size) {
    for (int at = 0; at < actual.capacity(); ++at)
      if (actual.get(at) != expected.get(at % size)) return "element " + at / size + " of " + actual.capacity() / size;
    return null;
  }

  private ByteBuffer state(String slot, String tensor) {
    return ByteBuffer.wrap(Memory.bytes(optimizer.state(slot, tensor))).order(ByteOrder.nativeOrder());
  }

  @Override
  public void close() {
    optimizer.close();
    tensors.close();
  }
}
