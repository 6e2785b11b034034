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

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.DynamicContainer;
import org.junit.jupiter.api.DynamicNode;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.steptuner.TestOptimizers.Configuration;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;
import org.steptuner.tuner.Memory;
import org.steptuner.tuner.TunerBuilder;

/**
 * One answer: parameters, scalars and norms are the same, bit for bit, on every device, with any number of threads, at any alignment,
 * for every optimizer and every pair of element types. The device to agree with is one thread of SSE2 on aligned memory.
 */
class SameBitsTest {
  private static final int STEPS = 50;
  // Where a GPU is emulated a step is slow; the reference is kept after this many steps too.
  private static final int FEW_STEPS = 5;
  private static final int IMAGES = 4;
  private static final int[] SIZES = {0, 1, 7, 127, 128, 129, 511, 513, 4095, 4096, 4097, 20000};
  private static final DataType[][] ALL_TYPES = {
    {FLOAT32, FLOAT32}, {FLOAT64, FLOAT64}, {BFLOAT16, BFLOAT16}, {FLOAT16, FLOAT16}, {FLOAT32, BFLOAT16}, {BFLOAT16, FLOAT32},
    {FLOAT16, FLOAT32}, {FLOAT64, FLOAT32}, {FLOAT32, FLOAT64}, {FLOAT32, FLOAT16}, {BFLOAT16, FLOAT64}, {FLOAT64, FLOAT16}
  };
  // Those that state of 16 bits can be beside.
  private static final DataType[][] NARROW_TYPES = {
    {FLOAT32, FLOAT32}, {BFLOAT16, BFLOAT16}, {FLOAT32, BFLOAT16}, {BFLOAT16, FLOAT32}, {FLOAT16, FLOAT16}, {FLOAT32, FLOAT64},
    {BFLOAT16, FLOAT16}
  };
  private static final int NARROW_STEPS = 9;

  /** Tensors in which sizes meet types in another way for each rotation. */
  private record Tensors(boolean narrow, int rotation) {
    DataType[][] types() {
      return narrow ? NARROW_TYPES : ALL_TYPES;
    }

    TestTensors make(int offset) {
      final TestTensors tensors = new TestTensors();
      for (int t = 0; t < types().length; ++t) {
        if (t == types().length * 7 / 12) tensors.group("second");
        tensors.add("t" + t, types()[t][0], types()[t][1], SIZES[(t + rotation) % SIZES.length], offset);
      }
      return tensors;
    }
  }

  // [image]: the gradients of step t are image t mod IMAGES; image IMAGES holds the first parameters.
  private static final Map<Tensors, TestTensors[]> PREPARED = new HashMap<>();

  // What large tensors must become, by configuration.
  private static final Map<String, TestTensors> LARGE = new HashMap<>();

  /** What must agree, after few and after all steps. */
  private record Outcome(List<byte[]> parameters, Map<String, double[]> scalars, double[] norms, List<byte[]> state) {}

  @AfterAll
  static void release() {
    PREPARED.values().forEach(images -> Arrays.stream(images).forEach(TestTensors::close));
    PREPARED.clear();
    LARGE.values().forEach(TestTensors::close);
    LARGE.clear();
  }

  private static List<Configuration> configurations() {
    final List<Configuration> configurations = new ArrayList<>(TestOptimizers.all());
    configurations.addAll(TestOptimizers.others());
    return configurations;
  }

  @TestFactory
  Stream<DynamicNode> everyOptimizerOnEveryDevice() {
    return onEveryDevice(configurations(), false, STEPS);
  }

  @TestFactory
  Stream<DynamicNode> everyOptimizerWithStateOf16Bits() {
    return onEveryDevice(configurations().stream().map(Configuration::narrow).toList(), true, NARROW_STEPS);
  }

