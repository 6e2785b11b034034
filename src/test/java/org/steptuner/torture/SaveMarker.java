// SPDX-License-Identifier: Apache-2.0
package org.steptuner.torture;

import java.io.IOException;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** What a saving process says about itself, in a file that both processes have mapped: it is there when the process is not any more. */
final class SaveMarker {
  private static final VarHandle LONGS = MethodHandles.byteBufferViewVarHandle(long[].class, ByteOrder.nativeOrder());
  private static final int BEGUN = 0;
  private static final int COMPLETED = 8;
  private static final int SAVES = 16;
  private static final int NANOSECONDS = 24;

  private final ByteBuffer memory;

  private SaveMarker(ByteBuffer memory) {
    this.memory = memory;
  }

  static SaveMarker map(Path file) throws IOException {
    try (FileChannel channel =
        FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
      return new SaveMarker(channel.map(FileChannel.MapMode.READ_WRITE, 0, 32));
    }
  }

  /** The process has found this step saved, or none (-1), and begins. */
  void start(long step) {
    set(SAVES, 0);
    set(COMPLETED, step);
    set(BEGUN, step);
  }

  void begin(long step) {
    set(BEGUN, step);
    set(SAVES, saves() + 1);
  }

  void complete(long step, long nanoseconds) {
    set(NANOSECONDS, nanoseconds);
    set(COMPLETED, step);
  }

  /** The step whose saving was begun last. */
  long begun() {
    return get(BEGUN);
  }

  /** The step that must be on the disk, unless a later one is; -1 if there is none. */
  long completed() {
    return get(COMPLETED);
  }

  /** The number of saves that this process has begun. */
  long saves() {
    return get(SAVES);
  }

  /** What the last call took that saves. */
  long nanoseconds() {
    return get(NANOSECONDS);
  }

  private long get(int at) {
    return (long) LONGS.getVolatile(memory, at);
  }

  private void set(int at, long value) {
    LONGS.setVolatile(memory, at, value);
  }
}
