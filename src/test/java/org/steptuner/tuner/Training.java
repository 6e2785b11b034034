// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.bytedeco.javacpp.BytePointer;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Formats;
import org.steptuner.ParameterSet;

/**
 * A trainer's memory for tests: tensors of one type in two groups ("default" and, for every other tensor, "second"), the
 * gradients of {@code |x - target|^2 / 2} with noise that depends on the step alone, and something near its curvature, noisy likewise.
 */
final class Training implements AutoCloseable {
  /**
   * A piece of a tensor.
   *
   * @param tensor its number; -1 for an empty tensor of a third group
   * @param end negative: to the end of the tensor
   */
  record Piece(int tensor, int begin, int end) {}

  private final DataType type;
  private final int[] sizes;
  private final int[] begins;
  private final int count;
  private final BytePointer memory;
  private final ByteBuffer bytes;
  private final double noise;

  Training(DataType type, double noise, int... sizes) {
    this.type = type;
    this.noise = noise;
    this.sizes = sizes;
    begins = new int[sizes.length];
    for (int t = 1; t < sizes.length; ++t) begins[t] = begins[t - 1] + sizes[t - 1];
    count = Arrays.stream(sizes).sum();
    memory = new BytePointer(count * (2L * type.bytes() + type.stateType().bytes()));
    bytes = memory.asByteBuffer().order(ByteOrder.nativeOrder());
    final SplittableRandom random = new SplittableRandom(7);
    for (int i = 0; i < count; ++i) set(i, random.nextDouble(-1, 1));
    for (int i = 0; i < 2 * count; ++i) setGradient(i, 0);
  }

  ParameterSet on(Device device) {
    return on(device, 0, sizes.length);
  }

  /** Tensors first, ... end - 1 only. */
  ParameterSet on(Device device, int first, int end) {
    final ParameterSet.Builder builder = ParameterSet.on(device);
    for (String group : new String[] {ParameterSet.DEFAULT_GROUP, "second"})
      for (int t = first; t < end; ++t)
        if ((t % 2 == 1) == group.equals("second"))
          builder
              .group(group)
              .add("t" + t, address(begins[t]), type, address(count + begins[t]), type, curvatureAddress(begins[t]), sizes[t]);
    return builder.build();
  }

  /** Pieces of tensors in this order, each under its tensor's name. */
  ParameterSet on(Device device, List<Piece> pieces) {
    final ParameterSet.Builder builder = ParameterSet.on(device);
    for (Piece piece : pieces) {
      final int t = piece.tensor;
      if (t < 0) {
        builder.group("third").add("empty", 0, 0, 0, type);
        continue;
      }
      final int begin = begins[t] + piece.begin;
      final int size = (piece.end < 0 ? sizes[t] : piece.end) - piece.begin;
      builder.group(t % 2 == 0 ? ParameterSet.DEFAULT_GROUP : "second").add(
          "t" + t, address(begin), type, address(count + begin), type, curvatureAddress(begin), size);
    }
    return builder.build();
  }

  private long address(int element) {
    return memory.address() + (long) element * type.bytes();
  }

  private long curvatureAddress(int element) {
    return memory.address() + 2L * count * type.bytes() + (long) element * type.stateType().bytes();
  }

  int count() {
    return count;
  }

  /** Writes the gradients and curvatures of a step and returns the loss. */
  double backward(long step) {
    final SplittableRandom curvature = new SplittableRandom(step * 37);
    for (int i = 0; i < count; ++i) write(2 * count + i, 1 + noise * curvature.nextDouble(-1, 1));
    final SplittableRandom random = new SplittableRandom(step * 31);
    double loss = 0;
    for (int i = 0; i < count; ++i) {
      final double difference = get(i) - target(i);
      loss += difference * difference / 2;
      setGradient(i, difference + noise * random.nextDouble(-1, 1));
    }
    return loss;
  }

  /** The loss as it is now, without touching the gradients. */
  double loss() {
    double loss = 0;
    for (int i = 0; i < count; ++i) loss += (get(i) - target(i)) * (get(i) - target(i)) / 2;
    return loss;
  }

  private static double target(int i) {
    return 2 + i % 7 * 0.5;
  }

  double get(int i) {
    return read(i);
  }

  void set(int i, double value) {
    write(i, value);
  }

  void setGradient(int i, double value) {
    write(count + i, value);
  }

  double gradient(int i) {
    return read(count + i);
  }

  /** As a loss scale would. */
  void scale(double factor) {
    for (int i = count; i < 3 * count; ++i) write(i, read(i) * factor);
  }

  double[] values() {
    final double[] values = new double[count];
    for (int i = 0; i < count; ++i) values[i] = get(i);
    return values;
  }

  byte[] parameterBytes() {
    final byte[] copy = new byte[count * type.bytes()];
    bytes.get(0, copy);
    return copy;
  }

  // Parameters, gradients, and curvatures, which have the type of the state.
  private double read(int i) {
    return switch (typeOf(i)) {
      case FLOAT64 -> bytes.getDouble(at(i));
      case FLOAT32 -> bytes.getFloat(at(i));
      default -> Formats.decode(type, bytes.getShort(at(i)) & 0xffffL);
    };
  }

  private void write(int i, double value) {
    switch (typeOf(i)) {
      case FLOAT64 -> bytes.putDouble(at(i), value);
      case FLOAT32 -> bytes.putFloat(at(i), (float) value);
      default -> bytes.putShort(at(i), (short) Formats.encode(type, value));
    }
  }

  private DataType typeOf(int i) {
    return i < 2 * count ? type : type.stateType();
  }

  private int at(int i) {
    return i < 2 * count ? i * type.bytes() : 2 * count * type.bytes() + (i - 2 * count) * type.stateType().bytes();
  }

  @Override
  public void close() {
    memory.close();
  }
}
