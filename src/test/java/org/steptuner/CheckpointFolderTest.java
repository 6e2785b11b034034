// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.Refusal.assertRefused;

import com.google.common.jimfs.Configuration;
import com.google.common.jimfs.Jimfs;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.tuner.Mechanic;

/** The newest whole checkpoints stay, and a run goes on from the newest that can be read. */
@Timeout(120)
class CheckpointFolderTest {
  @TempDir(factory = MemoryFolder.class)
  Path folder;

  private static TestTensors tensors() {
    return new TestTensors().add("w", FLOAT32, 500).parameters(i -> i).gradients(i -> 1 + i % 5);
  }

  private static Optimizer optimizer(TestTensors tensors) {
    return Mechanic.tuning(AdamW.defaults()).build(tensors.on(Device.cpu(1)));
  }

  private static List<String> names(Path folder) throws IOException {
    try (Stream<Path> paths = Files.list(folder)) {
      return paths.map(path -> path.getFileName().toString()).sorted().toList();
    }
  }

  private static String name(int step) {
    return "step-" + "0".repeat(12 - Integer.toString(step).length()) + step + ".checkpoint";
  }

  private static List<String> steps(int... steps) {
    return Arrays.stream(steps).mapToObj(CheckpointFolderTest::name).toList();
  }

