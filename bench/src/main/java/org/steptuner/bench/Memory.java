// SPDX-License-Identifier: Apache-2.0
package org.steptuner.bench;

import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.DataType;

/** A block of native memory that begins on a cache line, as a trainer's allocator would hand out. */
final class Memory implements AutoCloseable {
  private static final int LINE = 64;

  private final Pointer block;
  private final long offset;
  private final long bytes;

  Memory(long bytes) {
    this.bytes = bytes;
    block = Pointer.malloc(bytes + 2 * LINE);
    if (block == null || block.isNull()) throw new OutOfMemoryError("no " + bytes + " bytes of native memory");
    offset = -block.address() & LINE - 1;
  }

  /** Elements of a type, set to {@code scale h(i + seed)}; see streams.h. */
  static Memory filled(DataType type, long count, long seed, double scale) {
    final Memory memory = new Memory(count * type.bytes() + LINE);
    memory.fill(0, type, count, seed, scale);
    return memory;
  }

  void fill(long at, DataType type, long count, long seed, double scale) {
    Streams.fill(address() + at, type.ordinal(), count, seed, scale);
  }

  void zero() {
    Pointer.memset(pointer(0), 0, bytes);
  }

  long address() {
    return block.address() + offset;
  }

  /** A pointer to the byte at {@code at}, for libraries that take pointers. */
  Pointer pointer(long at) {
    return new BytePointer(block).getPointer(offset + at);
  }

  /** The first float32 elements. */
  float[] floats(long at, int count) {
    final float[] values = new float[count];
    new BytePointer(block).capacity(bytes + 2 * LINE).position(offset + at).asByteBuffer().order(java.nio.ByteOrder.nativeOrder())
        .asFloatBuffer().get(values);
    return values;
  }

  @Override
  public void close() {
    Pointer.free(block);
  }
}
