// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.function.IntToDoubleFunction;
import org.bytedeco.javacpp.BytePointer;

/** Native memory of one data type, a chosen number of elements past a 64-byte boundary, between two fences that nobody may touch. */
public final class TestArray implements AutoCloseable {
  private static final int FENCE = 64;
  private static final byte CANARY = (byte) 0xa5;

  private final DataType type;
  private final int count;
  private final BytePointer memory;
  private final ByteBuffer all;
  private final int begin;

  public TestArray(DataType type, int count, int offset) {
    this.type = type;
    this.count = count;
    memory = new BytePointer((long) (count + offset) * type.bytes() + 3 * FENCE);
    memory.fill(CANARY);
    all = memory.asByteBuffer().order(ByteOrder.nativeOrder());
    begin = (int) (-memory.address() & FENCE - 1) + FENCE + offset * type.bytes();
    for (int i = begin; i < begin + bytes(); ++i) all.put(i, (byte) 0);
  }

  public TestArray(DataType type, int count) {
    this(type, count, 0);
  }

  public DataType type() {
    return type;
  }

  public int count() {
    return count;
  }

  public long address() {
    return memory.address() + begin;
  }

  public int bytes() {
    return count * type.bytes();
  }

  /** The bit pattern of an element. */
  public long bits(int i) {
    final int at = begin + i * type.bytes();
    return switch (type.bytes()) {
      case 8 -> all.getLong(at);
      case 4 -> all.getInt(at) & 0xffffffffL;
      default -> all.getShort(at) & 0xffffL;
    };
  }

  public void setBits(int i, long bits) {
    final int at = begin + i * type.bytes();
    switch (type.bytes()) {
      case 8 -> all.putLong(at, bits);
      case 4 -> all.putInt(at, (int) bits);
      default -> all.putShort(at, (short) bits);
    }
  }

  public double get(int i) {
    return Formats.decode(type, bits(i));
  }

  public void set(int i, double value) {
    setBits(i, Formats.encode(type, value));
  }

  public TestArray fill(IntToDoubleFunction value) {
    for (int i = 0; i < count; ++i) set(i, value.applyAsDouble(i));
    return this;
  }

  public double[] toDoubles() {
    final double[] values = new double[count];
    for (int i = 0; i < count; ++i) values[i] = get(i);
    return values;
  }

  public byte[] toBytes() {
    final byte[] copy = new byte[bytes()];
    all.get(begin, copy);
    return copy;
  }

  /** A view of the elements. */
  public ByteBuffer buffer() {
    return all.slice(begin, bytes()).order(ByteOrder.nativeOrder());
  }

  public void copyFrom(TestArray other) {
    all.put(begin, other.all, other.begin, bytes());
  }

  /** Whether nothing was written on either side of the elements. */
  public boolean fencesStand() {
    for (int i = 0; i < all.capacity(); ++i) {
      if (i == begin) i += bytes();
      if (all.get(i) != CANARY) return false;
    }
    return true;
  }

  @Override
  public void close() {
    memory.close();
  }
}
