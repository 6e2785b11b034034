// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import java.lang.ref.Cleaner;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.steptuner.internal.Natives;

/** A native plan. It is destroyed when it has been freed and no buffer of it is reachable any more. */
final class PlanMemory {
  private static Cleaner cleaner; // made when first needed: it has a thread, of which there may be none left

  private final long handle;
  private int holders = 1;

  PlanMemory(long handle) {
    this.handle = handle;
  }

  /** Memory of the plan as a buffer, which holds it. */
  ByteBuffer buffer(long address, long bytes) {
    final ByteBuffer buffer = new NativeBytes(address).capacity(bytes).asByteBuffer().order(ByteOrder.nativeOrder());
    final Cleaner freeing = cleaner();
    hold();
    freeing.register(buffer, this::free);
    return buffer;
  }

  /** Gives up one hold, that of the plan or of a buffer. */
  synchronized void free() {
    if (--holders == 0) Natives.planDestroy(handle);
  }

  private synchronized void hold() {
    ++holders;
  }

  private static synchronized Cleaner cleaner() {
    if (cleaner == null) cleaner = Cleaner.create();
    return cleaner;
  }
}
