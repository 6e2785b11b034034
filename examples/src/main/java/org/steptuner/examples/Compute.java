// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.nio.ByteBuffer;
import org.bytedeco.javacpp.BytePointer;
import org.steptuner.Device;

/**
 * What {@link GpuTraining} computes with: memory, and work that is done in the order in which it is given. On a GPU that is the order of a
 * stream, and methods return before the work is done, but for those that wait.
 */
interface Compute extends AutoCloseable {
  Device device();

  /** The stream for the optimizer; 0 on the CPU. */
  long stream();

  /** Memory that is freed when this is closed. */
  BytePointer allocate(long bytes);

  /** Copies from the host, and waits. */
  void write(BytePointer to, ByteBuffer from);

  /** Copies to the host, and waits. */
  ByteBuffer read(BytePointer from, int bytes);

  /** Copies on the device. */
  void copy(BytePointer to, BytePointer from, long bytes);

  /** y = factor a x + keep y, or with a transposed; x and y have one column. Sums are in float32, whatever the types. */
  void multiply(float factor, Matrix a, boolean transposed, Matrix x, float keep, Matrix y);

  /** Waits until all work is done. */
  void await();

  /**
   * Captures the work into a graph, without doing it.
   *
   * @throws UnsupportedOperationException if this cannot capture; the message says why
   */
  Graph capture(Runnable work);

  /** Frees memory and stream. */
  @Override
  void close();

  /** Work that is done each time it is launched. */
  interface Graph extends AutoCloseable {
    void launch();

    @Override
    default void close() {}
  }
}
