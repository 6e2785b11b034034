// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.junit.jupiter.api.Assumptions;

/**
 * The devices that must agree: the CPU with every instruction set and 1, 2 and 3 threads, and those of the libraries in the system
 * property {@code steptuner.test.libraries} (comma-separated paths), whose memory must be host memory.
 */
public final class TestDevices {
  /** A device yet to be opened: what this processor lacks is found out, and skipped, within the test that wants it. */
  public record Candidate(String name, boolean cpu, Supplier<Device> opener) {
    public Device open() {
      return opener.get();
    }

    @Override
    public String toString() {
      return name;
    }
  }

  private TestDevices() {}

  /** What every other device is compared with: one thread of SSE2; a developer's build has another set alone, which is compared with itself. */
  public static Device reference() {
    return hasSse2() ? Device.cpu(1, InstructionSet.SSE2) : Device.cpu(1);
  }

  /** Whether the library was built for SSE2, which every processor has. */
  public static boolean hasSse2() {
    try {
      Device.cpu(1, InstructionSet.SSE2);
      return true;
    } catch (DeviceException e) {
      if (String.valueOf(e.getMessage()).contains("sse2 (not built into this library)")) return false;
      throw e;
    }
  }

  public static List<Candidate> cpus() {
    final List<Candidate> devices = new ArrayList<>();
    for (InstructionSet set : InstructionSet.values())
      for (int threads = 1; threads <= 3; ++threads) {
        final int count = threads;
        devices.add(new Candidate(set + " x " + threads, true, () -> cpu(count, set)));
      }
    return devices;
  }

  public static List<Candidate> all() {
    final List<Candidate> devices = cpus();
    for (String library : System.getProperty("steptuner.test.libraries", "").split(","))
      if (!library.isBlank()) {
        final Path path = Path.of(library.trim());
        devices.add(new Candidate(path.getFileName().toString(), false, () -> Device.fromLibrary(path, 0)));
      }
    return devices;
  }

  private static Device cpu(int threads, InstructionSet set) {
    try {
      return Device.cpu(threads, set);
    } catch (DeviceException e) {
      Assumptions.abort(e.getMessage());
      throw e;
    }
  }
}
