// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.ParameterRounding.NEAREST;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.NonFinite;
import org.steptuner.Optimizer;
import org.steptuner.StepReport;
import org.steptuner.TestDevices;
import org.steptuner.TestOptimizers;
import org.steptuner.TestTensors;
import org.steptuner.curvature.ParameterVector;
import org.steptuner.rule.Lion;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.rule.SuppliedUpdate;

/** CDAT, Polyak, Armijo and exact sharpness over every rule: what u is, what the state becomes, and that a step is the trial it was. */
class DirectedRulesTest {
  // Those that keep an average of iterates are refused: TunerBuilder.build.
  static Stream<String> rules() {
    return TestOptimizers.rules().entrySet().stream().filter(one -> one.getValue().averageSlot() == null).map(Map.Entry::getKey);
  }

  private static Rule rule(String name) {
    return TestOptimizers.rules().get(name);
  }

  private static Device device() {
    return TestDevices.reference();
  }

  private static TestTensors tensors(DataType type) {
    return new TestTensors().add("a", type, 700).group("second").add("b", type, 45).parameters(i -> 0.1 * Math.sin(i));
  }

  // Descent along every rule: all gradients are positive.
  private static void backward(TestTensors tensors, int step) {
    tensors.gradients(i -> 1 + 0.5 * Math.sin(i + step));
  }

  // With next to no curvature eta is maxRate.
  private static CDAT cdat(Rule rule, double eta) {
    return CDAT.tuning(rule).maxRate(eta).curvature(u -> 1e-200);
  }

  /** At eta 1 every rule makes the steps that it makes alone at the rate 1: the same bits, in the state too. */
  @ParameterizedTest
  @MethodSource("rules")
  void atTheRateOfOneItIsTheRuleAlone(String name, @TempDir Path folder) {
    for (DataType type : new DataType[] {FLOAT32, FLOAT64, BFLOAT16})
      for (int every : new int[] {1, 3})
        try (TestTensors mine = tensors(type);
            TestTensors alone = tensors(type);
            Optimizer tuned = cdat(rule(name), 1).every(every).parameterRounding(NEAREST).build(mine.on(device()));
            Optimizer fixed = FixedRate.of(1, rule(name)).parameterRounding(NEAREST).build(alone.on(device()))) {
              for (int step = 1; step <= 7; ++step) {
                backward(mine, step);
                backward(alone, step);
                assertEquals(1, tuned.step(1).learnedScale(), name);
                fixed.step();
                mine.assertSameParameters(alone, name + " in " + type + ", step " + step);
              }
              assertSameState(fixed, tuned, folder, name);
            }
  }

  /** At another eta the step is that part of it. The state is the one of the rule at the rate 1, which is what it holds at any rate. */
  @ParameterizedTest
  @MethodSource("rules")
  void atAnotherRateItIsAPartOfTheStep(String name, @TempDir Path folder) {
    try (TestTensors mine = tensors(FLOAT64);
        TestTensors alone = tensors(FLOAT64);
        TestTensors slow = tensors(FLOAT64);
        Optimizer tuned = cdat(rule(name), 0.25).build(mine.on(device()));
        Optimizer fixed = FixedRate.of(1, rule(name)).build(alone.on(device()));
        Optimizer atThatRate = FixedRate.of(0.25, rule(name)).build(slow.on(device()))) {
      final double[] before = mine.values();
      backward(mine, 1);
      backward(alone, 1);
      backward(slow, 1);
      tuned.step(1);
      fixed.step();
      atThatRate.step();
      final double[] whole = alone.values();
      for (int i = 0; i < before.length; ++i) before[i] += 0.25 * (whole[i] - before[i]);
      assertArrayEquals(before, mine.values(), 1e-14, name);
      assertSameState(fixed, tuned, folder, name);
      if (rule(name).stepIsMultipleOfRate()) mine.assertSameParameters(slow, name);
      // At that rate, another rule makes another step, or has another state, which will make other steps.
      else if (Arrays.equals(mine.values(), slow.values()))
        assertThrows(AssertionError.class, () -> assertSameState(atThatRate, tuned, folder, name), name);
    }
  }

  /** A group's factor is the rate that u is made at. */
  @ParameterizedTest
  @MethodSource("rules")
  void aGroupsFactorIsTheRateOfItsPart(String name) {
    try (TestTensors mine = tensors(FLOAT64);
        TestTensors alone = tensors(FLOAT64);
        Optimizer tuned = cdat(rule(name), 1).group("second", rule(name), 0.5).build(mine.on(device()));
        Optimizer fixed = FixedRate.of(1, rule(name)).group("second", rule(name), 0.5).build(alone.on(device()))) {
      for (int step = 1; step <= 3; ++step) {
        backward(mine, step);
        backward(alone, step);
        tuned.step(1);
        fixed.step();
        mine.assertSameParameters(alone, name + ", step " + step);
      }
    }
  }

