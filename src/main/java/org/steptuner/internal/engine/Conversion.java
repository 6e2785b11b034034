// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.steptuner.DataType;

/**
 * Takes an array of a file, part by part, and writes it to a slot that has another type: bfloat16 as the float32 that it is, float32 as the
 * nearest bfloat16, of two equally near ones the even one. NaN stays NaN, and what is beyond the largest bfloat16 is infinite.
 */
final class Conversion implements Archive.Sink {
  private static final int NARROW = 2; // bytes of an element
  private static final int WIDE = 4;

  private final Plan plan;
  private final String slot;
  private final int tensor;
  private final boolean widens;
  private final byte[] split; // an element of which some bytes have come
  private int held;
  private byte[] converted = new byte[0];
  private long written;

  /** @param from the type in the file: BFLOAT16, or FLOAT32 */
  Conversion(Plan plan, String slot, int tensor, DataType from) {
    this.plan = plan;
    this.slot = slot;
    this.tensor = tensor;
    widens = from == DataType.BFLOAT16;
    split = new byte[widens ? NARROW : WIDE];
  }

  @Override
  public void take(long offset, byte[] bytes, int count) {
    final int most = (count / split.length + 1) * (widens ? WIDE : NARROW);
    if (converted.length < most) converted = new byte[most];
    final ByteBuffer to = ByteBuffer.wrap(converted).order(ByteOrder.LITTLE_ENDIAN);
    int at = 0;
    while (held > 0 && held < split.length && at < count) split[held++] = bytes[at++];
    if (held == split.length) {
      put(ByteBuffer.wrap(split).order(ByteOrder.LITTLE_ENDIAN), to);
      held = 0;
    }
    final ByteBuffer from = ByteBuffer.wrap(bytes, at, count - at).order(ByteOrder.LITTLE_ENDIAN);
    while (from.remaining() >= split.length) put(from, to);
    while (from.hasRemaining()) split[held++] = from.get();
    plan.write(slot, tensor, written, converted, to.position());
    written += to.position();
  }

  private void put(ByteBuffer from, ByteBuffer to) {
    if (widens) to.putInt(from.getShort() << Short.SIZE);
    else to.putShort(nearest(from.getInt()));
  }

  /** The upper half of the nearest bfloat16. */
  static short nearest(int bits) {
    if (Float.isNaN(Float.intBitsToFloat(bits))) return (short) (bits >>> Short.SIZE | 0x40);
    return (short) (bits + 0x7fff + (bits >>> Short.SIZE & 1) >>> Short.SIZE);
  }
}
