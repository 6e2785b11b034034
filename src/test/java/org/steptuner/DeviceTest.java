// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.steptuner.Refusal.assertRefused;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.logging.Handler;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Devices: what they are called, how they are chosen, and what is said where there is none. */
class DeviceTest {
  /** What this class's tests have made the library log, from the first of them on. */
  private static final class Log extends Handler {
    final List<LogRecord> records = new ArrayList<>();

    @Override
    public void publish(LogRecord record) {
      records.add(record);
    }

    @Override
    public void flush() {}

    @Override
    public void close() {}
  }

  private static final Log LOG = new Log();
  private static final Logger LOGGER = Logger.getLogger(Device.class.getName()); // kept: the framework would forget it

  @BeforeAll
  static void listen() {
    LOGGER.addHandler(LOG);
  }

  @AfterAll
  static void stopListening() {
    LOGGER.removeHandler(LOG);
  }

  @Test
  void namesAndThreads() {
    assumeTrue(TestDevices.hasSse2());
    final Device device = Device.cpu(3, InstructionSet.SSE2);
    assertEquals("CPU, sse2, 3 threads", device.name());
    assertEquals(device.name(), device.toString());
    assertEquals(3, device.threads());
    assertTrue(device.isCpu());
    assertEquals("CPU, sse2, 1 thread", Device.cpu(1, InstructionSet.SSE2).name());
    assertSame(device, Device.cpu(3, InstructionSet.SSE2), "opened once");
    assertNotSame(device, Device.cpu(2, InstructionSet.SSE2));
  }

  /** Where there is no GPU, best() is the CPU, and why is logged, once. */
  @Test
  void whyThereIsNoGpuIsLoggedOnce() {
    final boolean gpu = !Device.best().isCpu();
    assertEquals(gpu, !Device.best().isCpu());
    assertEquals(gpu ? 0 : 1, LOG.records.size());
    for (LogRecord record : LOG.records) assertTrue(String.valueOf(record.getParameters()[0]).contains("CUDA"), record::getMessage);
  }

  @Test
  void zeroIsOneThreadPerProcessor() {
    assertEquals(Runtime.getRuntime().availableProcessors(), Device.cpu(0).threads());
  }

  @Test
  void theBestInstructionSetIsTaken() throws IOException {
    final String flags = Files.readString(Path.of("/proc/cpuinfo"));
    final boolean wide = flags.contains(" avx512vl ") && flags.contains(" avx512bw ");
    final String best = wide ? "avx512" : flags.contains(" avx2 ") ? "avx2" : "sse2";
    assertTrue(Device.cpu(1).name().contains(best), Device.cpu(1).name());
  }

  @Test
  void systemProperties() {
    assumeTrue(TestDevices.hasSse2());
    with("steptuner.isa", "sse2", () -> assertEquals("CPU, sse2, 2 threads", Device.cpu(2).name()));
    with("steptuner.isa", " SSE2 ", () -> assertEquals("CPU, sse2, 2 threads", Device.cpu(2).name()));
    with("steptuner.threads", "5", () -> assertEquals(5, Device.cpu().threads()));
    with("steptuner.threads", " 4 ", () -> assertEquals(4, Device.cpu().threads()));
    with("steptuner.threads", "0", () -> assertEquals(Runtime.getRuntime().availableProcessors(), Device.cpu().threads()));
    // What the caller says counts more.
    with("steptuner.threads", "5", () -> assertEquals(2, Device.cpu(2).threads()));
    with("steptuner.isa", "nonsense", () -> assertEquals("CPU, sse2, 1 thread", Device.cpu(1, InstructionSet.SSE2).name()));
  }

  @Test
  void badSystemProperties() {
    for (String bad : new String[] {"two", "", "1.5", "99999999999"})
      with(
          "steptuner.threads", bad,
          () -> assertRefused(IllegalArgumentException.class, Device::cpu, "steptuner.threads", "'" + bad + "'"));
    with("steptuner.threads", "-1", () -> assertRefused(IllegalArgumentException.class, Device::cpu, "threads", "-1"));
    with(
        "steptuner.isa", "avx9000",
        () -> assertRefused(DeviceException.class, () -> Device.cpu(1), "'avx9000'", "sse2", "avx2", "avx512"));
  }

