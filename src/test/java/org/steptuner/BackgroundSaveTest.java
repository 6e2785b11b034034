// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import com.google.common.jimfs.Jimfs;
import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.lang.ref.Reference;
import java.nio.file.FileSystem;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.internal.Natives;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;
import org.steptuner.rule.ScheduleFreeAdamW;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;

/** Saving while training goes on: the file is of the moment of the call, and no error is lost. */
@Timeout(120)
class BackgroundSaveTest {
  @TempDir(factory = MemoryFolder.class)
  Path folder;

  private Path file;
  private FileSystem memory;
  private GatedFiles gated;

  @BeforeEach
  void make() throws IOException {
    file = folder.resolve("f");
    memory = Jimfs.newFileSystem(com.google.common.jimfs.Configuration.unix());
    gated = new GatedFiles(Files.createDirectory(memory.getPath("disk")));
  }

  @AfterEach
  void free() throws IOException {
    gated.open();
    memory.close();
  }

  private static TestTensors tensors() {
    return new TestTensors().add("w", FLOAT32, 70_001).group("bias").add("b", BFLOAT16, 130).add("empty", FLOAT32, 0).add("v", FLOAT64, 33)
        .parameters(i -> 1 + i % 3).gradients(i -> 1 + i % 5);
  }

  private static Optimizer optimizer(TestTensors tensors) {
    return Mechanic.tuning(AdamW.defaults()).build(tensors.on(Device.cpu(2)));
  }

  /** What was saved on the gated file system. */
  private SavedState gatedState(String name) throws IOException {
    Files.deleteIfExists(file);
    Files.copy(memory.getPath("disk", name), file);
    return SavedState.read(file);
  }

  static Stream<Configuration> configurations() {
    return Stream.concat(TestOptimizers.all().stream(), TestOptimizers.others().stream());
  }

  /** Steps, moves and restores while the writer waits: the file has what save would have written, and so has the next one. */
  @ParameterizedTest
  @MethodSource("configurations")
  void theFileIsOfTheMomentOfTheCall(Configuration configuration) throws Exception {
    try (TestTensors tensors = tensors(); Optimizer optimizer = configuration.builder().get().build(tensors.on(Device.cpu(2)))) {
      optimizer.step(0.5);
      final SavedState then = SavedState.of(optimizer);
      gated.close();
      optimizer.saveInBackground(gated.resolve("g"));
      gated.awaitWriter();
      optimizer.step(0.4);
      tensors.parameters(i -> 99);
      gated.open();
      optimizer.awaitSaved();
      then.assertSame(gatedState("g"), configuration.name());
      optimizer.restore(file);
      then.assertSame(SavedState.of(optimizer), "restored");
    }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void onEveryDevice(TestDevices.Candidate candidate) throws IOException {
    try (TestTensors tensors = tensors(); Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).build(tensors.on(candidate.open()))) {
      for (int i = 0; i < 3; ++i) {
        optimizer.step();
        optimizer.saveInBackground(file);
        final SavedState then = SavedState.of(optimizer);
        optimizer.step();
        optimizer.awaitSaved();
        then.assertSame(SavedState.read(file), candidate.name());
      }
    }
  }

  static Stream<TestDevices.Candidate> devices() {
    return TestDevices.all().stream();
  }

  /** The training parameters are in the file, and those to evaluate in their place afterwards. */
  @Test
  void whileEvaluating() throws IOException {
    try (TestTensors tensors = tensors();
        Optimizer optimizer = FixedRate.of(0.1, ScheduleFreeAdamW.defaults()).build(tensors.on(Device.cpu(2)))) {
      for (int i = 0; i < 3; ++i) optimizer.step();
      final SavedState training = SavedState.of(optimizer);
      optimizer.evaluating();
      final byte[] evaluated = tensors.parameters(0).toBytes();
      optimizer.saveInBackground(file);
      assertTrue(optimizer.isEvaluating());
      assertEquals(-1, java.util.Arrays.mismatch(evaluated, tensors.parameters(0).toBytes()));
      optimizer.awaitSaved();
      training.assertSame(SavedState.read(file), "saved");
    }
  }

