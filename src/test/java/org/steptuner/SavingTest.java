// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import com.google.common.jimfs.Configuration;
import com.google.common.jimfs.Jimfs;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.steptuner.rule.AdamW;
import org.steptuner.tuner.Mechanic;

/** Saving and restoring where other programs are stopped: on interrupted threads, other file systems, full disks. */
@Timeout(120)
class SavingTest {
  @TempDir(factory = MemoryFolder.class)
  Path folder;

  private static TestTensors tensors(int count) {
    return new TestTensors().add("w", FLOAT32, count).add("b", BFLOAT16, 3).add("v", FLOAT64, 9).parameters(i -> i)
        .gradients(i -> 1 + i % 5);
  }

  private static Optimizer optimizer(TestTensors tensors) {
    return Mechanic.tuning(AdamW.defaults()).build(tensors.on(Device.cpu(1)));
  }

  private static List<String> names(Path folder) throws IOException {
    try (Stream<Path> paths = Files.list(folder)) {
      return paths.map(path -> path.getFileName().toString()).sorted().toList();
    }
  }

  /** Saves there, restores into another optimizer from there, and finds everything again. */
  private static void assertRoundTrip(Path file) {
    try (TestTensors one = tensors(500); TestTensors two = tensors(500); Optimizer from = optimizer(one); Optimizer to = optimizer(two)) {
      for (int step = 0; step < 3; ++step) {
        from.step();
        from.save(file, Map.of("epoch", new byte[] {(byte) step}));
        to.restore(file);
        SavedState.of(from).assertSame(SavedState.of(to), file + ", step " + step);
      }
    }
  }

  @Test
  void onAnInterruptedThread() {
    final Path file = folder.resolve("f");
    try (TestTensors one = tensors(500); TestTensors two = tensors(500); Optimizer from = optimizer(one); Optimizer to = optimizer(two)) {
      from.step();
      Thread.currentThread().interrupt();
      from.save(file);
      assertTrue(Thread.currentThread().isInterrupted());
      from.saveInBackground(folder.resolve("g"));
      from.saveInBackground(folder.resolve("g"));
      from.awaitSaved();
      assertTrue(Thread.currentThread().isInterrupted());
      to.restore(file);
      to.restore(folder.resolve("g"));
      assertTrue(Thread.interrupted());
      one.assertSameParameters(two, "restored");
      assertEquals(1, to.steps());
    } finally {
      Thread.interrupted();
    }
  }

  @Test
  void interruptedAtAnyMoment() throws IOException {
    final Path file = folder.resolve("f");
    try (FileSystem memory = Jimfs.newFileSystem(Configuration.unix());
        TestTensors one = tensors(5000);
        TestTensors two = tensors(5000);
        Optimizer from = optimizer(one);
        Optimizer to = optimizer(two)) {
      try (Interruptions running = new Interruptions()) {
        for (int i = 0; i < 60; ++i) {
          from.step();
          final Path there = i % 3 == 0 ? memory.getPath("f") : file;
          if (i % 2 == 0) from.save(there);
          else from.saveInBackground(there);
          from.awaitSaved();
          to.restore(there);
          assertEquals(i + 1, to.steps());
        }
        assertTrue(running != null);
      }
      two.assertSameParameters(one, "restored");
      assertEquals(List.of("f"), names(folder));
    }
  }

