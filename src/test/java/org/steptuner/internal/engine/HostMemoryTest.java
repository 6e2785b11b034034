// SPDX-License-Identifier: Apache-2.0
package org.steptuner.internal.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.Refusal.assertRefused;

import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.steptuner.DeviceException;
import org.steptuner.internal.NativeLibrary;

class HostMemoryTest {
  @BeforeAll
  static void load() {
    NativeLibrary.load();
  }

  @Test
  void holdsWhatIsPutThere() {
    try (HostMemory memory = new HostMemory(1000)) {
      final NativeBytes bytes = new NativeBytes(memory.address());
      for (int i = 0; i < 1000; ++i) bytes.put(i, (byte) i);
      final byte[] to = {9, 9, 9, 9};
      memory.read(998, to, 2);
      assertArrayEquals(new byte[] {(byte) 998, (byte) 999, 9, 9}, to);
      assertEquals(0, memory.address() % 16);
    }
  }

  @Test
  void nothingAndMoreThanThereIs() {
    try (HostMemory none = new HostMemory(0)) {
      assertTrue(none.address() != 0);
    }
    assertRefused(DeviceException.class, () -> new HostMemory(1L << 62), Long.toString(1L << 62), "bytes of host memory");
    assertRefused(IllegalArgumentException.class, () -> new HostMemory(-1), "-1");
  }
}