  /** n is -<g, u>, with the u that the trainer is shown and the gradient of its loss, which clipping does not change. */
  @ParameterizedTest
  @MethodSource("rules")
  void theSlopeIsThatAlongU(String name) {
    for (double clip : new double[] {Double.POSITIVE_INFINITY, 3})
      try (TestTensors mine = tensors(FLOAT64)) {
        final double[] seen = new double[1];
        try (Optimizer tuned = CDAT.tuning(rule(name)).clipNorm(clip).curvature(u -> slope(mine, u, seen)).build(mine.on(device()))) {
          for (int step = 1; step <= 4; ++step) {
            backward(mine, step);
            tuned.step(1);
            final double n = tuned.scalars().get("n")[0];
            assertTrue(n > 0, name);
            assertEquals(-seen[0], n, 1e-12 * n, name);
            // sigma 2, and a curvature of that size: eta is 2 n / n, and at most 1
            assertEquals(1, tuned.report().learnedScale(), name);
          }
        }
      }
  }

  private static double slope(TestTensors tensors, ParameterVector u, double[] seen) {
    double sum = 0;
    for (int t = 0; t < 2; ++t)
      for (int i = 0; i < u.count(t); ++i) sum += tensors.gradients(t).get(i) * u.doubles(t).get(i);
    seen[0] = sum;
    return sum;
  }

  /** A step ends at its last trial, bit for bit, whatever the rule keeps and whatever the parameters are rounded to. */
  @ParameterizedTest
  @MethodSource("rules")
  void aStepIsTheTrialThatItAccepted(String name) {
    for (DataType type : new DataType[] {FLOAT32, FLOAT64, BFLOAT16})
      try (TestTensors mine = tensors(type)) {
        final byte[][] trial = new byte[2][];
        final int[] calls = {0};
        try (Optimizer search = Armijo.tuning(rule(name), () -> {
          for (int t = 0; t < 2; ++t) trial[t] = mine.parameters(t).toBytes();
          return ++calls[0] % 2 == 1 ? 1e9 : -1e9; // every second trial is accepted
        }).firstGuess(0.3).build(mine.on(device()))) {
          for (int step = 1; step <= 5; ++step) {
            backward(mine, step);
            assertFalse(search.step(1).skipped());
            assertEquals(1, search.scalars().get("backtracks")[0], name);
            for (int t = 0; t < 2; ++t) assertArrayEquals(trial[t], mine.parameters(t).toBytes(), name + " in " + type);
          }
        }
      }
  }

  /** Without u the step is the same, and only rules whose state holds the rate need scratch memory. */
  @ParameterizedTest
  @MethodSource("rules")
  void polyakWithoutUIsPolyakAlongIt(String name) {
    try (TestTensors plain = tensors(FLOAT64);
        TestTensors along = tensors(FLOAT64);
        Optimizer one = Polyak.tuning(rule(name)).maxRate(0.125).build(plain.on(device()));
        Optimizer other = Polyak.tuning(rule(name)).maxRate(0.125).alongUpdate().build(along.on(device()))) {
      for (int step = 1; step <= 4; ++step) {
        backward(plain, step);
        backward(along, step);
        assertEquals(0.125, one.step(1e9).learnedScale()); // far from the bound: both are at the limit
        assertEquals(0.125, other.step(1e9).learnedScale());
        plain.assertSameParameters(along, name + ", step " + step);
      }
    }
  }

  /** Counted on paper: g, x, u, the rule's state once; then g, x twice, the state twice; and u again where it is multiplied. */
  @ParameterizedTest
  @CsvSource({
    // rule, CDAT, CDAT by difference, Polyak, Polyak along the update, Armijo, exact sharpness without its products
    "SGD, 6, 18, 4, 6, 15, 4", "Lion, 9, 21, 6, 9, 18, 6", "AdaGrad, 9, 21, 6, 9, 18, 6", "Nesterov, 9, 21, 6, 9, 18, 6",
    "RMSProp with momentum, 12, 24, 8, 12, 21, 8", "AdamW, 12, 24, 8, 12, 21, 8", "AdEMAMix, 15, 27, 10, 15, 24, 10",
    "MirrorMADGRAD, 13, 24, 9, 13, 21, 0", "MADGRAD, 16, 27, 11, 16, 24, 0", "SuppliedUpdate, 7, 19, 4, 7, 16, 4"
  })
  void words(String name, double cdat, double difference, double polyak, double along, double armijo, double sharpness) {
    assertEquals(cdat, words(CDAT.tuning(rule(name)).curvature(u -> 1)));
    assertEquals(difference, words(CDAT.tuning(rule(name)).finiteDifference(g -> {})));
    assertEquals(polyak, words(Polyak.tuning(rule(name))));
    assertEquals(along, words(Polyak.tuning(rule(name)).alongUpdate()));
    assertEquals(armijo, words(Armijo.tuning(rule(name), () -> 0)));
    if (sharpness > 0) assertEquals(sharpness, words(ExactSharpness.tuning(rule(name), (v, hv) -> {})));
  }

