// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Supplier;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.DeviceException;
import org.steptuner.InstructionSet;
import org.steptuner.TestDevices;
import org.steptuner.TestOptimizers;
import org.steptuner.NonFinite;
import org.steptuner.NonFiniteException;
import org.steptuner.Optimizer;
import org.steptuner.StateTensor;
import org.steptuner.StepReport;
import org.steptuner.rule.StateKind;

/** What every tuner promises, whatever its formula. A test of a tuner names its forms and adds what is its own. */
abstract class TunerContract {
  static final int[] SIZES = {1, 130, 513, 4097, 9001};
  static final int STEPS = 12;

  /** Builders of every form that runs other code than its neighbours. */
  abstract Map<String, Supplier<TunerBuilder<?>>> forms();

  static List<Device> devices() {
    final List<Device> devices = new ArrayList<>();
    for (InstructionSet set : InstructionSet.values())
      for (int threads = 1; threads <= 3; ++threads) {
        try {
          devices.add(Device.cpu(threads, set));
        } catch (DeviceException e) {
          System.out.println("not tested: " + e.getMessage());
        }
      }
    return devices;
  }

  static Device device() {
    return TestDevices.reference();
  }

  @Test
  void sameBitsOnEveryInstructionSetAndThreadCount() {
    forms().forEach((name, builder) -> {
      for (DataType type : new DataType[] {DataType.FLOAT32, DataType.FLOAT64}) assertSameBits(name, builder, type, STEPS, SIZES);
    });
  }

  /** The same with state of 16 bits, over parameters of 32 and of 16. */
  @Test
  void sameBitsWithStateOf16Bits() {
    forms().forEach((name, builder) -> {
      for (DataType type : halves(builder)) assertSameBits(name + ", 16-bit state", narrow(builder), type, 6, 1, 130, 4100, 3000);
    });
  }

  static Supplier<TunerBuilder<?>> narrow(Supplier<TunerBuilder<?>> builder) {
    return () -> TestOptimizers.narrow(builder.get());
  }

  /** The types of parameters beside which a form can have state of 16 bits: some take none of 16 bits themselves. */
  private static List<DataType> halves(Supplier<TunerBuilder<?>> builder) {
    try (Training training = new Training(DataType.BFLOAT16, 0.5, 4, 4)) {
      builder.get().build(training.on(device())).close();
      return List.of(DataType.FLOAT32, DataType.BFLOAT16);
    } catch (IllegalArgumentException e) {
      assertTrue(e.getMessage().contains("BFLOAT16"), e.getMessage());
      return List.of(DataType.FLOAT32);
    }
  }

  private static void assertSameBits(String name, Supplier<TunerBuilder<?>> builder, DataType type, int steps, int... sizes) {
    byte[] expected = null;
    Map<String, double[]> expectedScalars = null;
    for (Device device : devices()) {
      try (Training training = new Training(type, 0.5, sizes);
          Optimizer optimizer = builder.get().clipNorm(90).build(training.on(device))) {
        for (int step = 1; step <= steps; ++step) {
          final StepReport report = optimizer.step(training.backward(step));
          assertFalse(report.skipped(), name);
        }
        final byte[] actual = training.parameterBytes();
        if (expected == null) {
          expected = actual;
          expectedScalars = optimizer.scalars();
          if (type != DataType.BFLOAT16) assertMoved(training, name, sizes); // which steps may leave where they are
        }
        assertEquals(-1, Arrays.mismatch(expected, actual), name + " in " + type + " on " + device.name());
        final Map<String, double[]> scalars = optimizer.scalars();
        expectedScalars.forEach((key, values) -> assertArrayEquals(values, scalars.get(key), name + ", " + key + " on " + device.name()));
      }
    }
  }

  private static void assertMoved(Training after, String name, int... sizes) {
    try (Training before = new Training(DataType.FLOAT64, 0.5, sizes)) {
      int moved = 0;
      for (int i = 0; i < before.count(); ++i) {
        assertTrue(Double.isFinite(after.get(i)), name);
        if (after.get(i) != (float) before.get(i) && after.get(i) != before.get(i)) ++moved;
      }
      assertTrue(moved > before.count() * 0.9, name + " moved " + moved + " of " + before.count());
    }
  }