  /** In Turkish the lower case of SIMD has another i: names of instruction sets are not words of a language. */
  @Test
  void anyLocale() {
    assumeTrue(TestDevices.hasSse2());
    final Locale before = Locale.getDefault();
    Locale.setDefault(new Locale("tr", "TR"));
    try {
      with("steptuner.isa", "SSE2", () -> assertEquals("CPU, sse2, 7 threads", Device.cpu(7).name()));
    } finally {
      Locale.setDefault(before);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {-1, Integer.MIN_VALUE})
  void negativeNumbers(int bad) {
    assertRefused(IllegalArgumentException.class, () -> Device.cpu(bad), "threads", "" + bad);
    assertRefused(IllegalArgumentException.class, () -> Device.cpu(bad, InstructionSet.SSE2), "threads", "" + bad);
    assertRefused(IllegalArgumentException.class, () -> Device.fromLibrary(Path.of("/etc/hostname"), bad), "index", "" + bad);
    // Without the library of the GPU that is what is said first.
    try {
      Device.cuda(bad);
      throw new AssertionError("device " + bad);
    } catch (IllegalArgumentException | DeviceException e) {
      assertTrue(e.getMessage().contains("index") || e.getMessage().contains("CUDA"), e.getMessage());
    }
  }

  @Test
  void nullArguments() {
    assertRefused(NullPointerException.class, () -> Device.cpu(1, null), "instructionSet");
    assertRefused(NullPointerException.class, () -> Device.fromLibrary(null, 0), "library");
  }

  /** Where there is no GPU, the exception says what is missing: the library, the driver, or the device. */
  @Test
  void cudaOrAReason() {
    try {
      final Device gpu = Device.cuda(0);
      assertTrue(gpu.name().startsWith("CUDA"), gpu.name());
      assertEquals(0, gpu.threads());
      assertSame(gpu, Device.best());
    } catch (DeviceException e) {
      assertTrue(
          Stream.of("linux-x86_64-gpu", "driver", "no CUDA device").anyMatch(e.getMessage()::contains), e.getMessage());
      assertTrue(Device.best().isCpu());
    }
    assertRefused(DeviceException.class, () -> Device.cuda(100_000), "CUDA");
  }

  @Test
  void filesThatAreNoDeviceLibrary(@TempDir Path folder) throws IOException {
    assertRefused(DeviceException.class, () -> Device.fromLibrary(folder.resolve("none.so"), 0), "none.so");
    assertRefused(DeviceException.class, () -> Device.fromLibrary(folder, 0), folder.toString());
    final Path text = Files.writeString(folder.resolve("text.so"), "no library at all");
    assertRefused(DeviceException.class, () -> Device.fromLibrary(text, 0), "text.so");
    final Path empty = Files.createFile(folder.resolve("empty.so"));
    assertRefused(DeviceException.class, () -> Device.fromLibrary(empty, 0), "empty.so");
    // A shared library of another kind.
    final Path zip = Path.of(System.getProperty("java.home"), "lib", "libzip.so");
    assertRefused(DeviceException.class, () -> Device.fromLibrary(zip, 0), "libzip.so", "not a Step Tuner device library");
    // An error does not stick.
    assertRefused(DeviceException.class, () -> Device.fromLibrary(text, 0), "text.so");
  }

  /** Devices that were asked for by many threads at a time are the same one. */
  @Test
  void openedByManyThreads() {
    assumeTrue(TestDevices.hasSse2());
    final long different = IntStream.range(0, 64).parallel().mapToObj(i -> Device.cpu(11, InstructionSet.SSE2)).distinct().count();
    assertEquals(1, different);
  }

  private static void with(String property, String value, Runnable check) {
    final String before = System.getProperty(property);
    System.setProperty(property, value);
    try {
      check.run();
    } finally {
      if (before == null) System.clearProperty(property);
      else System.setProperty(property, before);
    }
  }
}
