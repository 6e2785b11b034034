// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** A copy of all that a checkpoint of an optimizer holds, at one moment, in native memory of its own. */
final class Snapshot implements AutoCloseable {
  private final CheckpointWriter writer;
  private final long[] starts; // of the arrays in the memory
  private final HostMemory memory;

  /** @throws org.steptuner.DeviceException if there is not so much memory, or the device fails */
  Snapshot(BoundOptimizer optimizer, Map<String, byte[]> entries) {
    writer = new CheckpointWriter(optimizer, entries);
    final List<Checkpoint.Array> arrays = writer.arrays();
    starts = new long[arrays.size()];
    long bytes = 0;
    for (int a = 0; a < starts.length; ++a) {
      starts[a] = bytes;
      bytes += arrays.get(a).bytes();
    }
    memory = new HostMemory(bytes);
    try {
      for (int a = 0; a < starts.length; ++a) {
        final Checkpoint.Array array = arrays.get(a);
        optimizer.plan.read(array.slot(), array.tensor(), 0, memory.address() + starts[a], array.bytes());
      }
    } catch (RuntimeException | Error e) {
      memory.close();
      throw e;
    }
  }

  /** @throws java.io.UncheckedIOException if the file cannot be written; the old one is there then */
  void write(Path file) {
    writer.write(file, (array, offset, to, bytes) -> memory.read(starts[array] + offset, to, bytes));
  }

  @Override
  public void close() {
    memory.close();
  }
}