  /** A second save, and each call that waits, waits for the first one: it ends after the gate was opened. */
  @ParameterizedTest
  @MethodSource("waitingCalls")
  void waitsForTheFirst(String call) throws Exception {
    try (TestTensors tensors = tensors()) {
      final Optimizer optimizer = optimizer(tensors);
      optimizer.save(file);
      gated.close();
      optimizer.saveInBackground(gated.resolve("g"));
      final AtomicReference<Throwable> thrown = new AtomicReference<>();
      final AtomicReference<Boolean> there = new AtomicReference<>();
      final Thread waiting =
          new Thread(
              () -> {
                try {
                  waiting().get(call).accept(optimizer);
                  there.set(Files.exists(gated.resolve("g")) && Thread.interrupted());
                } catch (Throwable e) {
                  thrown.set(e);
                }
              });
      waiting.start();
      while (waiting.getState() != Thread.State.WAITING) Thread.onSpinWait();
      // Interrupted, it waits on; meanwhile nobody else may use the optimizer.
      waiting.interrupt();
      while (waiting.isInterrupted()) Thread.onSpinWait();
      while (waiting.getState() != Thread.State.WAITING) Thread.onSpinWait();
      if (!call.equals("close")) assertRefused(IllegalStateException.class, optimizer::step, "in use");
      else assertRefused(IllegalStateException.class, optimizer::step, "closed");
      assertFalse(Files.exists(gated.resolve("g")));
      gated.open();
      waiting.join();
      assertNull(thrown.get());
      assertEquals(true, there.get(), "the file was there, and the thread interrupted");
      optimizer.close();
    }
  }

  private Map<String, Consumer<Optimizer>> waiting() {
    final Map<String, Consumer<Optimizer>> calls = new LinkedHashMap<>();
    calls.put("save", optimizer -> optimizer.save(file));
    calls.put("saveInBackground", optimizer -> optimizer.saveInBackground(file));
    calls.put("restore", optimizer -> optimizer.restore(file));
    calls.put("awaitSaved", Optimizer::awaitSaved);
    calls.put("close", Optimizer::close);
    return calls;
  }

  static Stream<String> waitingCalls() {
    return new BackgroundSaveTest().waiting().keySet().stream();
  }

  /** The next of these calls says what failed, the next but one no longer; what saves has saved, and what closes has closed. */
  @ParameterizedTest
  @MethodSource("waitingCalls")
  void anErrorIsReportedOnce(String call) throws Exception {
    final Consumer<Optimizer> next = waiting().get(call);
    for (String failing : List.of("gated", "no folder"))
      try (TestTensors tensors = tensors()) {
        final Optimizer optimizer = optimizer(tensors);
        optimizer.save(file);
        optimizer.step();
        final SavedState before = SavedState.of(optimizer);
        final Path target = failing.equals("gated") ? gated.resolve("g") : folder.resolve("no/g");
        gated.failWith(new IOException("planted"));
        optimizer.saveInBackground(target);
        optimizer.step(); // says nothing, and does what it does
        final UncheckedIOException e =
            assertRefused(
                UncheckedIOException.class, () -> next.accept(optimizer), target.toString(), "in the background",
                failing.equals("gated") ? "planted" : "there is no");
        assertTrue(e.getCause() instanceof IOException);
        if (call.equals("close")) {
          optimizer.close();
          assertRefused(IllegalStateException.class, optimizer::step, "closed");
          continue;
        }
        optimizer.awaitSaved();
        if (call.startsWith("save")) assertEquals(SavedState.of(optimizer).manifest(), SavedState.read(file).manifest(), "it has saved");
        else SavedState.of(optimizer).assertSame(SavedState.of(optimizer), "nothing has changed");
        assertEquals(2, optimizer.steps());
        next.accept(optimizer);
        optimizer.awaitSaved();
        optimizer.close();
        assertFalse(Files.exists(gated.resolve("g")));
        assertEquals(1, before.manifest().lines().filter(line -> line.equals("steps=1")).count());
      }
    assertEquals(List.of(), memoryFiles());
  }

  private List<String> memoryFiles() throws IOException {
    try (Stream<Path> files = Files.list(memory.getPath("disk"))) {
      return files.map(Path::toString).toList();
    }
  }

  /** Where the next call fails too, its own error is thrown and has the earlier one with it. */
  @Test
  void twoErrors() {
    try (TestTensors tensors = tensors(); Optimizer optimizer = optimizer(tensors)) {
      optimizer.saveInBackground(folder.resolve("no/one"));
      final UncheckedIOException e = assertRefused(UncheckedIOException.class, () -> optimizer.save(folder.resolve("no/two")), "no/two");
      assertEquals(1, e.getSuppressed().length);
      assertTrue(e.getSuppressed()[0].getMessage().contains("no/one"));
      optimizer.awaitSaved();
      // Each failing save in the background is tried, and each is reported.
      for (int i = 0; i < 3; ++i) {
        final Path target = folder.resolve("no/" + i);
        if (i == 0) optimizer.saveInBackground(target);
        else assertRefused(UncheckedIOException.class, () -> optimizer.saveInBackground(target), "no/" + (i - 1));
      }
      assertRefused(UncheckedIOException.class, optimizer::awaitSaved, "no/2");
      optimizer.awaitSaved();
    }
  }

