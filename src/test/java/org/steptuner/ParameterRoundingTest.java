// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.ParameterRounding.IN_PARTS;
import static org.steptuner.ParameterRounding.NEAREST;
import static org.steptuner.ParameterRounding.STOCHASTIC;
import static org.steptuner.Refusal.assertRefused;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntToDoubleFunction;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.SGD;
import org.steptuner.rule.ScheduleFreeAdamW;
import org.steptuner.tuner.DoG;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.Memory;
import org.steptuner.tuner.Prodigy;
import org.steptuner.tuner.TunerBuilder;

/** What becomes of steps that 16-bit parameters have no places for. */
class ParameterRoundingTest extends CheckpointFileTest {
  private static final Device CPU = Device.cpu(2);
  private static final int COUNT = 4096;

  private static TunerBuilder<?> adamW(ParameterRounding rounding) {
    return FixedRate.of(1e-3, AdamW.defaults()).parameterRounding(rounding);
  }

  private static TestTensors tensors(DataType type) {
    return new TestTensors().add("w", type, FLOAT32, COUNT, 1).parameters(i -> 2.5 + i % 5 * 0.25);
  }

  private static double mean(TestTensors tensors) {
    return Arrays.stream(tensors.values()).average().orElseThrow();
  }

  private static void steps(Optimizer optimizer, int count) {
    for (int step = 0; step < count; ++step) assertFalse(optimizer.step().skipped());
  }

  /** A step of 1e-3 is a fifteenth of the distance of two bfloat16 numbers at 3. */
  @Test
  void aThousandEqualGradients() {
    try (TestTensors wide = tensors(FLOAT32).gradients(i -> 1);
        TestTensors stochastic = tensors(BFLOAT16).gradients(i -> 1);
        TestTensors nearest = tensors(BFLOAT16).gradients(i -> 1);
        TestTensors parts = tensors(BFLOAT16).gradients(i -> 1);
        Optimizer one = adamW(STOCHASTIC).build(wide.on(CPU));
        Optimizer two = adamW(STOCHASTIC).build(stochastic.on(CPU));
        Optimizer three = adamW(NEAREST).build(nearest.on(CPU));
        Optimizer four = adamW(IN_PARTS).build(parts.on(CPU))) {
      final double before = mean(wide);
      final double[] begin = nearest.values();
      for (Optimizer optimizer : List.of(one, two, three, four)) steps(optimizer, 1000);
      final double way = mean(wide) - before;
      assertTrue(way < -0.9, "the way of float32 is " + way);
      assertEquals(way, mean(stochastic) - before, -0.01 * way, "stochastic");
      assertArrayEquals(begin, nearest.values(), "to the nearest, nothing moves");
      assertParts(wide, four, parts, "in parts");
    }
  }

  private static void assertParts(TestTensors wide, Optimizer optimizer, TestTensors parts, String what) {
    for (int t = 0; t < parts.all().size(); ++t) {
      final TestArray expected = wide.parameters(t);
      final TestArray upper = parts.parameters(t);
      if (upper.type() != BFLOAT16) continue;
      final ByteBuffer rest = rest(optimizer, parts.all().get(t).name());
      for (int i = 0; i < upper.count(); ++i) {
        // Of two equally near ones the larger: the rest has more room below 0 than above.
        assertEquals(expected.bits(i) + 0x8000 >> 16, upper.bits(i), what + ": the nearest of element " + i);
        assertEquals((int) expected.bits(i), (int) (upper.bits(i) << 16) + rest.getShort(2 * i), what + ": both parts of element " + i);
      }
    }
  }

  private static ByteBuffer rest(Optimizer optimizer, String tensor) {
    return ByteBuffer.wrap(Memory.bytes(optimizer.state("parameterRest", tensor))).order(ByteOrder.nativeOrder());
  }

  static List<Configuration> configurations() {
    final List<Configuration> all = new ArrayList<>(TestOptimizers.some());
    all.addAll(TestOptimizers.others());
    return all;
  }

