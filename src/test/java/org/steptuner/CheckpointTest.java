// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.TunerBuilder;

/** A checkpoint brings back every bit, or is refused with everything left as it is. */
class CheckpointTest extends CheckpointFileTest {
  private static final Device CPU = Device.cpu(2);

  static Stream<Configuration> configurations() {
    return TestOptimizers.all().stream();
  }

  private static TestTensors tensors() {
    return new TestTensors()
        .add("w", FLOAT32, 700)
        .add("v", FLOAT64, 33)
        .group("bias")
        .add("b", BFLOAT16, 130)
        .add("empty", FLOAT32, 0)
        .add("c", FLOAT16, FLOAT32, 5, 0)
        .parameters(i -> 1 + i % 3);
  }

  private static void train(TestTensors tensors, Optimizer optimizer, int from, int to) {
    for (int step = from; step < to; ++step) {
      final int t = step;
      tensors.gradients(i -> 1 + Math.sin(i + t) / 2);
      optimizer.step();
    }
  }

  /** Saves after some steps; another optimizer on other memory goes on from there and ends where an uninterrupted one ends. */
  private void assertResumes(Supplier<TunerBuilder<?>> builder, Device there, int saveAfter) {
    try (TestTensors whole = tensors();
        TestTensors first = tensors();
        TestTensors second = new TestTensors();
        Optimizer uninterrupted = builder.get().build(whole.on(CPU))) {
      train(whole, uninterrupted, 0, 12);
      try (Optimizer optimizer = builder.get().build(first.on(CPU))) {
        train(first, optimizer, 0, saveAfter);
        optimizer.save(file);
        // Saving is looking: the run that was saved goes on as well.
        train(first, optimizer, saveAfter, 12);
        first.assertSameParameters(whole, "the run that was saved");
      }
      for (TestTensors.Tensor t : whole.all())
        second.group(t.group()).add(t.name(), t.parameters().type(), t.gradients().type(), t.parameters().count(), 3);
      second.parameters(i -> 99);
      try (Optimizer optimizer = builder.get().build(second.on(there))) {
        train(second, optimizer, 0, 2); // it has done other things before
        optimizer.restore(file);
        assertEquals(saveAfter, optimizer.steps());
        assertEquals(saveAfter, optimizer.report().step());
        train(second, optimizer, saveAfter, 12);
        second.assertSameParameters(whole, "resumed after " + saveAfter);
        SavedState.of(uninterrupted).assertSame(SavedState.of(optimizer), "resumed after " + saveAfter);
        assertEquals(uninterrupted.report().learnedScale(), optimizer.report().learnedScale());
      }
    }
  }

  @ParameterizedTest
  @MethodSource("configurations")
  void resumedEqualsUninterrupted(Configuration configuration) {
    assertResumes(configuration.builder(), CPU, 5);
  }

  @ParameterizedTest
  @MethodSource("org.steptuner.TestOptimizers#mechanicsOverAdamW")
  void beforeTheFirstStepAndAfterIt(Configuration configuration) {
    assertResumes(configuration.builder(), CPU, 0);
    assertResumes(configuration.builder(), CPU, 1);
    assertResumes(configuration.builder(), CPU, 12);
  }

  @ParameterizedTest
  @EnumSource(Scope.class)
  void scopesAndGroups(Scope scope) {
    assertResumes(
        () -> Mechanic.tuning(AdamW.defaults())
            .scope(scope)
            .clipNorm(10)
            .schedule(Schedule.linear(3, 20))
            .group("bias", AdamW.defaults().weightDecay(0), 0.5),
        CPU, 4);
  }

  @Test
  void anAccumulatorThatDoesNotStartAtZero() {
    assertResumes(() -> FixedRate.of(0.1, AdaGrad.defaults().initialAccumulator(0.3)), CPU, 0);
    assertResumes(() -> Mechanic.tuning(AdaGrad.defaults().initialAccumulator(0.3)), CPU, 4);
  }

