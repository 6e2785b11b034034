// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import org.bytedeco.javacpp.Pointer;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.ParameterSet;

/** Tensors of given shapes with the same first values for every contender: parameters of its own, gradients of all. */
final class Model implements AutoCloseable {
  private static final double PARAMETER_SCALE = 0.1;

  private final Shapes shapes;
  private final DataType type;
  private final long[] offsets;
  private final Memory parameters;
  private final Memory gradients;
  private final boolean ownsGradients;

  private Model(Shapes shapes, DataType type, Memory gradients, boolean ownsGradients) {
    this.shapes = shapes;
    this.type = type;
    this.gradients = gradients;
    this.ownsGradients = ownsGradients;
    offsets = shapes.offsets(type.bytes());
    parameters = new Memory(shapes.bytes(type.bytes()));
    fill(parameters, 1, PARAMETER_SCALE);
  }

  /** Of float32. */
  static Model of(Shapes shapes) {
    return of(shapes, DataType.FLOAT32);
  }

  static Model of(Shapes shapes, DataType type) {
    final Model model = new Model(shapes, type, new Memory(shapes.bytes(type.bytes())), true);
    model.newGradients(2);
    return model;
  }

  /** One with the gradients of this one, which must live longer. */
  Model sharing() {
    return new Model(shapes, type, gradients, false);
  }

  void newGradients(long seed) {
    fill(gradients, seed, 1);
  }

  void zeroGradients() {
    gradients.zero();
  }

  private void fill(Memory memory, long seed, double scale) {
    for (int t = 0; t < offsets.length; ++t) memory.fill(offsets[t], type, shapes.counts()[t], seed, scale);
  }

  Shapes shapes() {
    return shapes;
  }

  ParameterSet on(Device device) {
    final ParameterSet.Builder set = ParameterSet.on(device);
    for (int t = 0; t < offsets.length; ++t)
      set.add("t" + t, parameters.address() + offsets[t], gradients.address() + offsets[t], shapes.counts()[t], type);
    return set.build();
  }

  Pointer parameter(int tensor) {
    return parameters.pointer(offsets[tensor]);
  }

  Pointer gradient(int tensor) {
    return gradients.pointer(offsets[tensor]);
  }

  /** The parameters of the first tensor. */
  float[] values() {
    return parameters.floats(offsets[0], (int) shapes.counts()[0]);
  }

  @Override
  public void close() {
    parameters.close();
    if (ownsGradients) gradients.close();
  }
}
