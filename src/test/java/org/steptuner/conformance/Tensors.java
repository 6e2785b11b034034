// SPDX-License-Identifier: Apache-2.0
package org.steptuner.conformance;

import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.ParameterSet;

/**
 * A trainer's memory for parameters and gradients, float32 or float64, given to the library by address: devices that emulate a
 * GPU share the host's memory, but are no CPU that takes buffers.
 */
final class Tensors implements AutoCloseable {
  private final int[] sizes;
  private final DataType type;
  private final List<Pointer> parameters = new ArrayList<>();
  private final List<Pointer> gradients = new ArrayList<>();

  Tensors(int[] sizes, DataType type) {
    this.sizes = sizes;
    this.type = type;
    for (int size : sizes) {
      parameters.add(allocate(size));
      gradients.add(allocate(size));
    }
  }

  ParameterSet bind(Device device) {
    final ParameterSet.Builder set = ParameterSet.on(device);
    for (int i = 0; i < sizes.length; ++i)
      set.add("tensor " + i, parameters.get(i).address(), gradients.get(i).address(), sizes[i], type);
    return set.build();
  }

  void setParameters(double[] flat) {
    write(parameters, flat);
  }

  void setGradients(double[] flat) {
    write(gradients, flat);
  }

  void getParameters(double[] flat) {
    int at = 0;
    for (int i = 0; i < sizes.length; at += sizes[i++])
      if (parameters.get(i) instanceof DoublePointer doubles) doubles.get(flat, at, sizes[i]);
      else for (int k = 0; k < sizes[i]; ++k) flat[at + k] = ((FloatPointer) parameters.get(i)).get(k);
  }

  @Override
  public void close() {
    parameters.forEach(Pointer::close);
    gradients.forEach(Pointer::close);
  }

  private Pointer allocate(int size) {
    final int atLeastOne = Math.max(1, size);
    return type == DataType.FLOAT64 ? new DoublePointer(atLeastOne) : new FloatPointer(atLeastOne);
  }

  private void write(List<Pointer> tensors, double[] flat) {
    int at = 0;
    for (int i = 0; i < sizes.length; at += sizes[i++])
      if (tensors.get(i) instanceof DoublePointer doubles) doubles.put(flat, at, sizes[i]);
      else for (int k = 0; k < sizes[i]; ++k) ((FloatPointer) tensors.get(i)).put(k, (float) flat[at + k]);
  }
}