  private static Stream<DynamicNode> onEveryDevice(List<Configuration> configurations, boolean narrow, int most) {
    return IntStream.range(0, configurations.size())
        .mapToObj(
            number -> {
              final Configuration configuration = configurations.get(number);
              final List<List<Outcome>> expected = new ArrayList<>();
              final List<TestDevices.Candidate> devices = TestDevices.all();
              return DynamicContainer.dynamicContainer(
                  configuration.name(),
                  IntStream.range(1, devices.size())
                      .mapToObj(
                          d -> DynamicTest.dynamicTest(
                              devices.get(d).name(),
                              () -> {
                                final Device device = devices.get(d).open();
                                if (expected.isEmpty())
                                  expected.add(run(configuration, number, narrow, TestDevices.reference(), 0, most));
                                final int steps = devices.get(d).cpu() ? most : FEW_STEPS;
                                final List<Outcome> actual = run(configuration, number, narrow, device, d, steps);
                                for (int i = 0; i < actual.size(); ++i)
                                  assertSame(expected.get(0).get(i), actual.get(i), configuration + " on " + device);
                              })));
            });
  }

  private static List<Outcome> run(Configuration configuration, int number, boolean narrow, Device device, int offset, int steps) {
    final Tensors kind = new Tensors(narrow, number % SIZES.length);
    final TestTensors[] images = PREPARED.computeIfAbsent(kind, SameBitsTest::prepare);
    final List<Outcome> outcomes = new ArrayList<>();
    try (TestTensors tensors = kind.make(offset)) {
      copy(images[IMAGES], tensors);
      final TunerBuilder<?> builder = configuration.builder().get();
      if (number % 3 == 1) builder.clipNorm(20);
      if (builder instanceof Mechanic mechanic) mechanic.scope(Scope.values()[number % 5 % 3]);
      final double multiplier = number % 4 == 2 ? 0.3 : 1;
      final double[] norms = new double[steps];
      try (Optimizer optimizer = builder.build(tensors.on(device))) {
        for (int step = 0; step < steps; ++step) {
          copyGradients(images[step % IMAGES], tensors);
          // A scale that has grown for 35 steps meets gradients that want it smaller.
          optimizer.setGradientMultiplier(step < 35 ? multiplier : -multiplier);
          final StepReport report = optimizer.step(1 + step % 3);
          assertFalse(report.skipped(), () -> "skipped: " + report);
          norms[step] = report.gradientNorm();
          if (step == FEW_STEPS - 1 || step == STEPS - 1 || step == NARROW_STEPS - 1) outcomes.add(outcome(tensors, optimizer, norms));
        }
      }
      tensors.assertFencesStand(configuration.name());
    }
    return outcomes;
  }

  private static Outcome outcome(TestTensors tensors, Optimizer optimizer, double[] norms) {
    final List<byte[]> state = new ArrayList<>();
    for (String slot : optimizer.slots())
      for (TestTensors.Tensor t : tensors.all()) state.add(Memory.bytes(optimizer.state(slot, t.name())));
    return new Outcome(tensors.all().stream().map(t -> t.parameters().toBytes()).toList(), optimizer.scalars(), norms.clone(), state);
  }

  private static void assertSame(Outcome expected, Outcome actual, String what) {
    for (int t = 0; t < expected.parameters.size(); ++t) {
      final int at = Arrays.mismatch(expected.parameters.get(t), actual.parameters.get(t));
      assertEquals(-1, at, what + ": first byte of tensor " + t + " that differs");
    }
    for (int i = 0; i < expected.state.size(); ++i)
      assertEquals(-1, Arrays.mismatch(expected.state.get(i), actual.state.get(i)), what + ": state " + i);
    assertEquals(expected.scalars.keySet(), actual.scalars.keySet(), what);
    expected.scalars.forEach((name, values) -> assertArrayEquals(bits(values), bits(actual.scalars.get(name)), what + ": " + name));
    assertArrayEquals(
        Arrays.copyOf(bits(expected.norms), FEW_STEPS), Arrays.copyOf(bits(actual.norms), FEW_STEPS), what + ": gradient norms");
  }

  private static long[] bits(double[] values) {
    return Arrays.stream(values).mapToLong(Double::doubleToRawLongBits).toArray();
  }

