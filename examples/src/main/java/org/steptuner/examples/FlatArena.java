// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.bytedeco.pytorch.global.torch.from_blob;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Tensor;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.ParameterSet;

/**
 * The parameters of a libtorch model in one block of memory, and their gradients in another.
 *
 * <p>Tensors are views of the blocks, so libtorch and the optimizer work on the same memory and nothing is ever copied. The gradient of
 * each tensor is set beforehand: backward then adds to it in place instead of allocating its own. Whoever trains must therefore call
 * {@link #zeroGradients} before each backward pass.
 */
final class FlatArena implements AutoCloseable {
  private record Slot(String name, long offset, long count) {}

  private final FloatPointer parameters;
  private final FloatPointer gradients;
  private final List<Slot> slots = new ArrayList<>();
  private long used;

  /**
   * @param elements of all tensors together
   */
  FlatArena(long elements) {
    parameters = new FloatPointer(elements);
    gradients = new FloatPointer(elements);
    zeroGradients();
  }

  // README snippet: begin
  Tensor tensor(String name, long... shape) { // the next of the arena, its gradient preset
    Tensor tensor = from_blob(parameters.getPointer(used), shape).set_requires_grad(true);
    tensor.mutable_grad().put(from_blob(gradients.getPointer(used), shape));
    if (used + tensor.numel() > parameters.capacity()) throw new IllegalStateException("the arena is full at " + name);
    slots.add(new Slot(name, used, tensor.numel()));
    used += tensor.numel();
    return tensor;
  }

  ParameterSet bind(Device device) { // the same memory, for the optimizer
    ParameterSet.Builder set = ParameterSet.on(device);
    for (Slot s : slots)
      set.add(s.name, parameters.address() + 4 * s.offset, gradients.address() + 4 * s.offset, s.count, DataType.FLOAT32);
    return set.build();
  }
  // README snippet: end

  /**
   * The same for an optimizer that takes steps of the trainer's own.
   *
   * @param updates their memory, laid out like the parameters
   */
  ParameterSet bind(Device device, FloatPointer updates) {
    final ParameterSet.Builder set = ParameterSet.on(device);
    for (Slot s : slots)
      set.add(
          s.name, parameters.address() + 4 * s.offset, DataType.FLOAT32, gradients.address() + 4 * s.offset, DataType.FLOAT32,
          updates.address() + 4 * s.offset, s.count);
    return set.build();
  }

  /** Backward adds to what is there. */
  void zeroGradients() {
    Pointer.memset(gradients, 0, gradients.capacity() * Float.BYTES);
  }

  /** All parameters, in the order of the tensors. */
  FloatPointer parameters() {
    return parameters;
  }

  @Override
  public void close() {
    parameters.close();
    gradients.close();
  }
}