  private static void backward(TestTensors tensors, int step) {
    tensors.gradients(i -> Math.sin(i + 7 * step) + 0.4);
  }

  /** Parameters in parts are float32, for every tuner and rule, also with copies of them in state of 16 bits. */
  @ParameterizedTest
  @MethodSource("configurations")
  void inPartsBitsAreThoseOfFloat32(Configuration configuration) {
    for (boolean narrow : new boolean[] {false, true}) {
      final Supplier<TunerBuilder<?>> builder = narrow ? configuration.narrow().builder() : configuration.builder();
      final String what = configuration + (narrow ? ", 16-bit state" : "");
      // Copies of float32 parameters are float32, as those of parameters in parts.
      try (TestTensors wide = new TestTensors().add("w", FLOAT32, FLOAT32, 5003, 1).add("v", FLOAT32, 40).parameters(start());
          TestTensors parts =
              new TestTensors().add("w", BFLOAT16, FLOAT32, 5003, 1).add("v", FLOAT32, FLOAT32, 40, 0).parameters(start());
          Optimizer one = builder.get().exponentialAverage(0.9).build(wide.on(CPU));
          Optimizer other = builder.get().exponentialAverage(0.9).parameterRounding(IN_PARTS).build(parts.on(CPU))) {
        for (int step = 0; step < 6; ++step) {
          backward(wide, step);
          backward(parts, step);
          one.step(1);
          other.step(1);
          one.evaluating();
          other.evaluating();
          assertParts(wide, other, parts, what + ", evaluating after step " + step);
          one.training();
          other.training();
          assertParts(wide, other, parts, what + ", step " + step);
          TestTensors.assertSameBits(wide.parameters(1), parts.parameters(1), what);
        }
        for (String slot : one.slots())
          assertArrayEquals(Memory.bytes(one.state(slot, "w")), Memory.bytes(other.state(slot, "w")), what + ": " + slot);
        assertEquals(0, other.state("parameterRest", "v").count());
        final double words = other.wordsPerElement() - one.wordsPerElement();
        assertTrue(words >= 1 && words <= 4, what + ": " + words + " words more");
      }
    }
  }

  static List<TestDevices.Candidate> devices() {
    return TestDevices.all();
  }

  /** With every instruction set, any number of threads, and at any alignment. */
  @ParameterizedTest
  @MethodSource("devices")
  void inPartsOnEveryDevice(TestDevices.Candidate candidate) {
    final Device device = candidate.open();
    for (Configuration configuration : TestOptimizers.some())
      for (int offset = 0; offset < 2; ++offset)
        try (TestTensors wide = new TestTensors().add("w", FLOAT32, FLOAT32, 4500, 0).parameters(start());
            TestTensors parts = new TestTensors().add("w", BFLOAT16, FLOAT32, 4500, offset).parameters(start());
            Optimizer one = configuration.build(wide.on(CPU));
            Optimizer other = configuration.builder().get().parameterRounding(IN_PARTS).build(parts.on(device))) {
              for (int step = 0; step < 3; ++step) {
                backward(wide, step);
                backward(parts, step);
                one.step();
                other.step();
              }
              assertParts(wide, other, parts, configuration + " on " + device);
              parts.assertFencesStand(configuration.name());
            }
  }

  // Exact in bfloat16.
  private static IntToDoubleFunction start() {
    return i -> 1 + i % 7 * 0.25;
  }

  @Test
  void whatCannotBeIsRefused() {
    final FixedRate builder = FixedRate.of(0.1, AdamW.defaults());
    assertRefused(NullPointerException.class, () -> builder.parameterRounding(null), "parameterRounding");
    try (TestTensors tensors = new TestTensors().add("w", BFLOAT16, 3).add("narrow one", FLOAT16, 3)) {
      assertRefused(
          IllegalArgumentException.class, () -> builder.parameterRounding(IN_PARTS).build(tensors.on(CPU)), "parameterRounding",
          "'narrow one'", "FLOAT16");
    }
    try (TestTensors tensors = new TestTensors().add("w", FLOAT32, 3).add("v", FLOAT64, 3);
        Optimizer optimizer = builder.parameterRounding(IN_PARTS).build(tensors.on(CPU))) {
      optimizer.step();
      assertEquals(0, optimizer.state("parameterRest", "v").count(), "others need no rest");
    }
  }

