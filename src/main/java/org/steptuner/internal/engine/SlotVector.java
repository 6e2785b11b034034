// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import org.steptuner.DataType;
import org.steptuner.ParameterSet;
import org.steptuner.curvature.ParameterVector;

/** A slot of a plan as a vector for the trainer. */
public final class SlotVector implements ParameterVector {
  private final Plan plan;
  private final ParameterSet parameters;
  private final long[] addresses;
  private final Buffer[] buffers;

  public SlotVector(Plan plan, String slot) {
    this.plan = plan;
    parameters = plan.parameters();
    addresses = plan.lend(slot);
    buffers = new Buffer[addresses.length];
  }

  @Override
  public ParameterSet parameters() {
    return plan.parameters();
  }

  @Override
  public long address(int tensor) {
    return addresses[tensor];
  }

  @Override
  public FloatBuffer floats(int tensor) {
    return (FloatBuffer) buffer(tensor, DataType.FLOAT32);
  }

  @Override
  public DoubleBuffer doubles(int tensor) {
    return (DoubleBuffer) buffer(tensor, DataType.FLOAT64);
  }

  private Buffer buffer(int tensor, DataType wanted) {
    final String name = parameters.tensors().get(tensor).name();
    if (!parameters.device().isCpu())
      throw new IllegalArgumentException("buffers hold host memory, and " + parameters.device() + " is not the CPU");
    if (type(tensor) != wanted)
      throw new IllegalArgumentException("vectors of tensor '" + name + "' have elements of " + type(tensor) + ", not " + wanted);
    final long bytes = count(tensor) * wanted.bytes();
    if (bytes > Integer.MAX_VALUE) throw new IllegalArgumentException("tensor '" + name + "' is too large for a buffer: use its address");
    if (buffers[tensor] == null) {
      final ByteBuffer memory = plan.buffer(addresses[tensor], bytes);
      buffers[tensor] = wanted == DataType.FLOAT64 ? memory.asDoubleBuffer() : memory.asFloatBuffer();
    }
    return buffers[tensor];
  }
}
