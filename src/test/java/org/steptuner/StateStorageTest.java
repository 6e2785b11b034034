// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.Memory;
import org.steptuner.tuner.MetaOptimize;
import org.steptuner.tuner.NewtonRate;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** State of 16 bits: which of it there is, what it is in files, and what becomes of it when a file and an optimizer store it differently. */
class StateStorageTest extends CheckpointFileTest {
  private static final Device CPU = Device.cpu(2);

  /** Slots that hold the parameters of some step. */
  private static final List<String> COPIES = List.of("reference", "start");

  /** Slots that stay as they are computed, by optimizer. */
  private static final Map<String, List<String>> POINTS =
      Map.of(
          "MirrorMADGRAD", List.of("point"), "Schedule-Free", List.of("offset"), "dual averaging", List.of("average"), "Resetting",
          List.of("average"), "GradaGrad", List.of("point"), "DoG", List.of("average"), "Prodigy, gradient descent", List.of("average"),
          "per weight", List.of("logRatio"));

  static List<Configuration> configurations() {
    final List<Configuration> all = new ArrayList<>(TestOptimizers.some());
    all.addAll(TestOptimizers.others());
    all.add(new Configuration("NewtonRate", () -> NewtonRate.tuning(SGD.defaults(), 0.01).interval(3)));
    all.add(new Configuration("MetaOptimize per weight", () -> MetaOptimize.tuning(AdamW.defaults()).perWeight().initialStepSize(1e-3)));
    return all;
  }

  private static TestTensors tensors() {
    return new TestTensors().add("w", FLOAT32, 5000).group("second").add("b", BFLOAT16, FLOAT32, 700, 1).group("default").add(
        "h", FLOAT16, 60).parameters(i -> 1 + i % 7 * 0.25);
  }

  private static void train(Optimizer optimizer, TestTensors tensors, int from, int to) {
    for (int step = from; step < to; ++step) {
      final int t = step;
      tensors.gradients(i -> Math.sin(i + t) + 0.5);
      optimizer.step(2 - 0.01 * step);
    }
  }

  private static TunerBuilder<?> adamW(DataType storage) {
    return FixedRate.of(0.01, AdamW.defaults()).stateStorage(storage);
  }

  @Test
  void otherTypesAreRefused() {
    final FixedRate builder = FixedRate.of(0.1, AdamW.defaults());
    assertRefused(NullPointerException.class, () -> builder.stateStorage(null), "stateStorage");
    for (DataType type : new DataType[] {FLOAT64, FLOAT16})
      assertRefused(IllegalArgumentException.class, () -> builder.stateStorage(type), "stateStorage", "BFLOAT16", "not " + type);
    try (TestTensors tensors = new TestTensors().add("w", FLOAT32, 3).add("wide one", FLOAT64, 3)) {
      builder.build(tensors.on(CPU)).close();
      assertRefused(
          IllegalArgumentException.class, () -> builder.stateStorage(BFLOAT16).build(tensors.on(CPU)), "stateStorage", "'wide one'",
          "FLOAT64");
      builder.stateStorage(FLOAT32).build(tensors.on(CPU)).close();
    }
  }

  @ParameterizedTest
  @MethodSource("configurations")
  void statisticsHave16BitsAndCopiesThoseOfTheParameters(Configuration configuration) {
    final List<String> points = new ArrayList<>(List.of("exponentialAverage"));
    POINTS.forEach((name, slots) -> {
      if (configuration.name().contains(name)) points.addAll(slots);
    });
    try (TestTensors tensors = tensors();
        Optimizer optimizer = configuration.narrow().builder().get().exponentialAverage(0.9).build(tensors.on(CPU));
        Optimizer wide = configuration.builder().get().exponentialAverage(0.9).build(tensors.on(CPU))) {
      assertEquals(wide.slots(), optimizer.slots());
      assertEquals(wide.wordsPerElement(), optimizer.wordsPerElement(), "words count elements, whatever their type");
      for (String slot : optimizer.slots())
        for (TestTensors.Tensor tensor : tensors.all()) {
          assertEquals(FLOAT32, wide.state(slot, tensor.name()).type(), slot);
          final boolean half = COPIES.contains(slot) ? tensor.parameters().type() == BFLOAT16 : !points.contains(slot);
          final StateTensor state = optimizer.state(slot, tensor.name());
          assertEquals(half ? BFLOAT16 : FLOAT32, state.type(), configuration + ": " + slot + " of " + tensor.name());
          assertEquals(tensor.parameters().count(), state.count());
        }
    }
  }