  private static TestTensors trained(Supplier<TunerBuilder<?>> builder, TestTensors tensors) {
    try (Optimizer optimizer = builder.get().build(tensors.on(CPU))) {
      for (int step = 0; step < 4; ++step) {
        backward(tensors, step);
        optimizer.step();
      }
    }
    return tensors;
  }

  private static boolean same(TestTensors one, TestTensors other) {
    return one.parameters(0).buffer().mismatch(other.parameters(0).buffer()) < 0;
  }

  /** Random bits depend on seed, name and element, and on nothing else. */
  @Test
  void randomBits() {
    final Supplier<TunerBuilder<?>> plain = () -> adamW(STOCHASTIC);
    try (TestTensors one = trained(plain, tensors(BFLOAT16));
        TestTensors again = trained(() -> adamW(STOCHASTIC).roundingSeed(0), tensors(BFLOAT16));
        TestTensors seeded = trained(() -> adamW(STOCHASTIC).roundingSeed(1), tensors(BFLOAT16));
        TestTensors unseeded = trained(() -> FixedRate.of(1e-3, AdamW.defaults()), tensors(BFLOAT16));
        TestTensors behind =
            trained(plain, new TestTensors().add("a", FLOAT32, 9000).group("b").add("w", BFLOAT16, FLOAT32, COUNT, 3).parameters(i -> 0));
        TestTensors named = trained(plain, new TestTensors().add("v", BFLOAT16, FLOAT32, COUNT, 1).parameters(i -> 2.5 + i % 5 * 0.25))) {
      assertTrue(same(one, again) && same(one, unseeded));
      assertFalse(same(one, seeded));
      assertFalse(same(one, named), "other names, other bits");
      assertEquals(9000, behind.parameters(0).count());
    }
  }

  /** All tensors at once, or an optimizer for each; and pieces of a tensor by themselves. */
  @Test
  void tensorByTensor() {
    final Supplier<TunerBuilder<?>> builder = () -> TestOptimizers.narrow(FixedRate.of(1e-3, AdamW.defaults()));
    try (TestTensors all = new TestTensors().add("w", BFLOAT16, FLOAT32, 9000, 0).add("v", FLOAT16, FLOAT32, 300, 0);
        TestTensors first = new TestTensors().add("part 0", BFLOAT16, FLOAT32, 4096, 1).pieceOf("w", 0);
        TestTensors second = new TestTensors().add("part 1", BFLOAT16, FLOAT32, 4904, 5).pieceOf("w", 4096);
        TestTensors last = new TestTensors().add("v", FLOAT16, FLOAT32, 300, 2);
        TestTensors stranger = new TestTensors().add("part 1", BFLOAT16, FLOAT32, 4904, 5)) {
      final int[] begins = {0, 4096, 9000, 4096};
      final List<TestTensors> pieces = List.of(first, second, last, stranger);
      all.parameters(i -> 1 + i % 5);
      for (int p = 0; p < pieces.size(); ++p) {
        final int begin = begins[p];
        pieces.get(p).parameters(i -> 1 + (begin + i) % 5);
      }
      try (Optimizer whole = builder.get().build(all.on(CPU))) {
        for (int step = 0; step < 4; ++step) {
          backward(all, step);
          whole.step();
        }
      }
      for (int p = 0; p < pieces.size(); ++p)
        try (Optimizer optimizer = builder.get().build(pieces.get(p).on(CPU))) {
          final int begin = begins[p];
          for (int step = 0; step < 4; ++step) {
            final int t = step;
            pieces.get(p).gradients(i -> Math.sin(begin + i + 7 * t) + 0.4);
            optimizer.step();
          }
        }
      assertEquals(-1, all.parameters(0).buffer().slice(0, 8192).mismatch(first.parameters(0).buffer()));
      assertEquals(-1, all.parameters(0).buffer().slice(8192, 2 * 4904).mismatch(second.parameters(0).buffer()));
      TestTensors.assertSameBits(all.parameters(1), last.parameters(0), "v");
      assertNotEquals(-1, second.parameters(0).buffer().mismatch(stranger.parameters(0).buffer()), "a tensor of its own");
    }
  }