  // Gradients have a common part, so that the scale grows and leaves its mark on x; half of the parameters start at 0, where all bits
  // of a small step show.
  private static TestTensors[] prepare(Tensors kind) {
    final SplittableRandom random = new SplittableRandom(kind.rotation);
    final double[] common = random.doubles(40000, -1, 1).toArray();
    final TestTensors[] images = new TestTensors[IMAGES + 1];
    for (int image = 0; image < IMAGES; ++image)
      images[image] =
          kind.make(0)
              .gradients(
                  i -> i % 97 == 13 ? 0 : i % 97 == 14 ? -0.0 : Math.scalb(common[i] + random.nextDouble(-0.6, 0.6), -(i % 11)));
    images[IMAGES] = kind.make(0).parameters(i -> i % 2 == 0 ? 0 : random.nextDouble(-1, 1));
    return images;
  }

  private static void copy(TestTensors from, TestTensors to) {
    for (int t = 0; t < to.all().size(); ++t) to.parameters(t).copyFrom(from.parameters(t));
  }

  private static void copyGradients(TestTensors from, TestTensors to) {
    for (int t = 0; t < to.all().size(); ++t) {
      to.gradients(t).copyFrom(from.gradients(t));
      to.updates(t).copyFrom(from.updates(t));
    }
  }

  /** Tensors of many chunks, shared out among threads. */
  @TestFactory
  Stream<DynamicTest> aLargeTensorOnEveryDevice() {
    final List<Configuration> configurations = TestOptimizers.some();
    return TestDevices.all().stream()
        .skip(1)
        .map(
            candidate -> DynamicTest.dynamicTest(
                candidate.name(),
                () -> {
                  final Device device = candidate.open();
                  for (Configuration configuration : configurations)
                    try (TestTensors actual = large(configuration, device, 1)) {
                      actual.assertSameParameters(
                          LARGE.computeIfAbsent(configuration.name(), name -> large(configuration, TestDevices.reference(), 0)),
                          configuration + " on " + device);
                      actual.assertFencesStand(configuration.name());
                    }
                }));
  }

  private static TestTensors large(Configuration configuration, Device device, int offset) {
    final TestTensors tensors =
        new TestTensors()
            .add("a", FLOAT32, FLOAT32, 60001, offset)
            .add("b", BFLOAT16, FLOAT32, 20011, offset)
            .add("c", FLOAT64, FLOAT64, 20011, offset);
    tensors.parameters(i -> i % 5 * 0.1).gradients(i -> (i % 1009 - 400) * 0.01);
    try (Optimizer optimizer = configuration.build(tensors.on(device))) {
      for (int step = 0; step < 3; ++step) assertFalse(optimizer.step().skipped());
    }
    return tensors;
  }

  @TestFactory
  Stream<DynamicTest> everyAlignment() {
    return TestDevices.all().stream()
        .filter(candidate -> !candidate.name().matches(".* x [23]"))
        .map(
            candidate -> DynamicTest.dynamicTest(
                candidate.name(),
                () -> {
                  final Device device = candidate.open();
                  for (Mechanic.Variant variant : Mechanic.Variant.values())
                    try (TestTensors expected = aligned(variant, TestDevices.reference(), 0)) {
                      for (int offset = 1; offset <= 33; ++offset)
                        try (TestTensors actual = aligned(variant, device, offset)) {
                          actual.assertSameParameters(expected, variant + " on " + device + ", offset " + offset);
                          actual.assertFencesStand(variant + " on " + device + ", offset " + offset);
                        }
                    }
                }));
  }

