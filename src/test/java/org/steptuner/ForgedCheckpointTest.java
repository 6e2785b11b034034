// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.NamedTensors.make;
import static org.steptuner.NamedTensors.train;
import static org.steptuner.NamedTensors.usual;
import static org.steptuner.Refusal.assertRefused;

import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.UnaryOperator;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.steptuner.rule.AdamW;
import org.steptuner.tuner.Mechanic;

/** Archives that somebody has made to do harm, or that say what cannot be: a CheckpointException every time, and nothing has changed. */
class ForgedCheckpointTest {
  private static final Device CPU = Device.cpu(1);
  @TempDir(factory = MemoryFolder.class)
  Path folder;

  private Path file;
  private SavedState saved;

  private static Optimizer mechanic(TestTensors tensors) {
    return Mechanic.tuning(AdamW.defaults()).scope(Scope.GROUP).build(tensors.on(CPU));
  }

  @BeforeEach
  void save() {
    file = folder.resolve("run.checkpoint");
    try (TestTensors tensors = make(usual(), 0); Optimizer optimizer = mechanic(tensors)) {
      train(tensors, optimizer, 0, 3);
      optimizer.save(file);
      saved = SavedState.of(optimizer);
    }
  }

  private static void write(Path to, Map<String, byte[]> entries) throws IOException {
    try (OutputStream out = Files.newOutputStream(to); ZipOutputStream zip = new ZipOutputStream(out)) {
      for (Map.Entry<String, byte[]> entry : entries.entrySet()) {
        zip.putNextEntry(new ZipEntry(entry.getKey()));
        zip.write(entry.getValue());
      }
    }
  }

  private Map<String, byte[]> with(String entry, byte[] content) {
    final Map<String, byte[]> entries = new TreeMap<>(saved.entries());
    entries.put(entry, content);
    return entries;
  }

  private void assertRefusesManifest(UnaryOperator<String> edit, String... inMessage) throws IOException {
    final String text = edit.apply(saved.manifest());
    assertTrue(!text.equals(saved.manifest()), "the edit took place: " + List.of(inMessage));
    write(file, with("manifest", text.getBytes(StandardCharsets.UTF_8)));
    assertRefuses(inMessage);
    assertRefused(CheckpointException.class, () -> CheckpointInfo.read(file), file.toString());
  }

  private void assertRefuses(String... inMessage) {
    try (TestTensors tensors = make(usual(), 1); Optimizer optimizer = mechanic(tensors)) {
      train(tensors, optimizer, 7, 9);
      final SavedState before = SavedState.of(optimizer);
      for (RestoreOptions options : List.of(RestoreOptions.strict(), RestoreOptions.lenient())) {
        final CheckpointException thrown =
            assertRefused(CheckpointException.class, () -> optimizer.restore(file, options), inMessage);
        assertTrue(thrown.getMessage().contains(file.toString()), thrown.getMessage());
        before.assertSame(SavedState.of(optimizer), "unchanged");
      }
    }
  }

  @Test
  void numbersThatCannotBe() throws IOException {
    for (String count : List.of("-1", "NaN", "1e3", "1099511627777", "9223372036854775807", "9223372036854775808", "", "0x10"))
      assertRefusesManifest(m -> m.replaceFirst("(tensor.0=FLOAT32) \\d+", "$1 " + count), "tensor.0");
    for (String count : List.of("-1", "2000000000", "9223372036854775807", "NaN", "3.0")) {
      assertRefusesManifest(m -> m.replaceFirst("\ntensors=3", "\ntensors=" + count), "tensors");
      assertRefusesManifest(m -> m.replaceFirst("\ngroups=2", "\ngroups=" + count), "groups");
      assertRefusesManifest(m -> m.replaceFirst("\nsteps=3", "\nsteps=" + count.replace("2000000000", "-2")), "steps");
    }
    for (String group : List.of("-1", "2", "x", "99999999999"))
      assertRefusesManifest(m -> m.replaceFirst("(tensor.0=FLOAT32 41) 0", "$1 " + group), "tensor.0");
    assertRefusesManifest(m -> m.replaceFirst("tensor.0=FLOAT32", "tensor.0=INT4"), "INT4");
    assertRefusesManifest(m -> m.replaceFirst("\nscope=GROUP", "\nscope=HALF"), "HALF");
  }