  private static double[] numbers(byte[] bytes, DataType type) {
    final ByteBuffer from = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    final double[] values = new double[bytes.length / type.bytes()];
    for (int i = 0; i < values.length; ++i)
      values[i] = type == FLOAT32 ? from.getFloat() : Formats.decode(type, from.getShort() & 0xffffL);
    return values;
  }

  private static double[] values(Optimizer optimizer, String slot, String tensor) {
    final StateTensor state = optimizer.state(slot, tensor);
    return numbers(Memory.bytes(state), state.type());
  }

  /** A file goes into an optimizer that stores its state in another way, if settings may differ, and back. */
  @ParameterizedTest
  @MethodSource("configurations")
  void filesAreConverted(Configuration configuration) {
    final Configuration narrow = configuration.narrow();
    for (boolean widens : new boolean[] {true, false}) {
      final Configuration first = widens ? narrow : configuration;
      final Configuration second = widens ? configuration : narrow;
      try (TestTensors tensors = tensors();
          TestTensors others = tensors();
          Optimizer saved = first.build(tensors.on(CPU));
          Optimizer restored = second.build(others.on(CPU))) {
        train(saved, tensors, 0, 4);
        train(restored, others, 7, 9);
        saved.save(file);
        final SavedState before = SavedState.of(restored);
        final String kind =
            widens ? "stateStorage is BFLOAT16 in the file and FLOAT32 here" : "stateStorage is FLOAT32 in the file and BFLOAT16";
        final boolean differs = !saved.slots().isEmpty();
        if (differs) assertRefused(CheckpointException.class, () -> restored.restore(file), kind, "allowSettings");
        before.assertSame(SavedState.of(restored), "refused");
        final Restored report = restored.restore(file, RestoreOptions.strict().allowSettings());
        assertTrue(report.settings().stream().anyMatch(setting -> setting.name().equals("stateStorage")), report.toString());
        others.assertSameParameters(tensors, configuration.name());
        for (String slot : saved.slots())
          for (TestTensors.Tensor tensor : tensors.all()) {
            final DataType type = restored.state(slot, tensor.name()).type();
            final double[] expected = Arrays.stream(values(saved, slot, tensor.name())).map(x -> Formats.round(type, x)).toArray();
            assertArrayEquals(expected, values(restored, slot, tensor.name()), configuration + ": " + slot + " of " + tensor.name());
          }
        assertEquals(saved.steps(), restored.steps());
        train(restored, others, 4, 6);
        for (double x : others.values()) assertTrue(Double.isFinite(x));
      }
    }
  }

  @Test
  void theManifestSaysWhatIsStoredHow() {
    try (TestTensors tensors = tensors();
        Optimizer plain = Mechanic.tuning(AdamW.defaults()).build(tensors.on(CPU));
        Optimizer narrow = Mechanic.tuning(AdamW.defaults()).stateStorage(BFLOAT16).build(tensors.on(CPU))) {
      train(plain, tensors, 0, 2);
      train(narrow, tensors, 0, 2);
      assertTrue(SavedState.of(plain).manifest().contains("\nversion=3\n"), "files of usual state are those of older libraries");
      assertFalse(SavedState.of(plain).manifest().contains("torage"));
      final String manifest = SavedState.of(narrow).manifest();
      for (String line : List.of(
          "version=4", "tuner.setting.stateStorage=BFLOAT16", "slot.0=momentum", "slot.0.storage=BFLOAT16", "slot.1=square",
          "slot.1.storage=BFLOAT16", "slot.2=delta", "slot.2.storage=BFLOAT16", "slot.3=reference", "slot.3.storage=AS_PARAMETER"))
        assertTrue(manifest.contains("\n" + line + "\n"), line + " in " + manifest);
      narrow.save(file);
      final CheckpointInfo info = CheckpointInfo.read(file);
      assertEquals(4, info.version());
      assertEquals("BFLOAT16", info.values().get("stateStorage"));
      assertEquals(5000 * 2, SavedState.of(narrow).entries().get("state/square/0").length);
      assertEquals(5000 * 4, SavedState.of(narrow).entries().get("state/reference/0").length);
      assertEquals(700 * 2, SavedState.of(narrow).entries().get("state/reference/1").length);
      narrow.saveInBackground(file);
      narrow.awaitSaved();
      assertTrue(narrow.restore(file).isExact());
    }
  }