  @Test
  void oneTensorOrManyIsTheSameUpToRounding() {
    forms().forEach((name, builder) -> {
      if (name.startsWith("sliced") || name.startsWith("by ")) return; // every tensor has a first element, or its own scale
      final double[][] results = new double[2][];
      for (int k = 0; k < 2; ++k) {
        try (Training training = k == 0 ? new Training(DataType.FLOAT64, 0.5, 700, 0) : new Training(DataType.FLOAT64, 0.5, 1, 0, 199, 500);
            Optimizer optimizer = builder.get().build(training.on(device()))) {
          for (int step = 1; step <= STEPS; ++step) optimizer.step(training.backward(step));
          results[k] = training.values();
        }
      }
      assertArrayEquals(results[0], results[1], 1e-9, name);
    });
  }

  @Test
  void nonFiniteGradientsAndLossesLeaveEverything(@TempDir Path folder) {
    final double[] bad = {Double.NaN, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY};
    forms().forEach((name, builder) -> {
      for (int warm : new int[] {0, 3}) {
        try (Training training = new Training(DataType.FLOAT32, 0.5, SIZES);
            Optimizer optimizer = builder.get().build(training.on(device()))) {
          for (int step = 1; step <= warm; ++step) optimizer.step(training.backward(step));
          final Map<String, byte[]> before = saved(optimizer, folder);
          int skipped = 0;
          for (double value : bad)
            for (int at : new int[] {0, 130, training.count() - 1}) {
              final double loss = training.backward(99);
              training.setGradient(at, value);
              assertEquals(StepReport.Skip.NON_FINITE_GRADIENT, optimizer.step(loss).skip(), name);
              ++skipped;
            }
          training.backward(99);
          assertEquals(StepReport.Skip.NON_FINITE_LOSS, optimizer.step(Double.NaN).skip(), name);
          assertEquals(skipped + 1, optimizer.report().skippedSteps());
          assertEquals(warm, optimizer.steps());
          assertSame(before, saved(optimizer, folder), name + " after " + warm + " steps");
          // It goes on as if nothing had been.
          try (Training twin = new Training(DataType.FLOAT32, 0.5, SIZES);
              Optimizer other = builder.get().build(twin.on(device()))) {
            for (int step = 1; step <= warm + 2; ++step) other.step(twin.backward(step));
            for (int step = warm + 1; step <= warm + 2; ++step) optimizer.step(training.backward(step));
            assertArrayEquals(twin.parameterBytes(), training.parameterBytes(), name);
          }
        }
      }
    });
  }

  @Test
  void throwsIfToldTo() {
    forms().forEach((name, builder) -> {
      try (Training training = new Training(DataType.FLOAT32, 0.5, 60, 40);
          Optimizer optimizer = builder.get().nonFinite(NonFinite.THROW).build(training.on(device()))) {
        final double loss = training.backward(1);
        training.setGradient(50, Double.NaN);
        final byte[] before = training.parameterBytes();
        assertThrows(NonFiniteException.class, () -> optimizer.step(loss), name);
        assertArrayEquals(before, training.parameterBytes(), name);
      }
    });
  }

  @Test
  void uncheckedTakesTheSameSteps() {
    forms().forEach((name, builder) -> {
      try (Training one = new Training(DataType.FLOAT32, 0.5, SIZES);
          Training two = new Training(DataType.FLOAT32, 0.5, SIZES);
          Optimizer guarded = builder.get().build(one.on(device()));
          Optimizer unchecked = builder.get().nonFinite(NonFinite.UNCHECKED).build(two.on(device()))) {
        for (int step = 1; step <= STEPS; ++step) {
          guarded.step(one.backward(step));
          unchecked.step(two.backward(step));
        }
        assertArrayEquals(one.parameterBytes(), two.parameterBytes(), name);
      }
    });
  }

