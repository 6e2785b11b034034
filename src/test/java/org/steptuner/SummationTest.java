// SPDX-License-Identifier: Apache-2.0
package org.steptuner;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;

import java.util.Arrays;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.FixedRate;
import org.steptuner.tuner.Mechanic;

/**
 * Sums are formed in the documented order: another implementation of that text gives the same bits, on every device. The sums are
 * taken where a reducer gets them, since the root in gradientNorm() hides the last bit. Terms are of very different sizes, so that
 * another order would show.
 */
class SummationTest {
  private static final int[] SIZES = {1, 2, 3, 127, 128, 129, 255, 256, 511, 512, 513, 640, 4095, 4096, 4097, 4609, 8191, 20000};

  private static final Mechanic WITHOUT_DECAY = Mechanic.tuning(SGD.defaults()).variant(Mechanic.Variant.TORCH).decay(0);
  private static final Map<String, TestTensors> LARGE = new HashMap<>();
  private static final Map<DataType, Double> SUMS = new EnumMap<>(DataType.class);

  @AfterAll
  static void release() {
    LARGE.values().forEach(TestTensors::close);
    LARGE.clear();
  }

  static Stream<TestDevices.Candidate> devices() {
    return TestDevices.all().stream();
  }

  @ParameterizedTest
  @MethodSource("devices")
  void oneTensor(TestDevices.Candidate candidate) {
    final Device device = candidate.open();
    for (DataType type : DataType.values())
      for (int size : SIZES)
        try (TestTensors tensors = random(TestTensors.of(type, size), size)) {
          final double sum = new Summation().squares(tensors.all().get(0)).total();
          assertSums(tensors, device, type + ", " + size + " elements", sum);
        }
  }

  @ParameterizedTest
  @MethodSource("devices")
  void severalTensorsInGroups(TestDevices.Candidate candidate) {
    final TestTensors tensors =
        new TestTensors()
            .add("a", FLOAT32, 5000)
            .add("empty", FLOAT32, 0)
            .group("second")
            .add("b", FLOAT64, FLOAT32, 4097, 1)
            .group(ParameterSet.DEFAULT_GROUP)
            .add("c", BFLOAT16, FLOAT32, 129, 3)
            .group("second")
            .add("d", FLOAT16, FLOAT64, 9000, 0);
    try (tensors) {
      random(tensors, 7);
      // A segment is a group: its tensors' chunks one after the other, whatever lies between them in the list.
      final double first = new Summation().squares(tensors.all().get(0)).squares(tensors.all().get(3)).total();
      final double second = new Summation().squares(tensors.all().get(2)).squares(tensors.all().get(4)).total();
      assertSums(tensors, candidate.open(), "groups", first, second);
    }
  }

  /**
   * Another kind of sum, of terms of both signs: h = &lt;Delta, g&gt; of the second step, where Delta is the first gradient, negated.
   */
  @ParameterizedTest
  @MethodSource("devices")
  void innerProducts(TestDevices.Candidate candidate) {
    for (DataType type : new DataType[] {FLOAT32, FLOAT64})
      for (int size : new int[] {9001, 50_000, 100_003}) {
        try (TestTensors first = random(TestTensors.of(type, size), size);
            TestTensors tensors = random(TestTensors.of(type, size), size);
            Optimizer optimizer = WITHOUT_DECAY.build(tensors.on(candidate.open()))) {
          optimizer.step();
          random(tensors, size + 1);
          final double[] terms = products(type, first.gradients(0), tensors.gradients(0));
          optimizer.step();
          assertEquals(new Summation().tensor(terms, type).total(), optimizer.scalars().get("h")[0], type + ", " + size);
        }
      }
  }

  /** The same over 514 chunks in two tensors. The gradients of the second step are those of other tensors, made once for all devices. */
  @ParameterizedTest
  @MethodSource("devices")
  void moreChunksThanColumns(TestDevices.Candidate candidate) {
    for (DataType type : new DataType[] {FLOAT32, FLOAT64}) {
      final TestTensors first = LARGE.computeIfAbsent(type + " 1", name -> large(type, 1));
      final TestTensors second = LARGE.computeIfAbsent(type + " 2", name -> large(type, 2));
      final double expected =
          SUMS.computeIfAbsent(
              type,
              name -> {
                final Summation summation = new Summation();
                for (int t = 0; t < 2; ++t) summation.tensor(products(type, first.gradients(t), second.gradients(t)), type);
                return summation.total();
              });
      try (Optimizer optimizer = WITHOUT_DECAY.build(first.on(candidate.open()))) {
        optimizer.step();
        optimizer.rebind("a", first.parameters(0).address(), second.gradients(0).address());
        optimizer.rebind("b", first.parameters(1).address(), second.gradients(1).address());
        optimizer.step();
        assertEquals(expected, optimizer.scalars().get("h")[0], type.name());
      }
    }
  }

  private static TestTensors large(DataType type, long seed) {
    return random(new TestTensors().add("a", type, 1_100_000).add("b", type, 1_000_001), seed);
  }

  // Delta after a step of plain descent is the gradient, negated.
  private static double[] products(DataType type, TestArray first, TestArray second) {
    final double[] terms = first.toDoubles();
    for (int i = 0; i < terms.length; ++i) terms[i] = Summation.round(type, -terms[i] * second.get(i));
    return terms;
  }

  /** The order can be seen: adding from left to right gives other bits, so the tests above can fail. */
  @Test
  void theOrderMatters() {
    try (TestTensors tensors = random(TestTensors.of(FLOAT64, 20000), 5)) {
      double leftToRight = 0;
      for (double g : tensors.gradients(0).toDoubles()) leftToRight += g * g;
      assertNotEquals(leftToRight, new Summation().squares(tensors.all().get(0)).total());
    }
  }

  private static TestTensors random(TestTensors tensors, long seed) {
    final SplittableRandom random = new SplittableRandom(seed);
    return tensors.gradients(i -> Math.scalb(random.nextDouble(-3, 3), random.nextInt(-14, 14)));
  }

  /** Compares the total of all segments, which are added in their order, and the norm that is made of it. */
  private static void assertSums(TestTensors tensors, Device device, String what, double... expected) {
    final double[][] sums = new double[1][];
    final FixedRate still = FixedRate.of(0, SGD.defaults()).gradientMultiplier(-0.3);
    try (Optimizer optimizer = still.sumReducer((all, count) -> sums[0] = Arrays.copyOf(all, count)).build(tensors.on(device))) {
      final StepReport report = optimizer.step();
      double total = 0;
      for (double segment : expected) total += segment;
      assertEquals(Double.toHexString(total), Double.toHexString(sums[0][0]), what + " on " + device);
      assertEquals(Math.sqrt(total) * 0.3, report.gradientNorm(), what);
    }
  }
}