  @Test
  void onOtherFileSystems() throws IOException {
    for (Configuration configuration : List.of(Configuration.unix(), Configuration.windows(), Configuration.osX()))
      try (FileSystem memory = Jimfs.newFileSystem(configuration)) {
        assertRoundTrip(memory.getPath("run.checkpoint"));
        assertEquals(List.of("run.checkpoint"), names(memory.getPath("").toAbsolutePath()));
        try (TestTensors tensors = tensors(5); Optimizer optimizer = optimizer(tensors)) {
          assertRefused(UncheckedIOException.class, () -> optimizer.restore(memory.getPath("absent")), "absent");
          Files.createDirectory(memory.getPath("d"));
          assertRefused(UncheckedIOException.class, () -> optimizer.restore(memory.getPath("d")), "d", "folder");
          Files.write(memory.getPath("text"), new byte[] {1, 2, 3});
          assertRefused(CheckpointException.class, () -> optimizer.restore(memory.getPath("text")), "text");
        }
      }
    final URI archive = URI.create("jar:" + folder.resolve("z.zip").toUri());
    try (FileSystem zip = FileSystems.newFileSystem(archive, Map.of("create", "true"))) {
      assertRoundTrip(zip.getPath("/run.checkpoint"));
      assertEquals(List.of("run.checkpoint"), names(zip.getPath("/")));
    }
    // The archive is complete when it is closed: here, and nowhere else, the file is read again.
    try (FileSystem zip = FileSystems.newFileSystem(archive, Map.of());
        TestTensors tensors = tensors(500);
        Optimizer optimizer = optimizer(tensors)) {
      optimizer.restore(zip.getPath("/run.checkpoint"));
      assertEquals(3, optimizer.steps());
    }
    final FileSystem closed = FileSystems.newFileSystem(archive, Map.of());
    closed.close();
    try (TestTensors tensors = tensors(500); Optimizer optimizer = optimizer(tensors)) {
      final Path modules = FileSystems.getFileSystem(URI.create("jrt:/")).getPath("/modules/run");
      assertRefused(UncheckedIOException.class, () -> optimizer.save(modules), "/modules/run", "read-only");
      assertRefused(UncheckedIOException.class, () -> optimizer.save(closed.getPath("/run")), "/run", "closed");
      assertRefused(UncheckedIOException.class, () -> optimizer.restore(closed.getPath("/run")), "/run", "closed");
    }
    assertEquals(List.of("z.zip"), names(folder));
  }

  /** What cannot be decoded has no name that {@link java.io.File} knows, and is restored through a copy. */
  @Test
  void aNameThatCannotBeDecoded() throws Exception {
    assertEquals(0, new ProcessBuilder("bash", "-c", "touch \"$0\"/$'\\xff'", folder.toString()).start().waitFor());
    try (Stream<Path> paths = Files.list(folder)) {
      assertRoundTrip(paths.findFirst().orElseThrow());
    }
    assertEquals(1, names(folder).size());
  }

  @Test
  void throughALink() throws IOException {
    Files.createDirectory(folder.resolve("real"));
    Files.createSymbolicLink(folder.resolve("latest"), Path.of("real/run"));
    assertRoundTrip(folder.resolve("latest"));
    assertTrue(Files.isSymbolicLink(folder.resolve("latest")));
    assertEquals(List.of("run"), names(folder.resolve("real")));
  }

  @Test
  void entriesOfTheCaller() throws IOException {
    final Map<String, byte[]> entries = new HashMap<>();
    entries.put("epoch", "12".getBytes(StandardCharsets.US_ASCII));
    entries.put("data/position", new byte[] {1, 2, 3});
    entries.put("data/random.state", new byte[100_000]);
    entries.put("A-Z_0.9", new byte[0]);
    entries.put(".hidden/..a", new byte[1]);
    entries.put("n".repeat(200), new byte[1]);
    final Path file = folder.resolve("f");
    try (TestTensors tensors = tensors(5); Optimizer optimizer = optimizer(tensors)) {
      optimizer.save(file);
      final Map<String, byte[]> without = SavedState.read(file).entries();
      for (boolean background : new boolean[] {false, true}) {
        if (background) optimizer.saveInBackground(file, entries);
        else optimizer.save(file, entries);
        optimizer.awaitSaved();
        final Map<String, byte[]> saved = new TreeMap<>(SavedState.read(file).entries());
        entries.forEach((name, content) -> assertArrayEquals(content, saved.remove("entries/" + name), name));
        assertEquals(without.keySet(), saved.keySet());
        optimizer.restore(file);
      }
    }
  }