  private static void advance(Optimizer optimizer, int steps) {
    for (int i = 0; i < steps; ++i) optimizer.step();
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void theNewestStay(boolean background) throws IOException {
    final Path inner = folder.resolve("runs/7");
    final CheckpointFolder checkpoints = CheckpointFolder.of(inner).keep(3);
    assertEquals(List.of(), checkpoints.files());
    assertEquals(Optional.empty(), checkpoints.latest());
    try (TestTensors tensors = tensors(); Optimizer optimizer = optimizer(tensors)) {
      assertEquals(Optional.empty(), checkpoints.restoreLatest(optimizer));
      final List<Path> saved = new ArrayList<>();
      for (int save = 0; save < 6; ++save) {
        saved.add(background ? checkpoints.saveInBackground(optimizer) : checkpoints.save(optimizer, Map.of("epoch", new byte[] {1})));
        optimizer.awaitSaved();
        assertEquals(saved.subList(Math.max(0, save - 2), save + 1), checkpoints.files());
        assertEquals(Optional.of(saved.get(save)), checkpoints.latest());
        assertEquals(background, !SavedState.read(saved.get(save)).entries().containsKey("entries/epoch"));
        advance(optimizer, save == 0 ? 9 : 1);
      }
      assertEquals(steps(11, 12, 13), names(inner));
      // The same step again is the same file.
      final CheckpointFolder.Latest latest = checkpoints.restoreLatest(optimizer).orElseThrow();
      assertEquals(saved.get(5), latest.file());
      assertEquals(Map.of(), latest.skipped());
      assertTrue(latest.restored().isExact());
      assertEquals(13, optimizer.steps());
      assertEquals(saved.get(5), checkpoints.save(optimizer));
      assertEquals(steps(11, 12, 13), names(inner));
      CheckpointFolder.of(inner).keep(1).save(optimizer);
      assertEquals(steps(13), names(inner));
    }
  }

  @Test
  void allStayUnlessToldOtherwise() throws IOException {
    try (TestTensors tensors = tensors(); Optimizer optimizer = optimizer(tensors)) {
      for (int i = 0; i < 12; ++i) {
        CheckpointFolder.of(folder).save(optimizer);
        optimizer.step();
      }
    }
    assertEquals(12, names(folder).size());
    for (int files : new int[] {0, -1})
      assertRefused(IllegalArgumentException.class, () -> CheckpointFolder.of(folder).keep(files), "files", "at least 1", "" + files);
    assertRefused(NullPointerException.class, () -> CheckpointFolder.of(null), "folder");
  }

  /** By number and not by letters, in every locale; and what has another name is nobody's business. */
  @Test
  void onlyItsOwnFiles() throws IOException {
    final List<String> others =
        List.of("step-1.checkpoint", "step-00000000000x.checkpoint", "xstep-000000000001.checkpoint", "step-000000000001.checkpoint.bak",
            "notes", "best.checkpoint", ".steptuner-other.partial");
    for (String other : others) Files.writeString(folder.resolve(other), "mine");
    Files.createDirectory(folder.resolve(name(3)));
    Files.createSymbolicLink(folder.resolve(name(4)), folder.resolve("best.checkpoint"));
    final Locale locale = Locale.getDefault();
    try (TestTensors tensors = tensors(); Optimizer optimizer = optimizer(tensors)) {
      Locale.setDefault(Locale.forLanguageTag("ar-EG-u-nu-arab"));
      final CheckpointFolder checkpoints = CheckpointFolder.of(folder).keep(1);
      checkpoints.save(optimizer);
      Files.copy(folder.resolve(name(0)), folder.resolve("step-1000000000000.checkpoint"));
      Files.copy(folder.resolve(name(0)), folder.resolve("step-999999999999.checkpoint"));
      assertEquals("step-1000000000000.checkpoint", checkpoints.latest().orElseThrow().getFileName().toString());
      Files.delete(folder.resolve("step-1000000000000.checkpoint"));
      Files.delete(folder.resolve("step-999999999999.checkpoint"));
      advance(optimizer, 10);
      checkpoints.save(optimizer);
      assertEquals(steps(10), checkpoints.files().stream().map(path -> path.getFileName().toString()).toList());
    } finally {
      Locale.setDefault(locale);
    }
    for (String other : others) if (!other.endsWith(".partial")) assertEquals("mine", Files.readString(folder.resolve(other)));
    assertTrue(Files.isDirectory(folder.resolve(name(3))));
    assertTrue(Files.isSymbolicLink(folder.resolve(name(4))));
  }

  private static void truncate(Path file) throws IOException {
    final byte[] all = Files.readAllBytes(file);
    Files.write(file, Arrays.copyOf(all, all.length / 2));
  }

  private static void flip(Path file, String entry) throws IOException {
    final byte[] all = Files.readAllBytes(file);
    final String text = new String(all, java.nio.charset.StandardCharsets.ISO_8859_1);
    final int at = text.indexOf(entry) + entry.length() + 20;
    all[at] ^= 1;
    Files.write(file, all);
  }

  /** Gives an entry another name of the same length. */
  private static void rename(Path file, String entry, String to) throws IOException {
    final String text = new String(Files.readAllBytes(file), java.nio.charset.StandardCharsets.ISO_8859_1);
    Files.write(file, text.replace(entry, to).getBytes(java.nio.charset.StandardCharsets.ISO_8859_1));
  }

  @Test
  void aDamagedFileIsPassedOver() throws IOException {
    final CheckpointFolder checkpoints = CheckpointFolder.of(folder);
    try (TestTensors tensors = tensors(); Optimizer optimizer = optimizer(tensors)) {
      for (int i = 0; i < 7; ++i) {
        optimizer.step();
        checkpoints.save(optimizer, Map.of("a", new byte[1], "b", new byte[1]));
      }
      rename(folder.resolve(name(7)), "entries/a", "entries/b"); // it is there twice then
      truncate(folder.resolve(name(6)));
      flip(folder.resolve(name(5)), "parameters/0");
      flip(folder.resolve(name(4)), "manifest");
      Files.write(folder.resolve(name(3)), new byte[0]);
      final CheckpointFolder.Latest latest = checkpoints.restoreLatest(optimizer).orElseThrow();
      assertEquals(folder.resolve(name(2)), latest.file());
      assertEquals(2, optimizer.steps());
      assertEquals(steps(7, 6, 5, 4, 3), latest.skipped().keySet().stream().map(path -> path.getFileName().toString()).toList());
      latest.skipped().forEach((file, reason) -> assertTrue(reason.getMessage().contains(file.toString()), reason.getMessage()));
      assertThrows(UnsupportedOperationException.class, () -> latest.skipped().clear());
      truncate(folder.resolve(name(2)));
      truncate(folder.resolve(name(1)));
      final SavedState before = SavedState.of(optimizer);
      final CheckpointException none =
          assertRefused(CheckpointException.class, () -> checkpoints.restoreLatest(optimizer), "7", folder.toString());
      assertEquals(7, none.getSuppressed().length);
      before.assertSame(SavedState.of(optimizer), "unchanged");
    }
  }

  /** One that is whole and of another optimizer is a mistake, and no reason to take an older one. */
  @Test
  void aCheckpointOfAnotherOptimizer() {
    final CheckpointFolder checkpoints = CheckpointFolder.of(folder);
    try (TestTensors tensors = tensors();
        Optimizer optimizer = optimizer(tensors);
        Optimizer other = Mechanic.tuning(Lion.defaults()).build(tensors.on(Device.cpu(1)))) {
      optimizer.step();
      checkpoints.save(optimizer);
      advance(other, 2);
      checkpoints.save(other);
      final SavedState before = SavedState.of(optimizer);
      assertRefused(CheckpointException.class, () -> checkpoints.restoreLatest(optimizer), name(2), "another optimizer");
      before.assertSame(SavedState.of(optimizer), "unchanged");
      assertEquals(folder.resolve(name(2)), checkpoints.restoreLatest(other).orElseThrow().file());
      // Other settings are allowed by options only.
      try (Optimizer set = Mechanic.tuning(Lion.defaults()).decay(0.5).build(tensors.on(Device.cpu(1)))) {
        assertRefused(CheckpointException.class, () -> checkpoints.restoreLatest(set), name(2));
        final CheckpointFolder.Latest latest = checkpoints.restoreLatest(set, RestoreOptions.strict().allowSettings()).orElseThrow();
        assertEquals(1, latest.restored().settings().size());
        assertEquals(2, set.steps());
      }
    }
  }

  /** A file that was truncated is not one of those that must stay: otherwise nothing that can be restored might be left. */
  @Test
  void truncatedFilesDoNotCount() throws IOException {
    final CheckpointFolder checkpoints = CheckpointFolder.of(folder).keep(2);
    try (TestTensors tensors = tensors(); Optimizer optimizer = optimizer(tensors)) {
      for (int i = 1; i <= 2; ++i) {
        optimizer.step();
        checkpoints.save(optimizer);
      }
      truncate(folder.resolve(name(2)));
      optimizer.step();
      checkpoints.save(optimizer);
      assertEquals(steps(1, 2, 3), names(folder));
      optimizer.step();
      checkpoints.save(optimizer);
      assertEquals(steps(3, 4), names(folder));
    }
  }

  /** A run that went back: what was just saved stays, whatever else is there. */
  @Test
  void whatWasJustSavedStays() throws IOException {
    try (TestTensors tensors = tensors(); Optimizer optimizer = optimizer(tensors)) {
      final CheckpointFolder checkpoints = CheckpointFolder.of(folder);
      optimizer.step();
      final Path first = checkpoints.save(optimizer);
      for (int i = 0; i < 4; ++i) {
        advance(optimizer, 10);
        checkpoints.save(optimizer);
      }
      optimizer.restore(first);
      optimizer.step();
      checkpoints.keep(2).save(optimizer);
      assertEquals(steps(2, 41), names(folder));
      checkpoints.keep(1).save(optimizer);
      assertEquals(steps(2), names(folder));
    }
  }

  /** Nothing is removed for the sake of a file that could not be written. */
  @Test
  void aFailedSaveRemovesNothing() throws Exception {
    try (FileSystem memory = Jimfs.newFileSystem(Configuration.unix());
        TestTensors tensors = tensors();
        Optimizer optimizer = optimizer(tensors)) {
      final Path disk = Files.createDirectory(memory.getPath("disk"));
      final Path runs = disk.resolve("runs");
      final GatedFiles gated = new GatedFiles(disk);
      final CheckpointFolder checkpoints = CheckpointFolder.of(gated.resolve("runs")).keep(2);
      for (int i = 1; i <= 3; ++i) {
        optimizer.step();
        checkpoints.save(optimizer);
      }
      final List<String> before = names(runs);
      assertEquals(steps(2, 3), before);
      gated.failWith(new IOException("planted"));
      optimizer.step();
      assertRefused(UncheckedIOException.class, () -> checkpoints.save(optimizer), "planted");
      assertEquals(before, names(runs));
      checkpoints.saveInBackground(optimizer);
      assertRefused(UncheckedIOException.class, optimizer::awaitSaved, "planted", name(4));
      assertEquals(before, names(runs));
      // Nor before the new one is in its place.
      gated.failWith(null);
      gated.close();
      checkpoints.saveInBackground(optimizer);
      gated.awaitWriter();
      assertEquals(before, names(runs).stream().filter(name -> !name.startsWith(".")).toList());
      gated.open();
      optimizer.awaitSaved();
      assertEquals(steps(3, 4), names(runs));
      optimizer.step();
      assertEquals(gated.resolve("runs").resolve(name(4)).toString(), checkpoints.restoreLatest(optimizer).orElseThrow().file().toString());
      assertEquals(4, optimizer.steps());
    }
  }

  @Test
  void aFolderThatCannotBe() throws IOException {
    Files.writeString(folder.resolve("file"), "");
    try (TestTensors tensors = tensors(); Optimizer optimizer = optimizer(tensors)) {
      for (String bad : List.of("file", "file/inner")) {
        final CheckpointFolder checkpoints = CheckpointFolder.of(folder.resolve(bad));
        assertRefused(UncheckedIOException.class, () -> checkpoints.save(optimizer), folder.resolve(bad).toString());
        assertRefused(UncheckedIOException.class, () -> checkpoints.saveInBackground(optimizer), folder.resolve(bad).toString());
        assertRefused(UncheckedIOException.class, checkpoints::files, folder.resolve(bad).toString(), "is no folder");
        assertRefused(UncheckedIOException.class, () -> checkpoints.restoreLatest(optimizer), folder.resolve(bad).toString());
      }
      optimizer.awaitSaved();
      // Through a link to a folder.
      Files.createDirectory(folder.resolve("real"));
      Files.createSymbolicLink(folder.resolve("link"), Path.of("real"));
      CheckpointFolder.of(folder.resolve("link")).keep(1).save(optimizer);
      assertEquals(steps(0), names(folder.resolve("real")));
    }
    assertFalse(Files.isDirectory(folder.resolve("file")));
  }

  /** The JDK's zip file system throws NullPointerException, and others, once it is closed. */
  @Test
  void onAClosedFileSystem() throws IOException {
    final Path inner;
    try (FileSystem zip = FileSystems.newFileSystem(folder.resolve("zip"), Map.of("create", "true"))) {
      inner = zip.getPath("/run");
    }
    final CheckpointFolder checkpoints = CheckpointFolder.of(inner).keep(1);
    try (TestTensors tensors = tensors(); Optimizer optimizer = optimizer(tensors)) {
      assertRefused(UncheckedIOException.class, () -> checkpoints.save(optimizer), "/run", "closed");
      assertRefused(UncheckedIOException.class, () -> checkpoints.saveInBackground(optimizer), "/run", "closed");
      assertRefused(UncheckedIOException.class, checkpoints::files, "/run", "closed");
      assertRefused(UncheckedIOException.class, () -> checkpoints.restoreLatest(optimizer), "/run", "closed");
    }
  }

  /** Zip files have no checksum of the names in them: one bit there, and an entry has another name. */
  @Test
  void aDamagedNameInTheArchive() throws IOException {
    final CheckpointFolder checkpoints = CheckpointFolder.of(folder);
    try (TestTensors tensors = tensors(); Optimizer optimizer = optimizer(tensors)) {
      final Path good = checkpoints.save(optimizer);
      optimizer.step();
      final Path file = checkpoints.save(optimizer, Map.of("epoch", new byte[] {7}, "random/state", new byte[3]));
      final byte[] whole = Files.readAllBytes(file);
      final String text = new String(whole, StandardCharsets.ISO_8859_1); // so that a character is a byte
      for (String name : List.of("entries/epoch", "entries/random/state", "parameters/0", "state/reference/0")) {
        final int at = text.lastIndexOf(name); // in the directory at the end
        for (int flipped : new int[] {0, name.length() - 1}) {
          final byte[] damaged = whole.clone();
          damaged[at + flipped] ^= 1;
          Files.write(file, damaged);
          final SavedState before = SavedState.of(optimizer);
          assertRefused(CheckpointException.class, () -> optimizer.restore(file), file.toString(), "lacks " + name);
          assertRefused(CheckpointException.class, () -> CheckpointInfo.read(file), file.toString(), "lacks " + name);
          before.assertSame(SavedState.of(optimizer), name);
          final CheckpointFolder.Latest latest = checkpoints.restoreLatest(optimizer).orElseThrow();
          assertEquals(good, latest.file(), name);
          assertEquals(List.of(file), List.copyOf(latest.skipped().keySet()), name);
          optimizer.step();
        }
      }
      Files.write(file, whole);
      assertArrayEquals(new byte[] {7}, checkpoints.restoreLatest(optimizer).orElseThrow().restored().entries().get("epoch"));
    }
  }

  /** An old file that cannot be removed: the new one is there, and the error is told. */
  @Test
  void anOldFileThatCannotBeRemoved() throws IOException {
    try (TestTensors tensors = tensors(); Optimizer optimizer = optimizer(tensors)) {
      final CheckpointFolder checkpoints = CheckpointFolder.of(folder).keep(1);
      final Path first = checkpoints.save(optimizer);
      final Process made = new ProcessBuilder("chattr", "+i", first.toString()).redirectErrorStream(true).start();
      try {
        Assumptions.assumeTrue(made.waitFor() == 0, "needs a file system with immutable files, and the right to make them");
        optimizer.step();
        final Path second = folder.resolve(name(1));
        assertRefused(UncheckedIOException.class, () -> checkpoints.save(optimizer), "cannot remove", first.toString());
        assertTrue(Files.exists(second));
        checkpoints.saveInBackground(optimizer);
        assertRefused(UncheckedIOException.class, optimizer::awaitSaved, "cannot remove", first.toString());
        optimizer.restore(second);
      } catch (InterruptedException e) {
        throw new IllegalStateException(e);
      } finally {
        new ProcessBuilder("chattr", "-i", first.toString()).start().onExit().join();
      }
    }
  }
}