  private static TestTensors aligned(Mechanic.Variant variant, Device device, int offset) {
    final TestTensors tensors = new TestTensors();
    for (DataType type : DataType.values()) tensors.add(type.name(), type, type, 601 + type.ordinal(), offset);
    tensors.gradients(i -> (i % 13 - 5) * 0.25);
    try (Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).variant(variant).build(tensors.on(device))) {
      for (int step = 0; step < 4; ++step) optimizer.step();
    }
    return tensors;
  }

  /**
   * Outputs of sweeps larger than the last-level cache go past it, with stores of their own. All arrays repeat with an odd period, so
   * every element must equal the one a period before: at every alignment of the streaming stores, in heads and tails too.
   */
  @Test
  void storesThatBypassTheCaches() throws Exception {
    final long cache = lastLevelCache();
    Assumptions.assumeTrue(cache > 0, "the size of the last-level cache is not known");
    // Mechanic's apply over AdamW moves 36 bytes per element of the float32 tensor, 32 of the bfloat16 one: more than 30.
    final int half = Math.toIntExact(cache / 60 + 5003) | 1;
    Assumptions.assumeTrue(half < 20_000_000, "the last-level cache is too large to be outgrown in a test: " + cache);
    final int period = 10007;
    try (TestTensors tensors =
        new TestTensors().add("a", FLOAT32, FLOAT32, half, 1).add("b", BFLOAT16, BFLOAT16, half, 1)) {
      for (TestTensors.Tensor tensor : tensors.all()) {
        repeat(tensor.parameters(), period, i -> i % 17 * 0.1);
        repeat(tensor.gradients(), period, i -> (i % 1009 - 400) * 0.01);
      }
      final byte[][] before = {tensors.parameters(0).toBytes(), tensors.parameters(1).toBytes()};
      try (Optimizer optimizer =
          Mechanic.tuning(AdamW.defaults()).initialScale(0.1).parameterRounding(ParameterRounding.NEAREST)
              .build(tensors.on(Device.cpu(2)))) {
        for (int step = 0; step < 2; ++step) assertFalse(optimizer.step().skipped());
      }
      for (int t = 0; t < 2; ++t) {
        final TestArray x = tensors.parameters(t);
        final int from = period * x.type().bytes();
        final int length = x.bytes() - from;
        assertEquals(-1, x.buffer().slice(from, length).mismatch(x.buffer().slice(0, length)), "tensor " + t);
        assertTrue(Arrays.mismatch(before[t], x.toBytes()) >= 0, "it moved");
      }
      tensors.assertFencesStand("streaming stores");
    }
  }

  /** As the C library knows it, which the native code asks. */
  private static long lastLevelCache() throws Exception {
    final Process getconf = new ProcessBuilder("getconf", "LEVEL3_CACHE_SIZE").redirectErrorStream(true).start();
    final String answer = new String(getconf.getInputStream().readAllBytes(), StandardCharsets.US_ASCII).trim();
    return getconf.waitFor() == 0 && answer.matches("[0-9]+") ? Long.parseLong(answer) : 0;
  }

  private static void repeat(TestArray array, int period, IntToDoubleFunction value) {
    for (int i = 0; i < period; ++i) array.set(i, value.applyAsDouble(i));
    final ByteBuffer bytes = array.buffer();
    final int first = period * array.type().bytes();
    for (int done = first; done < array.bytes(); done += first)
      bytes.put(done, bytes, 0, Math.min(first, array.bytes() - done));
  }

  /** The pool of threads serves one sweep; another one that comes at that time goes alone. Neither may see the other. */
  @Test
  void twoOptimizersAtATime() throws Exception {
    final Configuration adam = TestOptimizers.mechanicsOverAdamW().get(0);
    try (TestTensors expected = large(adam, TestDevices.reference(), 0);
        TestTensors noise = TestTensors.of(FLOAT32, 50000).gradients(i -> i % 3)) {
      final AtomicBoolean stop = new AtomicBoolean();
      try (Optimizer noisy = FixedRate.of(1e-3, SGD.defaults()).build(noise.on(Device.cpu(2)))) {
        final Thread thread =
            new Thread(
                () -> {
                  while (!stop.get()) noisy.step();
                });
        thread.start();
        try {
          for (int run = 0; run < 20; ++run)
            try (TestTensors actual = large(adam, Device.cpu(3), 1)) {
              actual.assertSameParameters(expected, "run " + run);
            }
        } finally {
          stop.set(true);
          thread.join();
        }
        assertTrue(noisy.steps() > 0);
      }
    }
  }

  /** The comparison itself: another gradient in one element must show, wherever it is. */
  @Test
  void aDifferenceIsSeen() {
    final Configuration adam = TestOptimizers.mechanicsOverAdamW().get(0);
    try (TestTensors one = large(adam, TestDevices.reference(), 0); TestTensors other = large(adam, TestDevices.reference(), 0)) {
      other.assertSameParameters(one, "the same twice");
      other.parameters(2).setBits(20010, other.parameters(2).bits(20010) ^ 1);
      assertNotEquals(-1, one.parameters(2).buffer().mismatch(other.parameters(2).buffer()));
    }
  }
}