  /** A step allocates nothing, whether a save was made, or is going on. */
  @Test
  void stepsCostNothingMore() {
    final ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    try (TestTensors tensors = TestTensors.of(FLOAT32, 300).gradients(i -> 1); Optimizer optimizer = optimizer(tensors)) {
      gated.close();
      optimizer.saveInBackground(gated.resolve("g"));
      for (int i = 0; i < 3000; ++i) optimizer.step();
      long least = Long.MAX_VALUE;
      for (int round = 0; round < 10 && least > 0; ++round) {
        final long before = threads.getCurrentThreadAllocatedBytes();
        for (int i = 0; i < 1000; ++i) optimizer.step();
        least = Math.min(least, threads.getCurrentThreadAllocatedBytes() - before);
      }
      assertEquals(0, least);
      gated.open();
    }
  }

  /** Thirty copies of 64 MB, made one after the other, need the memory of one. */
  @Test
  void theCopyIsFreed() throws IOException {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 16 << 20);
        Optimizer optimizer = FixedRate.of(1, SGD.defaults()).build(tensors.on(Device.cpu(1)))) {
      final long before = resident();
      for (int i = 0; i < 30; ++i) {
        optimizer.saveInBackground(folder.resolve("no/f"));
        assertRefused(UncheckedIOException.class, optimizer::awaitSaved, "no/f");
      }
      assertTrue(resident() - before < 600L << 20, "the copies are freed");
    }
  }

  private static long resident() throws IOException {
    return Long.parseLong(Files.readString(Path.of("/proc/self/statm")).split(" ")[1]) * 4096;
  }

  /** Saves in the background and ends, without closing anything. */
  static final class Ending {
    public static void main(String[] arguments) {
      final TestTensors tensors = TestTensors.of(FLOAT32, 3_000_000);
      final Optimizer optimizer = optimizer(tensors);
      final Thread daemon = new Thread(() -> optimizer.saveInBackground(Path.of(arguments[0])));
      daemon.setDaemon(true);
      daemon.start();
      while (daemon.isAlive()) Thread.onSpinWait();
      Reference.reachabilityFence(tensors); // JavaCPP frees memory whose pointers nobody has any more
    }
  }

  @Test
  void theJvmWaitsForTheWriter() throws Exception {
    OtherJvm.with("-Xmx64m").run(Ending.class, file);
    assertEquals(4L * 3_000_000, SavedState.read(file).entries().get("parameters/0").length);
  }

  /** Uses up the address space but for less than a copy needs. */
  static final class WithoutMemory {
    public static void main(String[] arguments) {
      final TestTensors tensors = TestTensors.of(FLOAT32, 12 << 20);
      final Path file = Path.of(arguments[0]);
      final long needed = 48L << 20;
      try (tensors; Optimizer optimizer = FixedRate.of(1, SGD.defaults()).build(tensors.on(Device.cpu(1)))) {
        optimizer.step();
        optimizer.save(file);
        final List<Long> filler = new ArrayList<>();
        final long[] address = new long[1];
        while (Natives.hostAllocate(needed / 2, address) == 0) filler.add(address[0]);
        for (int i = 0; i < 3; ++i)
          assertRefused(DeviceException.class, () -> optimizer.saveInBackground(file.resolveSibling("g")), Long.toString(needed), "bytes");
        assertRefused(
            DeviceException.class, () -> FixedRate.of(1, AdamW.defaults()).build(tensors.on(Device.cpu(1))), "slot 'momentum'",
            Long.toString(needed), "bytes");
        optimizer.step();
        assertEquals(2, optimizer.steps());
        for (long held : filler) Natives.hostFree(held);
        assertFalse(Files.exists(file.resolveSibling("g")));
        optimizer.saveInBackground(file.resolveSibling("g"));
        optimizer.awaitSaved();
        optimizer.restore(file.resolveSibling("g"));
        assertEquals(2, optimizer.steps());
      }
    }
  }

  @Test
  void noMemoryForTheCopy() throws Exception {
    final String preloaded = System.getenv("LD_PRELOAD");
    assumeTrue(preloaded == null || preloaded.isEmpty(), "sanitizers need more addresses than the limit leaves");
    OtherJvm
        .with("-Xmx32m", "-Dorg.bytedeco.javacpp.maxBytes=0", "-XX:CompressedClassSpaceSize=16m", "-XX:ReservedCodeCacheSize=32m",
            "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
        .by("export MALLOC_ARENA_MAX=1; ulimit -v 1500000 && exec \"$@\"").run(WithoutMemory.class, file);
  }
}