  /** More than one buffer of the reader, whose parts do not end where elements do. */
  @ParameterizedTest
  @EnumSource(value = DataType.class, names = {"FLOAT32", "BFLOAT16"})
  void largeTensorsAreConverted(DataType from) {
    final DataType to = from == FLOAT32 ? BFLOAT16 : FLOAT32;
    try (TestTensors tensors = TestTensors.of(FLOAT32, 200_003);
        Optimizer saved = adamW(from).build(tensors.on(CPU));
        Optimizer restored = adamW(to).build(tensors.on(CPU))) {
      train(saved, tensors, 0, 3);
      saved.save(file);
      restored.restore(file, RestoreOptions.strict().allowSettings());
      for (String slot : saved.slots())
        assertArrayEquals(
            Arrays.stream(values(saved, slot, "x")).map(x -> Formats.round(to, x)).toArray(), values(restored, slot, "x"), slot);
    }
  }

  /** What is stored in a file is known by the file, and slots of which that cannot be are damage. */
  @Test
  void editedFilesAreRefused() throws Exception {
    try (TestTensors tensors = tensors(); Optimizer optimizer = adamW(BFLOAT16).build(tensors.on(CPU))) {
      train(optimizer, tensors, 0, 2);
      optimizer.save(file);
      final SavedState before = SavedState.of(optimizer);
      for (String[] edit : new String[][] {
        {"slot.0.storage=BFLOAT16", "slot.0.storage=FLOAT8"}, {"slot.0.storage=BFLOAT16", "slot.0.storage=COMPUTED"},
        {"slot.1.storage=BFLOAT16", "slot.1.storage=REST"}, {"version=4", "version=3"}, {"version=4", "version=5"}
      }) {
        rewrite(before, edit[0], edit[1]);
        assertRefused(CheckpointException.class, () -> optimizer.restore(file, RestoreOptions.lenient()));
        before.assertSame(SavedState.of(optimizer), edit[1]);
      }
    }
  }

  private void rewrite(SavedState saved, String from, String to) throws Exception {
    try (var zip = new java.util.zip.ZipOutputStream(java.nio.file.Files.newOutputStream(file))) {
      for (Map.Entry<String, byte[]> entry : saved.entries().entrySet()) {
        zip.putNextEntry(new java.util.zip.ZipEntry(entry.getKey()));
        zip.write(entry.getKey().equals("manifest") ? saved.manifest().replace(from, to).getBytes("UTF-8") : entry.getValue());
      }
    }
  }

  @Test
  void aRunKeepsItsStorage() {
    try (TestTensors tensors = tensors(); Optimizer optimizer = adamW(BFLOAT16).build(tensors.on(CPU))) {
      train(optimizer, tensors, 0, 2);
      final SavedState before = SavedState.of(optimizer);
      assertRefused(
          IllegalArgumentException.class, () -> adamW(FLOAT32).applyTo(optimizer), "stateStorage is BFLOAT16, not FLOAT32");
      before.assertSame(SavedState.of(optimizer), "refused");
      FixedRate.of(0.02, AdamW.defaults()).stateStorage(BFLOAT16).applyTo(optimizer);
      train(optimizer, tensors, 2, 3);
      assertEquals(BFLOAT16, optimizer.state("square", "w").type());
    }
  }

  /** A trainer that loads its weights itself may go on with those of another type: copies of them are converted. */
  @Test
  void parametersOfAnotherType() {
    try (TestTensors halves = TestTensors.of(BFLOAT16, 500).parameters(i -> 1 + i % 7 * 0.25);
        TestTensors wide = TestTensors.of(FLOAT32, 500);
        Optimizer saved = TestOptimizers.narrow(Mechanic.tuning(AdamW.defaults())).build(halves.on(CPU));
        Optimizer restored = TestOptimizers.narrow(Mechanic.tuning(AdamW.defaults())).build(wide.on(CPU))) {
      train(saved, halves, 0, 4);
      saved.save(file);
      wide.parameters(i -> halves.parameters(0).get(i));
      final Restored report = restored.restore(file, RestoreOptions.strict().keepParameters());
      assertEquals(List.of(), report.settings());
      assertEquals(FLOAT32, restored.state("reference", "x").type());
      assertArrayEquals(values(saved, "momentum", "x"), values(restored, "momentum", "x"));
      assertArrayEquals(values(saved, "reference", "x"), values(restored, "reference", "x"), 0.02);
      final double[] before = wide.values();
      train(restored, wide, 4, 5);
      assertArrayEquals(before, wide.values(), 0.02);
    }
  }

