// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Assumptions;

/** Streams and graphs of the emulated CUDA, as a trainer has them. A call that CUDA refuses is an {@link AssertionError}. */
final class EmulatedGraphs {
  private EmulatedGraphs() {}

  /** The device whose streams these are. Skips the test where the emulation, or the library with these methods, was not built. */
  static Device load() {
    final Path library = Path.of(System.getProperty("steptuner.test.native", ""), "libemulated_graphs.so");
    Assumptions.assumeTrue(Files.exists(library), "the emulation is not built");
    final TestDevices.Candidate emulated =
        TestDevices.all().stream().filter(candidate -> candidate.name().contains("emulated")).findFirst().orElse(null);
    Assumptions.assumeTrue(emulated != null, "the emulated device is not among those of this run");
    System.load(library.toAbsolutePath().toString());
    return emulated.open();
  }

  static native long createStream();

  static native void destroyStream(long stream);

  static native void beginCapture(long stream);

  /** Returns an executable graph. */
  static native long endCapture(long stream);

  static native void launch(long graph, long stream);

  static native void destroyGraph(long graph);
}