  @Test
  void piecesBeginAtMultiples() {
    final ParameterSet.Builder builder = ParameterSet.on(CPU);
    assertRefused(IllegalStateException.class, () -> builder.pieceOf("w", 0), "pieceOf");
    try (TestTensors tensors = tensors(BFLOAT16)) {
      builder.add("part", tensors.parameters(0).address(), tensors.gradients(0).address(), 8, BFLOAT16);
      assertRefused(NullPointerException.class, () -> builder.pieceOf(null, 0), "whole");
      for (long bad : new long[] {-4096, 1, 4095, 1L << 41})
        assertRefused(IllegalArgumentException.class, () -> builder.pieceOf("w", bad), "firstElement", "'part'", "'w'", "4096", "" + bad);
      assertEquals("part", builder.build().tensors().get(0).whole());
      builder.pieceOf("w", 8192);
      final ParameterSet set = builder.build();
      assertEquals("w", set.tensors().get(0).whole());
      assertEquals(8192, set.tensors().get(0).firstElement());
      assertEquals("part", set.tensors().get(0).name());
      final long[] address = {tensors.parameters(0).address()};
      assertEquals(8192, set.at(address, new long[] {tensors.gradients(0).address()}).tensors().get(0).firstElement());
      try (Optimizer optimizer = adamW(STOCHASTIC).build(set)) {
        final ParameterSet other = ParameterSet.on(CPU).add("part", address[0], tensors.gradients(0).address(), 8, BFLOAT16).build();
        assertRefused(IllegalArgumentException.class, () -> optimizer.rebind(other), "'part'", "whole");
        optimizer.rebind(set);
      }
    }
  }

  /** A skipped step, and calls between steps, leave the random bits of the coming steps as they are. */
  @Test
  void whatHappensBetweenSteps() {
    for (Supplier<TunerBuilder<?>> builder : List.<Supplier<TunerBuilder<?>>>of(
        () -> FixedRate.of(1e-3, AdamW.defaults()), () -> FixedRate.of(1e-3, MADGRAD.defaults()), () -> Mechanic.tuning(AdamW.defaults()),
        () -> Prodigy.tuning(AdamW.defaults())))
      try (TestTensors one = tensors(BFLOAT16);
          TestTensors other = tensors(BFLOAT16);
          Optimizer straight = TestOptimizers.narrow(builder.get()).build(one.on(CPU));
          Optimizer disturbed = TestOptimizers.narrow(builder.get()).build(other.on(CPU))) {
            for (int step = 0; step < 8; ++step) {
              backward(one, step);
              straight.step();
              other.gradients(i -> Double.NaN);
              if (step % 3 == 1) assertTrue(disturbed.step().skipped());
              backward(other, step);
              disturbed.step();
              if (step % 4 == 2) {
                disturbed.save(file);
                disturbed.restore(file);
                other.gradients(i -> Double.NaN);
                disturbed.step();
              }
              if (step == 5) {
                straight.parametersMoved();
                other.gradients(i -> Double.NaN);
                disturbed.step();
                disturbed.parametersMoved();
              }
              TestTensors.assertSameBits(one.parameters(0), other.parameters(0), "step " + step);
            }
            SavedState.of(straight).assertUnchanged(SavedState.of(disturbed), "between steps");
          }
  }