  /** Written on one device, read on another. */
  @ParameterizedTest
  @MethodSource("devices")
  void acrossDevices(TestDevices.Candidate candidate) {
    final Device there = candidate.open();
    for (Mechanic.Variant variant : Mechanic.Variant.values())
      assertResumes(() -> Mechanic.tuning(Lion.defaults()).variant(variant), there, 6);
  }

  static Stream<TestDevices.Candidate> devices() {
    return TestDevices.all().stream();
  }

  @Test
  void skippedStepsAreRemembered() {
    try (TestTensors tensors = tensors(); Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).build(tensors.on(CPU))) {
      train(tensors, optimizer, 0, 3);
      optimizer.step(Double.NaN);
      optimizer.save(file);
      try (TestTensors other = tensors(); Optimizer resumed = Mechanic.tuning(AdamW.defaults()).build(other.on(CPU))) {
        resumed.restore(file);
        assertEquals(1, resumed.report().skippedSteps());
        assertEquals(3, resumed.report().step());
        assertEquals(optimizer.report().learnedScale(), resumed.report().learnedScale());
        final Map<String, double[]> scalars = optimizer.scalars();
        assertEquals(scalars.keySet(), resumed.scalars().keySet());
        scalars.forEach((name, values) -> assertArrayEquals(values, resumed.scalars().get(name), name));
      }
    }
  }

  /** Names are the user's: of any characters, also where they are part of the hyperparameters. */
  @Test
  void namesOfAnyCharacters() {
    for (String name : new String[] {"a=b", "line\nbreak", "back\\slash\\n", "\r", "größe/層", "tensor.0=1 FLOAT32", "\ud800",
      "\udc00\ud800", "\ud83d\ude00", "\0\t\u0085"})
      try (TestTensors tensors = new TestTensors().group("g" + name).add("t" + name, FLOAT32, 3).gradients(i -> 1)) {
        final Supplier<TunerBuilder<?>> builder = () -> Mechanic.tuning(AdamW.defaults()).group("g" + name, AdamW.defaults(), 0.5);
        try (Optimizer one = builder.get().build(tensors.on(CPU)); Optimizer other = builder.get().build(tensors.on(CPU))) {
          one.step();
          one.save(file);
          other.restore(file);
          assertEquals(1, other.steps());
        }
      }
  }

  private static final Supplier<TunerBuilder<?>> SMALL = () -> Mechanic.tuning(AdamW.defaults());

  private static TestTensors small() {
    return new TestTensors().add("w", FLOAT32, 7).add("b", BFLOAT16, 3).parameters(i -> i + 1);
  }

  /** A checkpoint of a small optimizer after two steps, in {@link #file}. */
  private byte[] smallCheckpoint() throws IOException {
    try (TestTensors tensors = small(); Optimizer optimizer = SMALL.get().build(tensors.on(CPU))) {
      train(tensors, optimizer, 0, 2);
      optimizer.save(file);
    }
    return Files.readAllBytes(file);
  }

  /** An optimizer that has made a step of its own and must be found unchanged whenever a restore was refused. */
  private final class Victim implements AutoCloseable {
    final TestTensors tensors = small();
    final Optimizer optimizer = SMALL.get().build(tensors.on(CPU));
    final SavedState before;
    private final Path own = folder.resolve("victim");

    Victim() {
      train(tensors, optimizer, 7, 8);
      before = SavedState.of(optimizer);
    }

    /** Back to what it was, after a restore that was not refused. */
    void reset() throws IOException {
      Files.write(own, zip(before.entries()));
      optimizer.restore(own);
      Files.delete(own);
    }

    void assertRefuses(byte[] content, String what, String... inMessage) throws IOException {
      Files.write(file, content);
      final String[] all = Arrays.copyOf(inMessage, inMessage.length + 1);
      all[inMessage.length] = file.toString();
      try {
        assertRefused(CheckpointException.class, () -> optimizer.restore(file), all);
      } catch (AssertionError e) {
        throw new AssertionError(what + ": " + e.getMessage(), e);
      }
      before.assertSame(SavedState.of(optimizer), what);
    }

    @Override
    public void close() {
      optimizer.close();
      tensors.close();
    }
  }

  @Test
  void truncated() throws IOException {
    final byte[] whole = smallCheckpoint();
    try (Victim victim = new Victim()) {
      for (int length = 0; length < whole.length; length += length < 64 || length > whole.length - 64 ? 1 : 13)
        victim.assertRefuses(Arrays.copyOf(whole, length), "truncated to " + length);
    }
  }

  /**
   * A flipped byte anywhere is refused, unless it is in a place that says nothing of the content (a time, an attribute); then what is
   * restored is exactly what was saved.
   */
  @Test
  void flippedBytes() throws IOException {
    final byte[] whole = smallCheckpoint();
    final SavedState saved = SavedState.read(file);
    int refused = 0;
    int accepted = 0;
    final Map<String, String> others = new TreeMap<>(); // exceptions of another kind, each with one place where it comes
    try (Victim victim = new Victim()) {
      for (int at = 0; at < whole.length; ++at)
        for (int flip : at % 8 == 0 ? new int[] {0xff, 1} : new int[] {1 << at % 8}) {
          final byte[] damaged = whole.clone();
          damaged[at] ^= (byte) flip;
          Files.write(file, damaged);
          final String what = "byte " + at + " of " + whole.length + " ^ " + flip;
          try {
            victim.optimizer.restore(file);
          } catch (CheckpointException e) {
            assertTrue(e.getMessage().contains(file.toString()), what + ": " + e.getMessage());
            if (++refused % 50 == 0) victim.before.assertSame(SavedState.of(victim.optimizer), what);
            continue;
          } catch (RuntimeException e) {
            others.putIfAbsent(e.toString().replace(file.toString(), "FILE"), what);
            continue;
          }
          // Parameters every time, all of the state (which takes longer) now and then.
          for (int t = 0; t < 2; ++t)
            assertArrayEquals(saved.entries().get("parameters/" + t), victim.tensors.parameters(t).toBytes(), what);
          if (++accepted % 20 == 0) saved.assertSame(SavedState.of(victim.optimizer), what);
          victim.reset();
        }
      victim.before.assertSame(SavedState.of(victim.optimizer), "after all refusals");
      assertEquals(Map.of(), others, "damage must be a CheckpointException");
      assertTrue(refused > whole.length / 2, "most flips are refused: " + refused + " of " + whole.length);
    }
  }

  @Test
  void filesThatAreNoCheckpoints() throws IOException {
    try (Victim victim = new Victim()) {
      victim.assertRefuses(new byte[0], "empty");
      victim.assertRefuses("hello".getBytes(StandardCharsets.UTF_8), "text");
      victim.assertRefuses(zip(Map.of()), "an empty zip");
      victim.assertRefuses(zip(Map.of("readme.txt", "hello".getBytes(StandardCharsets.UTF_8))), "a foreign zip", "manifest");
      victim.assertRefuses(zip(Map.of("manifest", new byte[0])), "an empty manifest");
      final byte[] other = "format=other\nversion=3\n".getBytes(StandardCharsets.UTF_8);
      victim.assertRefuses(zip(Map.of("manifest", other)), "another format");
      victim.assertRefuses(zip(Map.of("manifest/", new byte[0])), "a folder");
    }
  }

  private static byte[] zip(Map<String, byte[]> entries) throws IOException {
    final java.io.ByteArrayOutputStream bytes = new java.io.ByteArrayOutputStream();
    try (ZipOutputStream zip = new ZipOutputStream(bytes)) {
      for (Map.Entry<String, byte[]> entry : entries.entrySet()) {
        zip.putNextEntry(new ZipEntry(entry.getKey()));
        zip.write(entry.getValue());
      }
    }
    return bytes.toByteArray();
  }

  /** Archives that are whole and whose content is not: of a newer library, or edited. */
  @Test
  void forged() throws IOException {
    smallCheckpoint();
    final SavedState saved = SavedState.read(file);
    try (Victim victim = new Victim()) {
      victim.assertRefuses(edited(saved, m -> m.replace("version=3", "version=5")), "newer", "version 5", "version 4");
      victim.assertRefuses(edited(saved, m -> m.replaceFirst("steps=2", "steps=two")), "no number", "two");
      victim.assertRefuses(edited(saved, m -> m.replaceFirst("\nsteps=2", "")), "no steps");
      victim.assertRefuses(edited(saved, m -> m.replaceFirst("scalar.s=.*\n", "")), "a scalar is missing", "s");
      victim.assertRefuses(
          edited(saved, m -> m.replaceFirst("(scalar.s=.*)\n", "$1,0x1p0\n")), "a scalar too many", "s", "7", "6");
      victim.assertRefuses(edited(saved, m -> m.replaceFirst("scalar.r=SCOPE 6 ", "$0x")), "a scalar is no number");
      for (String entry : saved.entries().keySet()) {
        final Map<String, byte[]> less = new TreeMap<>(saved.entries());
        less.remove(entry);
        victim.assertRefuses(zip(less), "without " + entry, entry);
        if (entry.equals("manifest")) continue;
        less.put(entry, new byte[saved.entries().get(entry).length + 1]);
        victim.assertRefuses(zip(less), "a byte more of " + entry, entry);
        less.put(entry, new byte[saved.entries().get(entry).length - 1]);
        victim.assertRefuses(zip(less), "a byte less of " + entry, entry);
      }
      // And the same archive, packed by somebody else, is fine.
      Files.write(file, zip(saved.entries()));
      victim.optimizer.restore(file);
      saved.assertSame(SavedState.of(victim.optimizer), "packed again");
    }
  }

  private static byte[] edited(SavedState saved, UnaryOperator<String> manifest) throws IOException {
    final String text = manifest.apply(saved.manifest());
    assertTrue(!text.equals(saved.manifest()), "the edit took place");
    final Map<String, byte[]> entries = new TreeMap<>(saved.entries());
    entries.put("manifest", text.getBytes(StandardCharsets.UTF_8));
    return zip(entries);
  }

  @Test
  void ofAnotherOptimizer() throws IOException {
    final byte[] content = smallCheckpoint();
    final List<Supplier<TunerBuilder<?>>> others =
        List.of(
            () -> FixedRate.of(1, AdamW.defaults()),
            () -> Mechanic.tuning(AdamW.defaults()).variant(Mechanic.Variant.TORCH),
            () -> Mechanic.tuning(AdamW.defaults()).delta(Mechanic.Delta.STORED),
            () -> Mechanic.tuning(AdamW.defaults()).decay(0.02),
            () -> Mechanic.tuning(AdamW.defaults()).baseRate(2),
            () -> Mechanic.tuning(AdamW.defaults()).betas(0.9, 0.99),
            () -> Mechanic.tuning(AdamW.defaults()).initialScale(2e-6),
            () -> Mechanic.tuning(AdamW.defaults()).epsilon(2e-8),
            () -> Mechanic.tuning(AdamW.defaults()).clipNorm(1),
            () -> Mechanic.tuning(AdamW.defaults()).scope(Scope.TENSOR),
            () -> Mechanic.tuning(AdamW.defaults().weightDecay(0.011)),
            () -> Mechanic.tuning(AdamW.defaults()).group("default", AdamW.defaults(), 0.5),
            () -> Mechanic.tuning(SGD.defaults()));
    for (Supplier<TunerBuilder<?>> other : others)
      try (TestTensors tensors = small(); Optimizer optimizer = other.get().build(tensors.on(CPU))) {
        train(tensors, optimizer, 7, 8);
        final SavedState before = SavedState.of(optimizer);
        assertRefused(CheckpointException.class, () -> optimizer.restore(file), file.toString(), "optimizer");
        before.assertSame(SavedState.of(optimizer), "unchanged");
      }
    assertArrayEquals(content, Files.readAllBytes(file));
  }

  @Test
  void ofOtherTensors() throws IOException {
    smallCheckpoint();
    final List<Supplier<TestTensors>> others =
        List.of(
            () -> new TestTensors().add("w", FLOAT32, 8).add("b", BFLOAT16, 3),
            () -> new TestTensors().add("w", FLOAT64, 7).add("b", BFLOAT16, 3),
            () -> new TestTensors().add("w", FLOAT32, 7).add("b", FLOAT16, 3),
            () -> new TestTensors().add("w", FLOAT32, 7).add("c", BFLOAT16, 3),
            () -> new TestTensors().add("b", BFLOAT16, 3).add("w", FLOAT32, 7),
            () -> new TestTensors().add("w", FLOAT32, 7),
            () -> new TestTensors().add("w", FLOAT32, 7).add("b", BFLOAT16, 3).add("z", FLOAT32, 0),
            () -> new TestTensors().add("w", FLOAT32, 7).group("other").add("b", BFLOAT16, 3));
    for (Supplier<TestTensors> other : others)
      try (TestTensors tensors = other.get(); Optimizer optimizer = SMALL.get().build(tensors.on(CPU))) {
        train(tensors, optimizer, 7, 8);
        final SavedState before = SavedState.of(optimizer);
        assertRefused(CheckpointException.class, () -> optimizer.restore(file), file.toString(), "tensor");
        before.assertSame(SavedState.of(optimizer), "unchanged");
      }
  }

  /** The type of the gradients is the trainer's affair, and so is what is done about numbers that are none. */
  @Test
  void whatMayDiffer() throws IOException {
    smallCheckpoint();
    try (TestTensors tensors = new TestTensors().add("w", FLOAT32, FLOAT64, 7, 0).add("b", BFLOAT16, FLOAT32, 3, 0);
        Optimizer optimizer = SMALL.get().nonFinite(NonFinite.THROW).build(tensors.on(CPU))) {
      optimizer.restore(file);
      assertEquals(2, optimizer.steps());
    }
  }

  @Test
  void aMissingFile() throws IOException {
    try (Victim victim = new Victim()) {
      assertRefused(UncheckedIOException.class, () -> victim.optimizer.restore(file), file.toString());
      assertRefused(UncheckedIOException.class, () -> victim.optimizer.restore(folder.resolve("no/such")), "no/such");
      victim.before.assertSame(SavedState.of(victim.optimizer), "unchanged");
      assertRefused(NullPointerException.class, () -> victim.optimizer.restore(null), "file");
      assertRefused(NullPointerException.class, () -> victim.optimizer.save(null), "file");
    }
  }

  /** Opening a pipe would wait for someone who writes into it. */
  @Test
  @Timeout(value = 60, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
  void aPipeOrADeviceIsNoCheckpoint() throws Exception {
    final Path pipe = folder.resolve("pipe");
    Assumptions.assumeTrue(new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor() == 0, "needs mkfifo");
    try (Victim victim = new Victim()) {
      for (Path bad : List.of(pipe, Path.of("/dev/zero"))) {
        assertRefused(UncheckedIOException.class, () -> victim.optimizer.restore(bad), bad.toString(), "no ordinary file");
        assertRefused(UncheckedIOException.class, () -> CheckpointInfo.read(bad), bad.toString(), "no ordinary file");
      }
      victim.before.assertSame(SavedState.of(victim.optimizer), "unchanged");
    }
  }

  @Test
  void aFolderIsNoCheckpoint() {
    try (Victim victim = new Victim()) {
      try {
        victim.optimizer.restore(folder);
        fail("restored a folder");
      } catch (CheckpointException | UncheckedIOException e) {
        assertTrue(e.getMessage().contains(folder.toString()), e.getMessage());
      }
    }
  }

  private List<String> files() throws IOException {
    try (Stream<Path> paths = Files.walk(folder)) {
      return paths.filter(path -> !path.equals(folder)).map(path -> folder.relativize(path).toString()).sorted().toList();
    }
  }

  @Test
  void savingOverAFileReplacesItAndLeavesNothingBeside() throws IOException {
    final byte[] first = smallCheckpoint();
    assertEquals(List.of("run.checkpoint"), files());
    try (TestTensors tensors = small(); Optimizer optimizer = SMALL.get().build(tensors.on(CPU))) {
      train(tensors, optimizer, 0, 5);
      optimizer.save(file);
      assertTrue(!Arrays.equals(first, Files.readAllBytes(file)));
      assertEquals(List.of("run.checkpoint"), files());
      // A name without a folder is in the working directory.
      final Path local = Path.of("steptuner-test-" + System.nanoTime());
      try {
        optimizer.save(local);
        optimizer.restore(local);
      } finally {
        Files.deleteIfExists(local);
      }
    }
  }

  /** The target cannot be replaced: it stays, and what was written so far goes. */
  @Test
  void aFailedSaveLeavesTheOldFile() throws IOException {
    final Path busy = Files.createDirectories(folder.resolve("busy"));
    Files.writeString(busy.resolve("old"), "old");
    final Path bare = Files.createDirectories(folder.resolve("bare"));
    try (Victim victim = new Victim()) {
      assertRefused(UncheckedIOException.class, () -> victim.optimizer.save(busy), busy.toString());
      assertRefused(UncheckedIOException.class, () -> victim.optimizer.save(bare), bare.toString());
      assertRefused(UncheckedIOException.class, () -> victim.optimizer.save(folder.resolve("no/such")), "no/such");
      assertRefused(UncheckedIOException.class, () -> victim.optimizer.save(busy.resolve("old/x")), "old/x");
      assertEquals(List.of("bare", "busy", "busy/old"), files());
      assertEquals("old", Files.readString(busy.resolve("old")));
      victim.before.assertSame(SavedState.of(victim.optimizer), "unchanged");
      victim.optimizer.step();
    }
  }

  @Test
  void aFolderThatCannotBeWritten() throws IOException {
    smallCheckpoint();
    final byte[] old = Files.readAllBytes(file);
    Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("r-xr-xr-x"));
    try (Victim victim = new Victim()) {
      Assumptions.assumeFalse(Files.isWritable(folder), "the superuser may write anywhere");
      assertRefused(UncheckedIOException.class, () -> victim.optimizer.save(file), file.toString());
      assertArrayEquals(old, Files.readAllBytes(file));
      assertEquals(List.of("run.checkpoint"), files());
    } finally {
      Files.setPosixFilePermissions(folder, PosixFilePermissions.fromString("rwxr-xr-x"));
    }
  }

  /** More than one buffer of the writer. */
  @Test
  void largeTensors() {
    try (TestTensors tensors =
        new TestTensors().add("w", FLOAT32, 600_001).add("v", FLOAT64, 131_073).parameters(i -> i * 0.5).gradients(i -> 1);
        TestTensors other = new TestTensors().add("w", FLOAT32, 600_001).add("v", FLOAT64, 131_073);
        Optimizer one = FixedRate.of(1, SGD.defaults().momentum(0.9)).build(tensors.on(CPU));
        Optimizer two = FixedRate.of(1, SGD.defaults().momentum(0.9)).build(other.on(CPU))) {
      one.step();
      one.save(file);
      two.restore(file);
      other.assertSameParameters(tensors, "restored");
      SavedState.of(one).assertSame(SavedState.of(two), "restored");
    }
  }
}
