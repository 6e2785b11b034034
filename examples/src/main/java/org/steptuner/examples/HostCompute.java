// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.Device;

/** The CPU, for {@link GpuTraining} where there is no GPU: plain loops, and work is done when it is given. */
final class HostCompute implements Compute {
  private final Device device = Device.cpu();
  private final List<Pointer> memories = new ArrayList<>();

  @Override
  public Device device() {
    return device;
  }

  @Override
  public long stream() {
    return 0;
  }

  @Override
  public BytePointer allocate(long bytes) {
    final BytePointer memory = new BytePointer(bytes);
    memories.add(memory);
    return memory;
  }

  @Override
  public void write(BytePointer to, ByteBuffer from) {
    buffer(to, from.capacity()).put(from.duplicate().clear());
  }

  @Override
  public ByteBuffer read(BytePointer from, int bytes) {
    return ByteBuffer.allocate(bytes).order(ByteOrder.nativeOrder()).put(buffer(from, bytes)).clear();
  }

  @Override
  public void copy(BytePointer to, BytePointer from, long bytes) {
    Pointer.memcpy(to, from, bytes);
  }

  @Override
  public void multiply(float factor, Matrix a, boolean transposed, Matrix x, float keep, Matrix y) {
    final ByteBuffer matrix = buffer(a.memory(), a.bytes());
    final ByteBuffer input = buffer(x.memory(), x.bytes());
    final ByteBuffer output = buffer(y.memory(), y.bytes());
    final float[] sums = new float[y.rows()];
    for (int j = 0; j < a.columns(); ++j)
      for (int i = 0; i < a.rows(); ++i) {
        final float element = Matrix.get(a.type(), matrix, j * a.rows() + i);
        sums[transposed ? j : i] += element * Matrix.get(x.type(), input, transposed ? i : j);
      }
    for (int i = 0; i < sums.length; ++i) {
      final float kept = keep == 0 ? 0 : keep * Matrix.get(y.type(), output, i);
      Matrix.put(y.type(), output, i, factor * sums[i] + kept);
    }
  }

  @Override
  public void await() {}

  @Override
  public Graph capture(Runnable work) {
    throw new UnsupportedOperationException("the CPU has no graphs");
  }

  @Override
  public void close() {
    memories.forEach(Pointer::close);
  }

  private static ByteBuffer buffer(BytePointer memory, int bytes) {
    return new BytePointer(memory).capacity(memory.position() + bytes).asByteBuffer().order(ByteOrder.nativeOrder());
  }
}