  /** The contents are those of the call, whatever the caller does with its arrays afterwards. */
  @Test
  void entriesAreCopied() throws Exception {
    try (FileSystem memory = Jimfs.newFileSystem(Configuration.unix());
        TestTensors tensors = tensors(5);
        Optimizer optimizer = optimizer(tensors)) {
      final GatedFiles gated = new GatedFiles(memory.getPath("").toAbsolutePath());
      final byte[] content = {1};
      final Map<String, byte[]> entries = new HashMap<>(Map.of("a", content));
      gated.close();
      optimizer.saveInBackground(gated.resolve("f"), entries);
      content[0] = 2;
      entries.clear();
      gated.open();
      optimizer.awaitSaved();
      Files.copy(memory.getPath("f"), folder.resolve("f"));
      assertArrayEquals(new byte[] {1}, SavedState.read(folder.resolve("f")).entries().get("entries/a"));
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a b", "a\\b", "a:b", "é", "a\n", "\u0000", "a*"})
  void namesOfEntriesThatCannotBe(String name) throws IOException {
    final Path file = folder.resolve("f");
    try (TestTensors tensors = tensors(5); Optimizer optimizer = optimizer(tensors)) {
      final Map<String, byte[]> entries = Map.of("good", new byte[1], name, new byte[1]);
      assertRefused(IllegalArgumentException.class, () -> optimizer.save(file, entries), "'" + name + "'", "entry");
      assertRefused(IllegalArgumentException.class, () -> optimizer.saveInBackground(file, entries), "'" + name + "'", "entry");
      assertEquals(List.of(), names(folder));
    }
  }

  @Test
  void otherBadEntries() throws IOException {
    final Path file = folder.resolve("f");
    try (TestTensors tensors = tensors(5); Optimizer optimizer = optimizer(tensors)) {
      final String longName = "n".repeat(201);
      assertRefused(IllegalArgumentException.class, () -> optimizer.save(file, Map.of(longName, new byte[1])), "200", "201");
      assertRefused(
          IllegalArgumentException.class, () -> optimizer.save(file, Map.of("a", new byte[1], "a/b", new byte[1])), "'a'", "'a/b'");
      final Map<String, byte[]> nulls = new HashMap<>();
      nulls.put("x", null);
      assertRefused(NullPointerException.class, () -> optimizer.save(file, nulls), "'x'");
      assertRefused(NullPointerException.class, () -> optimizer.saveInBackground(file, nulls), "'x'");
      final Map<String, byte[]> nameless = new HashMap<>();
      nameless.put(null, new byte[1]);
      assertRefused(NullPointerException.class, () -> optimizer.save(file, nameless), "name");
      assertRefused(NullPointerException.class, () -> optimizer.save(file, null), "entries");
      assertRefused(NullPointerException.class, () -> optimizer.saveInBackground(null), "file");
      assertEquals(List.of(), names(folder));
    }
  }

  /** More entries than the first form of the zip format can count: 65,535. */
  @Test
  void moreEntriesThanTheOldFormatCounts() throws IOException {
    final int count = 13_500;
    try (
        TestTensors memory = new TestTensors().add("x", FLOAT32, count).add("y", FLOAT32, count).parameters(i -> i).gradients(i -> i % 3)) {
      final ParameterSet.Builder one = ParameterSet.on(Device.cpu(1));
      final ParameterSet.Builder two = ParameterSet.on(Device.cpu(1));
      for (int t = 0; t < count; ++t) {
        final long gradient = memory.gradients(0).address() + 4L * t;
        one.add("t" + t, memory.parameters(0).address() + 4L * t, gradient, 1, FLOAT32);
        two.add("t" + t, memory.parameters(1).address() + 4L * t, gradient, 1, FLOAT32);
      }
      final Path file = folder.resolve("f");
      try (Optimizer from = Mechanic.tuning(AdamW.defaults()).build(one.build());
          Optimizer to = Mechanic.tuning(AdamW.defaults()).build(two.build())) {
        from.step();
        from.save(file);
        assertTrue(count * (1 + from.slots().size()) > 65_535);
        assertEquals(1 + count * (1 + from.slots().size()), SavedState.read(file).entries().size());
        to.restore(file);
      }
      TestTensors.assertSameBits(memory.parameters(0), memory.parameters(1), "restored");
    }
  }

  /** Fails to save over an old file, for the reason in the first argument; sees that all is as it was; saves once there is room. */
  static final class OnAFullDisk {
    public static void main(String[] arguments) throws IOException {
      final Path file = Path.of(arguments[0]).resolve("f");
      final Path filler = file.resolveSibling("filler");
      try (TestTensors small = tensors(1000); TestTensors large = tensors(200_000); Optimizer old = optimizer(small)) {
        old.save(file);
        final byte[] before = Files.readAllBytes(file);
        try (Optimizer optimizer = optimizer(large)) {
          for (boolean background : new boolean[] {false, true, true})
            for (Path target : List.of(file, file.resolveSibling("new"))) {
              assertRefused(
                  UncheckedIOException.class, () -> {
                    if (background) optimizer.saveInBackground(target);
                    else optimizer.save(target);
                    optimizer.awaitSaved();
                  }, target.toString(), arguments[1]);
              assertArrayEquals(before, Files.readAllBytes(file));
              assertEquals(List.of("f"), names(file.getParent()));
            }
          optimizer.step();
        }
        if (arguments.length > 2) {
          // A disk that is full to the last byte has no room for the first one either.
          assertRefused(IOException.class, () -> {
            try (var out = Files.newOutputStream(filler)) {
              while (true) out.write(new byte[512]);
            }
          }, arguments[1]);
          assertRefused(UncheckedIOException.class, () -> old.save(file), arguments[1]);
          assertEquals(List.of("f", "filler"), names(file.getParent()));
          Files.delete(filler);
        }
        old.step();
        old.save(file);
        assertFalse(java.util.Arrays.equals(before, Files.readAllBytes(file)));
        old.restore(file);
        assertEquals(List.of("f"), names(file.getParent()));
      }
    }
  }

  @Test
  void beyondALimitOfFileSizes() throws Exception {
    // Of bash, in units of 1024 bytes.
    OtherJvm.with("-Xmx64m").by("ulimit -f 1000 && exec \"$@\"").run(OnAFullDisk.class, folder, "File too large");
  }

  /** Whether this process may mount a file system in a namespace of its own. */
  private static void assumeMounts() throws Exception {
    final Process mount = new ProcessBuilder("unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt").start();
    Assumptions.assumeTrue(mount.waitFor() == 0, "needs unshare and the right to mount");
  }

  @Test
  void onAFullDisk() throws Exception {
    assumeMounts();
    OtherJvm.with("-Xmx64m").by("unshare -rm bash -c 'mount -t tmpfs -o size=1m none \"$0\" && exec \"$@\"' " + folder + " \"$@\"")
        .run(OnAFullDisk.class, folder, "No space left", "fill");
  }

  static final class OnAReadOnlyDisk {
    public static void main(String[] arguments) throws IOException {
      final Path disk = Path.of(arguments[0]);
      try (TestTensors tensors = tensors(10); Optimizer optimizer = optimizer(tensors)) {
        assertRefused(UncheckedIOException.class, () -> optimizer.save(disk.resolve("f")), disk.toString(), "Read-only");
        optimizer.saveInBackground(disk.resolve("f"));
        assertRefused(UncheckedIOException.class, optimizer::awaitSaved, disk.toString(), "Read-only");
        assertEquals(List.of(), names(disk));
      }
    }
  }

  @Test
  void onAReadOnlyDisk() throws Exception {
    assumeMounts();
    OtherJvm.with("-Xmx64m").by("unshare -rm bash -c 'mount -t tmpfs -o ro none \"$0\" && exec \"$@\"' " + folder + " \"$@\"")
        .run(OnAReadOnlyDisk.class, folder);
  }
}
