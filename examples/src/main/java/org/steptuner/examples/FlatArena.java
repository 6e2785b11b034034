// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import static org.bytedeco.pytorch.global.torch.from_blob;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.pytorch.Tensor;
import org.bytedeco.pytorch.TensorOptions;
import org.bytedeco.pytorch.global.torch;
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

  private final DataType type;
  private final BytePointer parameters;
  private final BytePointer gradients;
  private final TensorOptions options;
  private final List<Slot> slots = new ArrayList<>();
  private long used; // bytes

  /** Of float32. */
  FlatArena(long elements) {
    this(elements, DataType.FLOAT32);
  }

  /**
   * @param elements of all tensors together
   * @param type FLOAT32 or BFLOAT16
   */
  FlatArena(long elements, DataType type) {
    this.type = type;
    parameters = new BytePointer(elements * type.bytes());
    gradients = new BytePointer(elements * type.bytes());
    options = new TensorOptions(type == DataType.BFLOAT16 ? torch.ScalarType.BFloat16 : torch.ScalarType.Float);
    zeroGradients();
  }

  // README snippet: begin
  Tensor tensor(String name, long... shape) { // the next of the arena, its gradient preset
    Tensor tensor = from_blob(parameters.getPointer(used), shape, options).set_requires_grad(true);
    tensor.mutable_grad().put(from_blob(gradients.getPointer(used), shape, options));
    if (used + tensor.nbytes() > parameters.capacity()) throw new IllegalStateException("the arena is full at " + name);
    slots.add(new Slot(name, used, tensor.numel()));
    used += tensor.nbytes();
    return tensor;
  }

  ParameterSet bind(Device device) { // the same memory, for the optimizer
    ParameterSet.Builder set = ParameterSet.on(device);
    for (Slot s : slots) set.add(s.name, parameters.address() + s.offset, gradients.address() + s.offset, s.count, type);
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
          s.name, parameters.address() + s.offset, type, gradients.address() + s.offset, type,
          updates.address() + s.offset / type.bytes() * Float.BYTES, s.count);
    return set.build();
  }

  /** Backward adds to what is there. */
  void zeroGradients() {
    Pointer.memset(gradients, 0, gradients.capacity());
  }

  /** Sets a parameter, in the order of the tensors, to the nearest number of its type. */
  void put(long parameter, float value) {
    if (type == DataType.FLOAT32) {
      parameters.putFloat(parameter * Float.BYTES, value);
    } else {
      final int bits = Float.floatToIntBits(value);
      parameters.putShort(parameter * Short.BYTES, (short) (bits + 0x7fff + (bits >> 16 & 1) >> 16)); // finite
    }
  }

  @Override
  public void close() {
    parameters.close();
    gradients.close();
  }
}
