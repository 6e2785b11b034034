// SPDX-License-Identifier: Apache-2.0
package org.steptuner.examples;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.bytedeco.javacpp.BytePointer;
import org.steptuner.DataType;

/** A matrix by columns in the memory of a {@link Compute}, of float32 or bfloat16. */
record Matrix(BytePointer memory, DataType type, int rows, int columns) {
  static Matrix of(Compute compute, DataType type, int rows, int columns) {
    return new Matrix(compute.allocate((long) rows * columns * type.bytes()), type, rows, columns);
  }

  /** Some of the columns, in the same memory. */
  Matrix columns(int first, int count) {
    return new Matrix(memory.getPointer((long) first * rows * type.bytes()), type, rows, count);
  }

  /** Some of the elements of a single column, in the same memory. */
  Matrix elements(int first, int count) {
    return new Matrix(memory.getPointer((long) first * type.bytes()), type, count, 1);
  }

  int bytes() {
    return rows * columns * type.bytes();
  }

  /** The elements in the matrix's type, in host memory. */
  static ByteBuffer packed(DataType type, float[] values) {
    final ByteBuffer buffer = ByteBuffer.allocateDirect(values.length * type.bytes()).order(ByteOrder.nativeOrder());
    for (int i = 0; i < values.length; ++i) put(type, buffer, i, values[i]);
    return buffer;
  }

  static float get(DataType type, ByteBuffer from, int index) {
    return type == DataType.FLOAT32 ? from.getFloat(index * Float.BYTES) : Float.intBitsToFloat(from.getShort(index * Short.BYTES) << 16);
  }

  static void put(DataType type, ByteBuffer to, int index, float value) {
    if (type == DataType.FLOAT32) to.putFloat(index * Float.BYTES, value);
    else to.putShort(index * Short.BYTES, (short) (Float.floatToRawIntBits(bfloat16(value)) >>> 16));
  }

  /** The nearest bfloat16 of a finite value, of two the even one: float32 without its last 16 bits. */
  static float bfloat16(float value) {
    final int bits = Float.floatToRawIntBits(value);
    return Float.intBitsToFloat((bits + 0x7fff + (bits >>> 16 & 1)) & 0xffff0000);
  }
}
