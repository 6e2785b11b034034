// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import org.bytedeco.javacpp.BytePointer;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.DeviceException;
import org.steptuner.InstructionSet;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;

/**
 * A small training problem in native memory: tensors of one type, a badly scaled bowl with ripples, and a gradient that depends on the
 * parameters and, a little, on the step.
 */
final class Toy implements AutoCloseable {
  final DataType type;
  final int[] sizes;
  final String[] groups;
  private final int elements;
  private final BytePointer parameters;
  private final BytePointer gradients;

  /** @param groups the group of each tensor; null for one group */
  Toy(DataType type, int[] sizes, String[] groups) {
    this.type = type;
    this.sizes = sizes;
    this.groups = groups;
    elements = Arrays.stream(sizes).sum();
    parameters = new BytePointer((long) elements * type.bytes());
    gradients = new BytePointer((long) elements * type.bytes());
    for (int i = 0; i < elements; ++i) put(parameters, i, Math.sin(1.7 * i + 0.3) + 0.1);
  }

  static Toy of(DataType type, int... sizes) {
    return new Toy(type, sizes, null);
  }

  /** The same number of elements, each a tensor. */
  static Toy inTensorsOfOne(DataType type, int count) {
    final int[] sizes = new int[count];
    Arrays.fill(sizes, 1);
    return of(type, sizes);
  }

  ParameterSet on(Device device) {
    final ParameterSet.Builder builder = ParameterSet.on(device);
    long at = 0;
    for (int t = 0; t < sizes.length; at += (long) sizes[t++] * type.bytes()) {
      if (groups != null) builder.group(groups[t]);
      builder.add("tensor " + t, parameters.address() + at, gradients.address() + at, sizes[t], type);
    }
    return builder.build();
  }

  /** Fills in the gradient of a step at the present parameters. */
  void backward(int step) {
    for (int i = 0; i < elements; ++i) put(gradients, i, gradient(step, i, get(parameters, i)));
  }

  static double gradient(int step, int i, double x) {
    final double curvature = 0.2 + (i * 37 % 11) / 4.0;
    return curvature * x + 0.3 * Math.cos(3 * x + i) + 0.05 * Math.sin(step * 1.3 + i);
  }

  double loss() {
    double loss = 0;
    for (int i = 0; i < elements; ++i) {
      final double x = get(parameters, i);
      loss += (0.2 + (i * 37 % 11) / 4.0) * x * x / 2 + 0.1 * Math.sin(3 * x + i);
    }
    return loss;
  }

  void setGradient(int i, double value) {
    put(gradients, i, value);
  }

  void steps(Optimizer optimizer, int from, int to) {
    for (int step = from; step <= to; ++step) {
      backward(step);
      optimizer.step();
    }
  }

  double[] values() {
    final double[] values = new double[elements];
    for (int i = 0; i < elements; ++i) values[i] = get(parameters, i);
    return values;
  }

  /** Runs a builder over a fresh copy of the problem; returns the parameters. */
  static double[] run(TunerBuilder<?> builder, Toy toy, Device device, int steps, Consumer<Optimizer> after) {
    try (toy; Optimizer optimizer = builder.build(toy.on(device))) {
      toy.steps(optimizer, 1, steps);
      after.accept(optimizer);
      return toy.values();
    }
  }

  static double[] run(TunerBuilder<?> builder, Toy toy, int steps) {
    return run(builder, toy, Device.cpu(1), steps, optimizer -> {});
  }

  /** The CPU with every instruction set that there is, and 1 to 3 threads. */
  static List<Device> devices() {
    final List<Device> devices = new ArrayList<>();
    for (InstructionSet set : InstructionSet.values())
      for (int threads = 1; threads <= 3; ++threads)
        try {
          devices.add(Device.cpu(threads, set));
        } catch (DeviceException lacking) {
          continue; // this processor has no such instructions
        }
    return devices;
  }

  @Override
  public void close() {
    parameters.close();
    gradients.close();
  }

  private void put(BytePointer memory, int i, double value) {
    switch (type) {
      case FLOAT64 -> memory.putDouble(8L * i, value);
      case FLOAT32 -> memory.putFloat(4L * i, (float) value);
      case BFLOAT16 -> memory.putShort(2L * i, (short) (Float.floatToIntBits((float) value) >>> 16));
      default -> throw new IllegalArgumentException("no " + type);
    }
  }

  private double get(BytePointer memory, int i) {
    return switch (type) {
      case FLOAT64 -> memory.getDouble(8L * i);
      case FLOAT32 -> memory.getFloat(4L * i);
      case BFLOAT16 -> Float.intBitsToFloat(memory.getShort(2L * i) << 16);
      default -> throw new IllegalArgumentException("no " + type);
    };
  }
}