  @Test
  void linesThatCannotBe() throws IOException {
    assertRefusesManifest(m -> m + "steps=3\n", "steps", "twice");
    assertRefusesManifest(m -> m + "no sense\n", "no sense");
    assertRefusesManifest(m -> m.replaceFirst("(tensor.1=.*) b\n", "$1 w\n"), "'w'", "twice");
    assertRefusesManifest(m -> m.replaceFirst("(tensor.1=.*) b\n", "$1 \\\\x\n"), "tensor.1");
    assertRefusesManifest(m -> m.replaceFirst("(tensor.1=.*) b\n", "$1 \\\\u12\n"), "tensor.1");
    assertRefusesManifest(m -> m.replaceFirst("\ntensor.2=.*\n", "\n"), "tensor.2");
    assertRefusesManifest(m -> m.replaceFirst("\nslot.1=.*\n", "\n"), "slot.1");
    assertRefusesManifest(m -> m.replaceFirst("scalar.s=SCOPE", "scalar.s=MOON"), "scalar.s");
    assertRefusesManifest(m -> m.replaceFirst("\ntuner=.*\n", "\n"), "tuner");
    final byte[] text = saved.manifest().getBytes(StandardCharsets.UTF_8);
    text[text.length - 2] = (byte) 0xff;
    write(file, with("manifest", text));
    assertRefuses("UTF-8");
  }

  @Test
  void scalarsThatDoNotFit() throws IOException {
    for (UnaryOperator<String> edit : List.<UnaryOperator<String>>of(
        m -> m.replaceFirst("scalar.s=SCOPE 6 ", "scalar.s=SCOPE 6 0x1p0,"), m -> m.replaceFirst("scalar.s=SCOPE 6 ", "scalar.s=SCOPE 3 "),
        m -> m.replaceFirst("scalar.s=SCOPE 6 ", "scalar.s=WHOLE 12 "), m -> m.replaceFirst("scalar.s=.*\n", ""),
        m -> m + "scalar.t=WHOLE 1 0x1p0\n")) {
      write(file, with("manifest", edit.apply(saved.manifest()).getBytes(StandardCharsets.UTF_8)));
      assertRefuses("scalar");
    }
  }

  @Test
  void anEntryThatIsThereTwice() throws IOException {
    for (String twice : List.of("manifest", "parameters/0", "entries/a")) {
      final Map<String, byte[]> entries = with("entries/a", new byte[] {1});
      final String other = twice.substring(0, twice.length() - 1) + "\u007f";
      entries.put(other, entries.get(twice));
      write(file, entries);
      final String bytes = new String(Files.readAllBytes(file), StandardCharsets.ISO_8859_1).replace(other, twice);
      Files.write(file, bytes.getBytes(StandardCharsets.ISO_8859_1));
      assertRefuses(twice, "twice");
    }
  }

  /** What an archive says of a size is not believed, and what is packed small may be large. */
  @Test
  void moreThanTheMemoryHolds() throws IOException {
    for (String entry : List.of("manifest", "entries/a")) {
      try (OutputStream out = Files.newOutputStream(file); ZipOutputStream zip = new ZipOutputStream(out)) {
        for (Map.Entry<String, byte[]> one : saved.entries().entrySet()) {
          if (one.getKey().equals(entry)) continue;
          zip.putNextEntry(new ZipEntry(one.getKey()));
          zip.write(one.getValue());
        }
        zip.putNextEntry(new ZipEntry(entry));
        final byte[] zeros = new byte[1 << 20];
        for (long left = Runtime.getRuntime().maxMemory() / 8 / zeros.length + 2; left > 0; --left) zip.write(zeros);
      }
      assertRefuses(entry, "-Xmx");
      // The same, with a size that is a lie.
      patchSize(entry, 10);
      assertRefuses(entry);
    }
  }