  private static double words(TunerBuilder<?> builder) {
    try (TestTensors mine = tensors(FLOAT32); Optimizer optimizer = builder.build(mine.on(device()))) {
      return optimizer.wordsPerElement();
    }
  }

  /** Lion's u is a vector of signs: the slope is minus the sum of |g|. */
  @Test
  void overLionTheSlopeIsTheSumOfAbsoluteValues() {
    try (TestTensors mine = tensors(FLOAT64).gradients(i -> i % 3 - 1);
        Optimizer tuned = Polyak.tuning(Lion.defaults()).alongUpdate().maxRate(1e9).build(mine.on(device()))) {
      double sum = 0;
      for (int i = 0; i < 745; ++i) sum += Math.abs(i % 3 - 1);
      assertEquals(7 / sum, tuned.step(7).learnedScale(), 1e-15);
    }
  }

  /** The update of plain descent, supplied, is SGD: the same bits of everything. Clipping does not reach it. */
  @Test
  void aSuppliedUpdateIsTheRuleThatMadeIt() {
    final Map<String, Supplier<TunerBuilder<?>>> pairs =
        Map.of(
            "CDAT", () -> CDAT.tuning(SGD.defaults()).curvature(u -> 900),
            "CDAT supplied", () -> CDAT.tuning(new SuppliedUpdate()).curvature(u -> 900),
            "Polyak", () -> Polyak.tuning(SGD.defaults()).alongUpdate(),
            "Polyak supplied", () -> Polyak.tuning(new SuppliedUpdate()).alongUpdate(),
            "Armijo", () -> Armijo.tuning(SGD.defaults(), () -> -1e9).firstGuess(0.1),
            "Armijo supplied", () -> Armijo.tuning(new SuppliedUpdate(), () -> -1e9).firstGuess(0.1));
    for (String name : new String[] {"CDAT", "Polyak", "Armijo"})
      try (TestTensors mine = tensors(FLOAT32);
          TestTensors theirs = tensors(FLOAT32);
          TestTensors clipped = tensors(FLOAT32);
          Optimizer one = pairs.get(name).get().build(mine.on(device()));
          Optimizer other = pairs.get(name + " supplied").get().build(theirs.on(device()));
          Optimizer third = pairs.get(name + " supplied").get().clipNorm(1).build(clipped.on(device()))) {
            for (int step = 1; step <= 4; ++step) {
              backward(mine, step);
              backward(theirs, step);
              backward(clipped, step);
              one.step(500);
              other.step(500);
              assertTrue(third.step(500).clipFactor() < 1);
              assertTrue(one.report().learnedScale() > 0);
              theirs.assertSameParameters(mine, name);
              clipped.assertSameParameters(mine, name + ", clipped");
              assertEquals(one.report().learnedScale(), other.report().learnedScale(), name);
            }
          }
  }

  /** A supplied update that is not finite, or a gradient beside it, skips the step where u is looked at. */
  @Test
  void aBadSuppliedUpdateLeavesEverything() {
    for (boolean gradient : new boolean[] {false, true})
      for (TunerBuilder<?> builder : new TunerBuilder<?>[] {
        CDAT.tuning(new SuppliedUpdate()).curvature(u -> 900), Polyak.tuning(new SuppliedUpdate()).alongUpdate(),
        Armijo.tuning(new SuppliedUpdate(), () -> -1e9)})
        try (TestTensors mine = tensors(FLOAT32); Optimizer tuned = builder.nonFinite(NonFinite.SKIP).build(mine.on(device()))) {
          backward(mine, 1);
          (gradient ? mine.gradients(1) : mine.updates(1)).set(7, Double.NaN);
          final byte[] before = mine.parameters(0).toBytes();
          assertEquals(StepReport.Skip.NON_FINITE_GRADIENT, tuned.step(500).skip());
          assertArrayEquals(before, mine.parameters(0).toBytes());
          backward(mine, 2);
          assertFalse(tuned.step(500).skipped());
        }
  }

  private static void assertSameState(Optimizer expected, Optimizer actual, Path folder, String name) {
    assertEquals(expected.slots(), actual.slots(), name);
    final Map<String, byte[]> wanted = TunerContract.saved(expected, folder);
    final Map<String, byte[]> saved = TunerContract.saved(actual, folder);
    wanted.forEach((entry, bytes) -> {
      if (entry.startsWith("state/")) assertArrayEquals(bytes, saved.get(entry), name + ": " + entry);
    });
  }
}