  @Test
  void gradientMultiplierUndoesALossScale() {
    forms().forEach((name, builder) -> {
      try (Training one = new Training(DataType.FLOAT64, 0.5, 400, 300);
          Training two = new Training(DataType.FLOAT64, 0.5, 400, 300);
          Optimizer plain = builder.get().clipNorm(20).build(one.on(device()));
          Optimizer scaled = builder.get().clipNorm(20).gradientMultiplier(1.0 / 1024).build(two.on(device()))) {
        boolean clipped = false;
        for (int step = 1; step <= STEPS; ++step) {
          clipped |= plain.step(one.backward(step)).clipFactor() < 1;
          final double loss = two.backward(step);
          two.scale(1024);
          scaled.step(loss);
          assertEquals(plain.report().gradientNorm(), scaled.report().gradientNorm(), name);
        }
        assertArrayEquals(one.values(), two.values(), name);
        assertTrue(clipped, name);
      }
    });
  }

  @Test
  void resumedEqualsUninterrupted(@TempDir Path folder) {
    forms().forEach((name, builder) -> {
      for (int at : new int[] {0, 1, 5}) assertResumes(name, builder, DataType.FLOAT32, at, folder, SIZES);
    });
  }

  @Test
  void resumedEqualsUninterruptedWithStateOf16Bits(@TempDir Path folder) {
    forms().forEach((name, builder) -> {
      for (DataType type : halves(builder)) assertResumes(name + ", 16-bit state", narrow(builder), type, 4, folder, 1, 130, 700);
    });
  }

  private static void assertResumes(
      String name, Supplier<TunerBuilder<?>> builder, DataType type, int at, Path folder, int... sizes) {
    final Path file = folder.resolve("resume");
    try (Training one = new Training(type, 0.5, sizes);
        Training two = new Training(type, 0.5, sizes);
        Optimizer straight = builder.get().build(one.on(device()));
        Optimizer resumed = builder.get().build(two.on(device()))) {
      for (int step = 1; step <= at; ++step) straight.step(one.backward(step));
      straight.save(file);
      for (int step = 1; step <= 3; ++step) resumed.step(two.backward(step + 50));
      resumed.restore(file);
      assertEquals(straight.report().learnedScale(), resumed.report().learnedScale(), name);
      for (int step = at + 1; step <= STEPS; ++step) {
        straight.step(one.backward(step));
        resumed.step(two.backward(step));
      }
      assertArrayEquals(one.parameterBytes(), two.parameterBytes(), name + " resumed at " + at);
      assertSame(saved(straight, folder), saved(resumed, folder), name);
    }
  }

  /** Every slot is stored as its kind says, and as it is saved. */
  @Test
  void statisticsHave16Bits(@TempDir Path folder) {
    forms().forEach((name, builder) -> {
      for (DataType type : halves(builder)) {
        final TunerBuilder<?> narrow = TestOptimizers.narrow(builder.get());
        try (Training training = new Training(type, 0.5, 60, 0, 40); Optimizer optimizer = narrow.build(training.on(device()))) {
          for (int step = 1; step <= 3; ++step) optimizer.step(training.backward(step));
          final Map<String, byte[]> saved = saved(optimizer, folder);
          for (String slot : optimizer.slots()) {
            final StateKind kind = narrow.tunerSlots().contains(slot) ? narrow.stateKind(slot) : narrow.rule.stateKind(slot);
            final DataType expected = kind == StateKind.STATISTIC || kind == StateKind.COPY && type == DataType.BFLOAT16
                ? DataType.BFLOAT16
                : DataType.FLOAT32;
            for (int t = 0; t < 3; ++t) {
              final String tensor = optimizer.parameters().tensors().get(t).name();
              final StateTensor state = optimizer.state(slot, tensor);
              assertEquals(expected, state.type(), name + ": " + slot);
              assertEquals(optimizer.parameters().tensors().get(t).count(), state.count(), name);
              assertArrayEquals(saved.get("state/" + slot + "/" + t), Memory.bytes(state), name + ": " + slot + " of " + tensor);
            }
          }
        }
      }
    });
  }