  /** The trainer's parameters have no rest; those that it has not written keep theirs. */
  @Test
  void writtenParametersHaveNoRest() {
    try (TestTensors tensors = new TestTensors().add("w", BFLOAT16, 300).add("v", BFLOAT16, 70000).parameters(start());
        Optimizer optimizer = adamW(IN_PARTS).build(tensors.on(CPU))) {
      for (int step = 0; step < 3; ++step) {
        backward(tensors, step);
        optimizer.step();
      }
      final byte[] kept = rest(optimizer, "w").array();
      assertTrue(hasRest(kept) && hasRest(rest(optimizer, "v").array()));
      tensors.parameters(1).fill(i -> 2);
      optimizer.parametersMoved(List.of("v"));
      assertArrayEquals(kept, rest(optimizer, "w").array());
      assertFalse(hasRest(rest(optimizer, "v").array()));
      optimizer.parametersMoved();
      assertFalse(hasRest(rest(optimizer, "w").array()));
    }
  }

  private static boolean hasRest(byte[] rest) {
    for (byte one : rest) if (one != 0) return true;
    return false;
  }

  /** In parts a run goes on from its file to the bit; kept parameters have their rest only where they are those of the file. */
  @Test
  void partsInFiles() {
    try (TestTensors tensors = new TestTensors().add("w", BFLOAT16, 300).add("v", BFLOAT16, 40).parameters(start());
        TestTensors others = new TestTensors().add("w", BFLOAT16, 300).add("v", BFLOAT16, 40).parameters(i -> 1);
        Optimizer saved = adamW(IN_PARTS).build(tensors.on(CPU));
        Optimizer restored = adamW(IN_PARTS).build(others.on(CPU));
        Optimizer whole = adamW(STOCHASTIC).build(others.on(CPU))) {
      for (int step = 0; step < 3; ++step) {
        backward(tensors, step);
        saved.step();
      }
      saved.save(file);
      assertTrue(SavedState.of(saved).manifest().contains("\nslot.2=parameterRest\nslot.2.storage=REST\n"));
      assertTrue(SavedState.of(saved).manifest().contains("\ntuner.form.parameterRounding=IN_PARTS\n"));
      assertEquals("IN_PARTS", CheckpointInfo.read(file).values().get("parameterRounding"));
      assertRefused(
          CheckpointException.class, () -> whole.restore(file, RestoreOptions.lenient()), "parameterRounding", "IN_PARTS", "STOCHASTIC",
          "no option");
      assertTrue(restored.restore(file).isExact());
      SavedState.of(saved).assertSame(SavedState.of(restored), "restored");
      others.parameters(1).fill(i -> 7);
      restored.restore(file, RestoreOptions.strict().keepParameters());
      assertArrayEquals(rest(saved, "w").array(), rest(restored, "w").array(), "the same parameters");
      assertFalse(hasRest(rest(restored, "v").array()), "others");
      whole.save(file);
      assertRefused(CheckpointException.class, () -> restored.restore(file, RestoreOptions.lenient()), "parameterRounding", "no option");
    }
  }

  /** Rounding and seed are settings, which matter where something is rounded. */
  @Test
  void filesTellHowTheyWereRounded() {
    final Supplier<TestTensors> halves = () -> tensors(BFLOAT16);
    try (TestTensors tensors = halves.get();
        Optimizer stochastic = adamW(STOCHASTIC).roundingSeed(5).build(tensors.on(CPU));
        Optimizer nearest = adamW(NEAREST).build(tensors.on(CPU))) {
      stochastic.step();
      stochastic.save(file);
      assertTrue(SavedState.of(stochastic).manifest().contains("\ntuner.setting.parameterRounding=STOCHASTIC\n"));
      assertTrue(SavedState.of(stochastic).manifest().contains("\nversion=3\n"));
      assertRefused(
          CheckpointException.class, () -> nearest.restore(file), "parameterRounding is STOCHASTIC in the file and NEAREST here",
          "roundingSeed is 5 in the file and 0 here", "allowSettings");
      nearest.restore(file, RestoreOptions.strict().allowSettings());
      assertFalse(SavedState.of(nearest).manifest().contains("ounding"), "as in files of older libraries");
      nearest.save(file);
      assertRefused(CheckpointException.class, () -> stochastic.restore(file), "parameterRounding is NEAREST in the file and STOCHASTIC");
    }
    try (TestTensors tensors = tensors(FLOAT32);
        Optimizer one = adamW(STOCHASTIC).roundingSeed(5).build(tensors.on(CPU));
        Optimizer other = adamW(NEAREST).build(tensors.on(CPU))) {
      one.step();
      one.save(file);
      assertFalse(SavedState.of(one).manifest().contains("ounding"), "nothing is rounded");
      assertTrue(other.restore(file).isExact());
    }
  }

