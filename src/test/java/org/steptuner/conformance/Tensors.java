// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.ParameterSet;

/**
 * A trainer's memory for parameters, gradients and curvature, float32 or float64, given to the library by address: devices that emulate a
 * GPU share the host's memory, but are no CPU that takes buffers.
 */
final class Tensors implements AutoCloseable {
  private final int[] sizes;
  private final DataType type;
  private final List<Pointer> parameters = new ArrayList<>();
  private final List<Pointer> gradients = new ArrayList<>();
  private final List<Pointer> curvatures = new ArrayList<>();

  Tensors(int[] sizes, DataType type) {
    this.sizes = sizes;
    this.type = type;
    for (int size : sizes) {
      parameters.add(allocate(size));
      gradients.add(allocate(size));
      curvatures.add(allocate(size));
    }
  }

  /** @param blocks the tensors of each parameter group, which must cover them all; null for one group */
  ParameterSet bind(Device device, double[][] blocks) {
    final ParameterSet.Builder set = ParameterSet.on(device);
    final int[] blockOf = blocks == null ? new int[sizes.length] : blockOf(blocks);
    for (int i = 0; i < sizes.length; ++i)
      set.group("block " + blockOf[i])
          .add(
              name(i), parameters.get(i).address(), type, gradients.get(i).address(), type, curvatures.get(i).address(), sizes[i]);
    return set.build();
  }

  /** The name of a tensor. */
  static String name(int tensor) {
    return "tensor " + tensor;
  }

  private int[] blockOf(double[][] blocks) {
    final int[] blockOf = new int[sizes.length];
    Arrays.fill(blockOf, -1);
    int next = 0;
    for (int block = 0; block < blocks.length; ++block)
      for (double tensor : blocks[block]) {
        if (!(tensor >= 0 && tensor < sizes.length) || tensor != Math.rint(tensor) || blockOf[(int) tensor] >= 0)
          throw new IllFormedException("blocks must have every tensor once, of " + sizes.length + ", but have " + tensor);
        blockOf[(int) tensor] = block;
      }
    // Groups are numbered as they are begun; blocks that begin in another order would have their scalars in another order.
    for (int block : blockOf) {
      if (block < 0) throw new IllFormedException("blocks must have every tensor once, and lack one of " + sizes.length);
      if (block > next) throw new UnsupportedException("blocks in another order than that of their first tensors");
      if (block == next) ++next;
    }
    return blockOf;
  }

  void setParameters(double[] flat) {
    write(parameters, flat);
  }

  void setGradients(double[] flat) {
    write(gradients, flat);
  }

  void setCurvature(double[] flat) {
    write(curvatures, flat);
  }

  void getParameters(double[] flat) {
    int at = 0;
    for (int i = 0; i < sizes.length; at += sizes[i++]) {
      if (parameters.get(i) instanceof DoublePointer doubles) doubles.get(flat, at, sizes[i]);
      else for (int k = 0; k < sizes[i]; ++k) flat[at + k] = ((FloatPointer) parameters.get(i)).get(k);
    }
  }

  @Override
  public void close() {
    parameters.forEach(Pointer::close);
    gradients.forEach(Pointer::close);
    curvatures.forEach(Pointer::close);
  }

  private Pointer allocate(int size) {
    final int atLeastOne = Math.max(1, size);
    return type == DataType.FLOAT64 ? new DoublePointer(atLeastOne) : new FloatPointer(atLeastOne);
  }

  private void write(List<Pointer> tensors, double[] flat) {
    int at = 0;
    for (int i = 0; i < sizes.length; at += sizes[i++]) {
      if (tensors.get(i) instanceof DoublePointer doubles) doubles.put(flat, at, sizes[i]);
      else for (int k = 0; k < sizes[i]; ++k) ((FloatPointer) tensors.get(i)).put(k, (float) flat[at + k]);
    }
  }
}