  @Test
  void sizesThatAreALie() throws IOException {
    for (String entry : List.of("manifest", "parameters/0", "state/delta/1", "entries/a"))
      for (int size : new int[] {0, 1, Integer.MAX_VALUE, -2}) {
        write(file, with("entries/a", new byte[] {1, 2, 3}));
        patchSize(entry, size);
        assertRefuses(entry);
      }
  }

  /** Changes the size that the directory of the archive has for an entry. */
  private void patchSize(String entry, int size) throws IOException {
    final byte[] bytes = Files.readAllBytes(file);
    final ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    int patched = 0;
    for (int at = 0; at + 46 < bytes.length; ++at) {
      if (buffer.getInt(at) != 0x02014b50) continue;
      final int length = buffer.getShort(at + 28);
      if (!new String(bytes, at + 46, length, StandardCharsets.UTF_8).equals(entry)) continue;
      buffer.putInt(at + 24, size);
      ++patched;
    }
    assertEquals(1, patched);
    Files.write(file, bytes);
  }

  @Test
  void callersEntries() throws IOException {
    final Map<String, byte[]> entries = with("entries/epoch", new byte[] {7});
    entries.put("entries/größe/層", new byte[0]);
    entries.put("entries/", new byte[0]);
    entries.put("entries/größe/", new byte[0]); // as other programs pack folders
    entries.put("entriesX", new byte[] {1});
    write(file, entries);
    final Map<String, byte[]> expected = new LinkedHashMap<>();
    expected.put("epoch", new byte[] {7});
    expected.put("größe/層", new byte[0]);
    try (TestTensors tensors = make(usual(), 1); Optimizer optimizer = mechanic(tensors)) {
      assertEntries(expected, optimizer.restore(file).entries());
    }
    final CheckpointInfo info = CheckpointInfo.read(file);
    assertEntries(expected, info.entries());
    assertEquals(3, info.version());
    assertEquals(3, info.steps());
    assertEquals(0, info.skippedSteps());
    assertEquals("Mechanic", info.tuner());
    assertEquals("OPTAX", info.values().get("variant"));
    assertEquals("0.01", info.values().get("rule.weightDecay"));
    assertEquals(
        List.of(
            new CheckpointInfo.Tensor("w", "default", DataType.FLOAT32, 41), new CheckpointInfo.Tensor("b", "bias", DataType.BFLOAT16, 7),
            new CheckpointInfo.Tensor("v", "default", DataType.FLOAT64, 13)),
        info.tensors());
  }

  private static void assertEntries(Map<String, byte[]> expected, Map<String, byte[]> actual) {
    assertEquals(expected.keySet(), actual.keySet());
    expected.forEach((name, bytes) -> assertArrayEquals(bytes, actual.get(name), name));
  }

  /** A restore looks at what it uses; reading a file looks at everything. */
  @Test
  void damageToWhatIsNotUsed() throws IOException {
    write(file, with("state/delta/1", new byte[saved.entries().get("state/delta/1").length + 4]));
    assertRefuses("state/delta/1");
    assertRefused(CheckpointException.class, () -> CheckpointInfo.read(file), "state/delta/1");
    try (TestTensors tensors = make(List.of(usual().get(0), usual().get(2)), 1); Optimizer optimizer = mechanic(tensors)) {
      assertEquals(List.of("b"), optimizer.restore(file, RestoreOptions.lenient()).unusedTensors());
    }
  }

  @Test
  void readingWhatIsNotThere() throws IOException {
    assertRefused(UncheckedIOException.class, () -> CheckpointInfo.read(folder.resolve("none")), "none");
    assertRefused(NullPointerException.class, () -> CheckpointInfo.read(null), "file");
    Files.writeString(file, "no archive");
    assertRefused(CheckpointException.class, () -> CheckpointInfo.read(file), file.toString());
  }
}