  /** A trainer may evaluate between any two steps, whatever the tuner: the training goes on as if it had not. */
  @Test
  void evaluatingInBetweenChangesNothing(@TempDir Path folder) {
    forms().forEach((name, builder) -> {
      try (Training one = new Training(DataType.FLOAT32, 0.5, SIZES);
          Training two = new Training(DataType.FLOAT32, 0.5, SIZES);
          Optimizer straight = builder.get().build(one.on(device()));
          Optimizer evaluated = builder.get().build(two.on(device()))) {
        for (int step = 1; step <= STEPS; ++step) {
          evaluated.evaluating();
          assertSame(saved(straight, folder), saved(evaluated, folder), name);
          evaluated.training();
          assertArrayEquals(one.parameterBytes(), two.parameterBytes(), name + " before step " + step);
          straight.step(one.backward(step));
          evaluated.step(two.backward(step));
        }
      }
    });
  }

  @Test
  void stateIsWhatASavedFileHolds(@TempDir Path folder) {
    forms().forEach((name, builder) -> {
      for (DataType type : new DataType[] {DataType.FLOAT32, DataType.FLOAT64}) {
        try (Training training = new Training(type, 0.5, 60, 0, 40);
            Optimizer optimizer = builder.get().build(training.on(device()))) {
          for (int step = 1; step <= 3; ++step) optimizer.step(training.backward(step));
          final Map<String, byte[]> saved = saved(optimizer, folder);
          int read = 0;
          for (String slot : optimizer.slots())
            for (int t = 0; t < 3; ++t) {
              final String tensor = optimizer.parameters().tensors().get(t).name();
              final StateTensor state = optimizer.state(slot, tensor);
              assertEquals(optimizer.parameters().tensors().get(t).count(), state.count(), name);
              assertEquals(type, state.type(), name);
              assertArrayEquals(saved.get("state/" + slot + "/" + t), Memory.bytes(state), name + ": " + slot + " of " + tensor);
              ++read;
            }
          assertEquals(saved.keySet().stream().filter(entry -> entry.startsWith("state/")).count(), read, name);
        }
      }
    });
  }

  /** Processes that have a part of the tensors each, in any distribution, make the steps of one process, and skip together. */
  @ParameterizedTest
  @EnumSource
  void processesThatShareTensorsAreAsOne(Distribution distribution) throws Exception {
    for (Map.Entry<String, Supplier<TunerBuilder<?>>> form : forms().entrySet())
      if (!decidedByRounding().contains(form.getKey())) distribution.assertIsAsOne(form.getKey(), form.getValue(), STEPS);
  }

  /** Forms that subtract equal sums here, so that the order in which they were added decides the result. */
  Set<String> decidedByRounding() {
    return Set.of();
  }

  @Test
  void otherSettingsAreAnotherOptimizer(@TempDir Path folder) {
    final List<String> seen = new ArrayList<>();
    forms().forEach((name, builder) -> {
      final String description = builder.get().description();
      assertFalse(seen.contains(description), name + ": " + description);
      seen.add(description);
    });
  }

  static Map<String, byte[]> saved(Optimizer optimizer, Path folder) {
    final Path file = folder.resolve("saved");
    optimizer.save(file);
    final Map<String, byte[]> entries = new TreeMap<>();
    try (ZipFile zip = new ZipFile(file.toFile())) {
      for (ZipEntry entry : Collections.list(zip.entries()))
        try (InputStream in = zip.getInputStream(entry)) {
          entries.put(entry.getName(), in.readAllBytes());
        }
      Files.delete(file);
    } catch (IOException e) {
      throw new AssertionError(e);
    }
    return entries;
  }

  static void assertSame(Map<String, byte[]> expected, Map<String, byte[]> actual, String what) {
    assertEquals(expected.keySet(), actual.keySet(), what);
    expected.forEach((name, bytes) -> {
      if (name.equals("manifest"))
        assertEquals(text(bytes), text(actual.get(name)), what);
      else
        assertArrayEquals(bytes, actual.get(name), what + ": " + name);
    });
    assertNotEquals(0, expected.size());
  }

  private static String text(byte[] manifest) {
    return new String(manifest, java.nio.charset.StandardCharsets.UTF_8).replaceFirst("skippedSteps=.*\n", "");
  }
}