  /** What goes on without its tuner goes on with state of 16 bits. */
  @Test
  void frozenRuns() {
    for (Supplier<TunerBuilder<?>> builder : List.<Supplier<TunerBuilder<?>>>of(
        () -> Mechanic.tuning(AdamW.defaults()).stateStorage(BFLOAT16),
        () -> Prodigy.tuning(AdamW.defaults()).initialRate(1e-3).stateStorage(BFLOAT16)))
      try (TestTensors tensors = tensors();
          TestTensors others = tensors();
          Optimizer optimizer = builder.get().build(tensors.on(CPU));
          Optimizer other = builder.get().build(others.on(CPU))) {
            train(optimizer, tensors, 0, 20);
            optimizer.freeze();
            assertEquals(List.of("momentum", "square"), optimizer.slots());
            assertEquals(BFLOAT16, optimizer.state("momentum", "w").type());
            train(optimizer, tensors, 20, 22);
            optimizer.save(file);
            train(other, others, 0, 20);
            assertTrue(other.restore(file).isExact());
            train(optimizer, tensors, 22, 24);
            train(other, others, 22, 24);
            tensors.assertSameParameters(others, "frozen");
            SavedState.of(optimizer).assertSame(SavedState.of(other), "frozen");
          }
  }

  /** What a rule divides by does not vanish before what it divides. */
  @Test
  void squaresThatUnderflow() {
    for (double gradient : new double[] {1e-19, 1e-20, 1e-21, 1e-22})
      try (TestTensors tensors = TestTensors.of(FLOAT32, 4000).gradients(i -> gradient);
          Optimizer optimizer =
              FixedRate.of(1, AdamW.defaults().epsilon(0).weightDecay(0)).stateStorage(BFLOAT16).build(tensors.on(CPU))) {
                for (int step = 0; step < 20; ++step) optimizer.step();
                for (double x : tensors.values()) assertTrue(Math.abs(x) <= 400, gradient + " moves x to " + x);
              }
  }

  /** A mean over many elements is that of float32, though changes are below the distance of two numbers. */
  @Test
  void averagesAreRightOnAverage() {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 8192);
        Optimizer narrow = adamW(BFLOAT16).build(tensors.on(CPU));
        Optimizer wide = adamW(FLOAT32).build(tensors.on(CPU))) {
      tensors.gradients(i -> 1);
      for (int step = 0; step < 400; ++step) {
        narrow.step();
        wide.step();
      }
      for (String slot : narrow.slots()) {
        final double expected = Arrays.stream(values(wide, slot, "x")).average().orElseThrow();
        final double actual = Arrays.stream(values(narrow, slot, "x")).average().orElseThrow();
        assertEquals(expected, actual, 0.002 * expected, slot);
      }
    }
  }

  /** The trainer writes parameters: points that are tied to them follow, as far as the type of the copy has places. */
  @Test
  void writtenParametersStay() {
    for (Supplier<TunerBuilder<?>> builder : List.<Supplier<TunerBuilder<?>>>of(
        () -> FixedRate.of(1e-6, MADGRAD.defaults()), () -> Mechanic.tuning(AdamW.defaults()),
        () -> Prodigy.tuning(AdamW.defaults())))
      try (TestTensors tensors = tensors(); Optimizer optimizer = TestOptimizers.narrow(builder.get()).build(tensors.on(CPU))) {
        train(optimizer, tensors, 0, 5);
        tensors.parameters(i -> 5 + i % 3);
        optimizer.parametersMoved();
        final double[] before = tensors.values();
        train(optimizer, tensors, 5, 6);
        final double[] after = tensors.values();
        for (int i = 0; i < before.length; ++i) assertEquals(before[i], after[i], 0.08, "element " + i);
      }
  }
}
