// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.Pointer;
import org.steptuner.DataType;
import org.steptuner.StateTensor;

/** Reads what lies at an address. */
public final class Memory extends BytePointer {
  private Memory(long address, long bytes) {
    super((Pointer) null);
    this.address = address;
    capacity(bytes);
  }

  public static byte[] bytes(StateTensor state) {
    final byte[] bytes = new byte[(int) state.count() * state.type().bytes()];
    if (bytes.length > 0) new Memory(state.address(), bytes.length).get(bytes);
    return bytes;
  }

  public static double[] values(StateTensor state) {
    final ByteBuffer bytes = ByteBuffer.wrap(bytes(state)).order(ByteOrder.nativeOrder());
    final double[] values = new double[(int) state.count()];
    for (int i = 0; i < values.length; ++i) values[i] = state.type() == DataType.FLOAT64 ? bytes.getDouble() : bytes.getFloat();
    return values;
  }
}
