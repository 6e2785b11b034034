// SPDX-License-Identifier: Apache-2.0
package oldsystem;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.zip.CRC32;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.rule.AdamW;
import org.steptuner.tuner.Mechanic;

/** Trains a little and prints the device and a checksum of the weights: the same on every system. */
public final class Steps {
  private static final int SIZE = 100_003;

  public static void main(String[] arguments) {
    final ByteBuffer memory = ByteBuffer.allocateDirect(SIZE * Float.BYTES).order(ByteOrder.nativeOrder());
    final FloatBuffer weights = memory.asFloatBuffer();
    final FloatBuffer gradients = ByteBuffer.allocateDirect(SIZE * Float.BYTES).order(ByteOrder.nativeOrder()).asFloatBuffer();
    final ParameterSet parameters = ParameterSet.on(Device.cpu(2)).add("weights", weights, gradients).build();
    try (Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).build(parameters)) {
      for (int step = 0; step < 20; ++step) {
        for (int i = 0; i < SIZE; ++i) gradients.put(i, weights.get(i) - i % 17);
        optimizer.step();
      }
    }
    final CRC32 sum = new CRC32();
    sum.update(memory);
    System.out.println(Device.cpu(2).name() + ", weights " + Long.toHexString(sum.getValue()));
  }

  private Steps() {}
}
