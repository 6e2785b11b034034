// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import org.steptuner.internal.Natives;

/** Native memory of the host, of any size. Neither the size of the Java heap nor a limit of JavaCPP's counts for it. */
final class HostMemory implements AutoCloseable {
  private long address;

  /** @throws org.steptuner.DeviceException if there is not so much memory; it names the bytes */
  HostMemory(long bytes) {
    final long[] allocated = new long[1];
    Natives.check(Natives.hostAllocate(bytes, allocated));
    address = allocated[0];
  }

  long address() {
    return address;
  }

  /** Copies bytes to the beginning of an array. */
  void read(long offset, byte[] to, int bytes) {
    new NativeBytes(address).position(offset).get(to, 0, bytes);
  }

  @Override
  public void close() {
    Natives.hostFree(address);
    address = 0;
  }
}