  @Test
  void roundingChangesWhileARunGoesOn() {
    try (TestTensors tensors = tensors(BFLOAT16).gradients(i -> 1);
        TestTensors others = tensors(BFLOAT16).gradients(i -> 1);
        Optimizer optimizer = adamW(STOCHASTIC).build(tensors.on(CPU));
        Optimizer built = adamW(STOCHASTIC).roundingSeed(3).build(others.on(CPU))) {
      steps(optimizer, 3);
      final double[] before = tensors.values();
      adamW(NEAREST).applyTo(optimizer);
      steps(optimizer, 3);
      assertArrayEquals(before, tensors.values(), "it stands still");
      optimizer.save(file);
      adamW(STOCHASTIC).roundingSeed(3).applyTo(optimizer);
      built.restore(file, RestoreOptions.strict().allowSettings());
      steps(optimizer, 3);
      steps(built, 3);
      tensors.assertSameParameters(others, "applied, and built");
      final SavedState state = SavedState.of(optimizer);
      assertRefused(IllegalArgumentException.class, () -> adamW(IN_PARTS).applyTo(optimizer),
          "parameterRounding is STOCHASTIC, not IN_PARTS");
      state.assertSame(SavedState.of(optimizer), "refused");
    }
  }

  /** Tuners that rebuild x from what they keep lose nothing, however x is rounded. */
  @ParameterizedTest
  @EnumSource(value = ParameterRounding.class, names = {"STOCHASTIC", "NEAREST"})
  void pointsOfTheirOwnAreRoundedToTheNearest(ParameterRounding rounding) {
    try (TestTensors tensors = tensors(BFLOAT16);
        TestTensors others = tensors(BFLOAT16);
        Optimizer optimizer = Mechanic.tuning(Lion.defaults()).parameterRounding(rounding).build(tensors.on(CPU));
        Optimizer other = Mechanic.tuning(Lion.defaults()).parameterRounding(STOCHASTIC).roundingSeed(9).build(others.on(CPU))) {
      for (int step = 0; step < 30; ++step) {
        backward(tensors, step);
        backward(others, step);
        optimizer.step();
        other.step();
      }
      tensors.assertSameParameters(others, "Mechanic");
    }
  }

  /** Evaluating rounds to the nearest, whatever steps do. */
  @Test
  void evaluatingIsNoStep() {
    for (Supplier<TunerBuilder<?>> builder : List.<Supplier<TunerBuilder<?>>>of(
        () -> FixedRate.of(1e-3, ScheduleFreeAdamW.defaults()), () -> DoG.tuning(SGD.defaults()).relativeDistance(1e-3).averaging(8)))
      try (TestTensors tensors = tensors(BFLOAT16); Optimizer optimizer = builder.get().exponentialAverage(0.9).build(tensors.on(CPU))) {
        for (int step = 0; step < 3; ++step) {
          backward(tensors, step);
          optimizer.step();
        }
        final double[] training = tensors.values();
        optimizer.swapAverages();
        final double[] averages = tensors.values();
        final ByteBuffer slot =
            ByteBuffer.wrap(Memory.bytes(optimizer.state("exponentialAverage", "w"))).order(ByteOrder.nativeOrder());
        for (int i = 0; i < COUNT; ++i) assertEquals(Formats.round(BFLOAT16, slot.getFloat(4 * i)), averages[i]);
        optimizer.swapAverages();
        assertArrayEquals(training, tensors.values());
      }
  }
}
