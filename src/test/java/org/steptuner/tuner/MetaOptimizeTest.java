// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.Schedule;
import org.steptuner.Scope;
import org.steptuner.StepReport;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;

class MetaOptimizeTest {
  private static final double DECAY = 0.05;
  private static final int[] SIZES = {7, 130, 1, 20};
  private static final String[] GROUPS = {"a", "b", "a", "b"};

  record Combination(MetaOptimize.Variant variant, Rule base, Rule meta) {
    MetaOptimize builder() {
      return MetaOptimize.tuning(base).variant(variant).meta(meta).metaStepSize(0.01).gamma(0.97).initialStepSize(0.01);
    }

    boolean packaged() {
      return variant == MetaOptimize.Variant.PACKAGE;
    }
  }

  private static List<Rule> bases() {
    return List.of(
        SGD.defaults().weightDecay(DECAY),
        SGD.defaults().momentum(0.8).weightDecay(DECAY),
        RMSProp.defaults().alpha(0.9).weightDecay(DECAY),
        Adam.defaults().betas(0.8, 0.95).weightDecay(DECAY),
        AdamW.defaults().betas(0.9, 0.97).weightDecay(DECAY),
        Lion.defaults().betas(0.9, 0.95).weightDecay(DECAY));
  }

  private static List<Rule> metas() {
    return List.of(
        SGD.defaults(), RMSProp.defaults().alpha(0.9), Adam.defaults().betas(0.8, 0.95), Lion.defaults().betas(0.9, 0.97));
  }

  static Stream<Combination> combinations() {
    return Stream.of(MetaOptimize.Variant.values())
        .flatMap(variant -> bases().stream().flatMap(base -> metas().stream().map(meta -> new Combination(variant, base, meta))));
  }

  static Stream<Combination> paperCombinations() {
    return combinations().filter(combination -> !combination.packaged());
  }

  @ParameterizedTest
  @MethodSource("combinations")
  void agreesWithTheFormulas(Combination combination) {
    for (Scope scope : Scope.values()) agreesWithTheFormulas(combination, scope);
  }

  private static void agreesWithTheFormulas(Combination combination, Scope scope) {
    try (Toy toy = new Toy(DataType.FLOAT64, SIZES, GROUPS);
        Optimizer optimizer = combination.builder().scope(scope).build(toy.on(Device.cpu(2)))) {
      final int[] block = blocks(scope);
      final MetaReference reference =
          new MetaReference(
              combination.packaged(), combination.base, DECAY, combination.meta, 0.01, 0.97, 0.01, block, toy.values());
      final double[] g = new double[block.length];
      for (int step = 1; step <= 40; ++step) {
        toy.backward(step);
        final double[] before = toy.values();
        for (int i = 0; i < g.length; ++i) g[i] = Toy.gradient(step, i, before[i]);
        optimizer.step();
        reference.step(g);
      }
      assertArrayEquals(reference.x, toy.values(), 1e-11, () -> combination + " " + scope);
      assertArrayEquals(reference.beta, optimizer.scalars().get("beta"), 1e-11, () -> combination + " " + scope);
      for (int b = 0; b < reference.beta.length; ++b)
        assertEquals(Math.exp(reference.beta[b]), optimizer.report().learnedScale(b), 1e-11);
      assertNotEquals(Math.log(0.01), reference.beta[0], 1e-6, "nothing was learned");
    }
  }

  private static int[] blocks(Scope scope) {
    final List<Integer> blocks = new ArrayList<>();
    for (int t = 0; t < SIZES.length; ++t)
      for (int i = 0; i < SIZES[t]; ++i)
        blocks.add(scope == Scope.ALL ? 0 : scope == Scope.TENSOR ? t : GROUPS[t].equals("a") ? 0 : 1);
    return blocks.stream().mapToInt(Integer::intValue).toArray();
  }

  @ParameterizedTest
  @MethodSource("paperCombinations")
  void perWeightIsBlocksOfOneWeight(Combination combination) {
    final double[] free = perWeightIsBlocksOfOneWeight(combination, 0, Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY);
    assertTrue(Arrays.stream(free).distinct().count() > 1, "the blocks must differ");
    final double[] bounded = perWeightIsBlocksOfOneWeight(combination, 0.0099, 0.0102, 1.002);
    assertTrue(Arrays.stream(bounded).allMatch(beta -> beta >= Math.log(0.0099) && beta <= Math.log(0.0102)));
  }

  private static double[] perWeightIsBlocksOfOneWeight(Combination combination, double smallest, double largest, double change) {
    final MetaOptimize shared = combination.builder().stepSizeBounds(smallest, largest).scope(Scope.TENSOR);
    final MetaOptimize own = combination.builder().stepSizeBounds(smallest, largest).perWeight();
    if (change < Double.POSITIVE_INFINITY) {
      shared.largestChange(change);
      own.largestChange(change);
    }
    final double[][] beta = new double[1][];
    final double[] blocks =
        Toy.run(
            shared, Toy.inTensorsOfOne(DataType.FLOAT64, 57), Device.cpu(1), 60, o -> beta[0] = o.scalars().get("beta"));
    assertArrayEquals(blocks, Toy.run(own, Toy.of(DataType.FLOAT64, 57), 60), 1e-12);
    return beta[0];
  }

  @Test
  void perWeightReportsTheGeometricMeanOfEachScope() {
    final Combination combination = new Combination(MetaOptimize.Variant.PAPER_CODE, bases().get(3), metas().get(2));
    final double[] beta = new double[57];
    Toy.run(
        combination.builder().scope(Scope.TENSOR), Toy.inTensorsOfOne(DataType.FLOAT64, 57), Device.cpu(1), 30,
        o -> System.arraycopy(o.scalars().get("beta"), 0, beta, 0, 57));
    Toy.run(
        combination.builder().perWeight().scope(Scope.TENSOR), Toy.of(DataType.FLOAT64, 20, 37), Device.cpu(1), 30,
        o -> {
          assertEquals(2, o.report().scopes());
          assertEquals(Math.exp(Arrays.stream(beta, 0, 20).average().orElseThrow()), o.report().learnedScale(0), 1e-12);
          assertEquals(Math.exp(Arrays.stream(beta, 20, 57).average().orElseThrow()), o.report().learnedScale(1), 1e-12);
        });
  }

  @Test
  void oneGroupIsAll() {
    for (MetaOptimize.Variant variant : MetaOptimize.Variant.values()) {
      final Combination combination = new Combination(variant, bases().get(4), metas().get(3));
      final double[] all = Toy.run(combination.builder(), Toy.of(DataType.FLOAT32, 5000, 33), 20);
      final double[] group = Toy.run(combination.builder().scope(Scope.GROUP), Toy.of(DataType.FLOAT32, 5000, 33), 20);
      assertArrayEquals(all, group, 0);
    }
  }

  @ParameterizedTest
  @MethodSource("combinations")
  void sameBitsEverywhere(Combination combination) {
    for (DataType type : List.of(DataType.FLOAT32, DataType.FLOAT64, DataType.BFLOAT16))
      for (boolean perWeight : combination.packaged() ? new boolean[] {false} : new boolean[] {false, true}) {
        double[] expected = null;
        double[] expectedZ = null;
        for (Device device : Toy.devices()) {
          final MetaOptimize builder = combination.builder().scope(Scope.TENSOR);
          if (perWeight) builder.perWeight();
          final double[][] z = new double[1][];
          final double[] seen = Toy.run(builder, Toy.of(type, 9001, 6, 515), device, 3, o -> z[0] = o.scalars().get("z"));
          if (expected == null) expected = seen;
          if (expectedZ == null) expectedZ = z[0];
          assertArrayEquals(expected, seen, 0, () -> type + " on " + device);
          assertArrayEquals(expectedZ, z[0], 0, () -> type + " on " + device);
        }
      }
  }

  @Test
  void skipsNonFiniteGradients() {
    for (boolean perWeight : new boolean[] {false, true}) {
      final MetaOptimize builder = new Combination(MetaOptimize.Variant.PAPER_CODE, bases().get(3), metas().get(2)).builder();
      if (perWeight) builder.perWeight();
      final double[] expected = Toy.run(builder, Toy.of(DataType.FLOAT32, 300), 10);
      try (Toy toy = Toy.of(DataType.FLOAT32, 300);
          Optimizer optimizer = builder.build(toy.on(Device.cpu(1)))) {
        toy.steps(optimizer, 1, 6);
        final double[] before = toy.values();
        final double stepSize = optimizer.report().learnedScale();
        for (double bad : new double[] {Double.NaN, Double.POSITIVE_INFINITY}) {
          toy.backward(7);
          toy.setGradient(123, bad);
          final StepReport report = optimizer.step();
          assertEquals(StepReport.Skip.NON_FINITE_GRADIENT, report.skip());
          assertEquals(stepSize, report.learnedScale());
          assertArrayEquals(before, toy.values(), 0);
        }
        toy.steps(optimizer, 7, 10);
        assertArrayEquals(expected, toy.values(), 0);
      }
    }
  }

  // Products that overflow: the gradients and the trace are finite, z is not.
  @Test
  void anInfiniteZTeachesNothing() {
    for (boolean perWeight : new boolean[] {false, true}) {
      final MetaOptimize builder =
          MetaOptimize.tuning(SGD.defaults()).meta(Adam.defaults()).initialStepSize(1e5).metaStepSize(0.1);
      if (perWeight) builder.perWeight();
      try (Toy toy = Toy.of(DataType.FLOAT32, 1);
          Optimizer optimizer = builder.build(toy.on(Device.cpu(1)))) {
        for (int step = 0; step < 5; ++step) {
          toy.setGradient(0, step % 2 == 0 ? 1e18 : -1e18);
          assertFalse(optimizer.step().skipped());
        }
        assertTrue(Double.isFinite(optimizer.report().learnedScale()) && optimizer.report().learnedScale() > 0);
        assertTrue(Double.isFinite(toy.values()[0]));
      }
    }
  }

  @Test
  void resumesBitForBit(@TempDir Path folder) {
    for (MetaOptimize.Variant variant : MetaOptimize.Variant.values())
      for (boolean perWeight : new boolean[] {false, true}) {
        if (perWeight && variant == MetaOptimize.Variant.PACKAGE) continue;
        final Combination combination = new Combination(variant, bases().get(4), metas().get(2));
        final MetaOptimize builder = combination.builder().scope(Scope.GROUP);
        if (perWeight) builder.perWeight();
        final double[] expected = Toy.run(builder, new Toy(DataType.FLOAT32, SIZES, GROUPS), 20);
        final Path file = folder.resolve(variant + " " + perWeight);
        try (Toy toy = new Toy(DataType.FLOAT32, SIZES, GROUPS);
            Optimizer optimizer = builder.build(toy.on(Device.cpu(1)))) {
          toy.steps(optimizer, 1, 12);
          optimizer.save(file);
        }
        try (Toy toy = new Toy(DataType.FLOAT32, SIZES, GROUPS);
            Optimizer optimizer = builder.build(toy.on(Device.cpu(1)))) {
          toy.steps(optimizer, 1, 3);
          optimizer.restore(file);
          toy.steps(optimizer, 13, 20);
          assertArrayEquals(expected, toy.values(), 0);
        }
      }
  }

  @Test
  void boundsHold() {
    final MetaOptimize builder =
        new Combination(MetaOptimize.Variant.PAPER_CODE, bases().get(0), metas().get(0))
            .builder().metaStepSize(1).stepSizeBounds(0.009, 0.0102);
    final double[] seen = new double[1];
    Toy.run(builder, Toy.of(DataType.FLOAT64, 50), Device.cpu(1), 30, o -> seen[0] = o.report().learnedScale());
    assertEquals(0.0102, seen[0], 1e-15);
    builder.largestChange(1.001);
    Toy.run(builder, Toy.of(DataType.FLOAT64, 50), Device.cpu(1), 6, o -> seen[0] = o.report().learnedScale());
    // The first z is 0.
    assertEquals(0.01 * Math.pow(1.001, 5), seen[0], 1e-15);
  }

  @Test
  void scheduleAndGroupFactorMultiplyTheStepSize() {
    final Rule base = SGD.defaults();
    final MetaOptimize frozen =
        MetaOptimize.tuning(base).metaStepSize(0).initialStepSize(0.5).schedule(Schedule.of(0.5, 0.25)).group("b", base, 3);
    final FixedRate fixed = FixedRate.of(0.5, base).schedule(Schedule.of(0.5, 0.25)).group("b", base, 3);
    final double[] expected = Toy.run(fixed, new Toy(DataType.FLOAT64, SIZES, GROUPS), 5);
    assertArrayEquals(expected, Toy.run(frozen, new Toy(DataType.FLOAT64, SIZES, GROUPS), 5), 1e-14);
    assertArrayEquals(expected, Toy.run(frozen.perWeight(), new Toy(DataType.FLOAT64, SIZES, GROUPS), 5), 1e-14);
  }

  @Test
  void theReportDoesNotDependOnBeingRead() {
    final MetaOptimize builder = new Combination(MetaOptimize.Variant.PAPER_CODE, bases().get(3), metas().get(3)).builder();
    final StepReport kept;
    final double expected;
    try (Toy toy = Toy.of(DataType.FLOAT64, 40);
        Toy other = Toy.of(DataType.FLOAT64, 40);
        Optimizer read = builder.build(toy.on(Device.cpu(1)));
        Optimizer unread = builder.build(other.on(Device.cpu(1)))) {
      for (int step = 1; step <= 9; ++step) {
        toy.backward(step);
        read.step().learnedScale();
      }
      other.steps(unread, 1, 9);
      kept = unread.report();
      expected = read.report().copy().learnedScale();
    }
    assertEquals(expected, kept.learnedScale(), "after the optimizer is closed");
    assertNotEquals(0.01, expected);
  }

  // Two processes with the same data: z is twice what one has.
  @Test
  void addsZOverProcesses() {
    final MetaOptimize two = MetaOptimize.tuning(SGD.defaults()).meta(SGD.defaults()).metaStepSize(0.25).initialStepSize(0.01);
    final MetaOptimize one = MetaOptimize.tuning(SGD.defaults()).meta(SGD.defaults()).metaStepSize(0.5).initialStepSize(0.01);
    two.sumReducer(
        (sums, count) -> {
          for (int i = 0; i < count; ++i) sums[i] *= 2;
        });
    assertArrayEquals(
        Toy.run(one, Toy.of(DataType.FLOAT64, 70), 15), Toy.run(two, Toy.of(DataType.FLOAT64, 70), 15), 0);
  }

  @Test
  void findsAStepSizeFromFarBelow() {
    try (Toy toy = Toy.of(DataType.FLOAT32, 500);
        Optimizer optimizer =
            MetaOptimize.tuning(AdamW.defaults().weightDecay(0)).metaStepSize(2e-3).build(toy.on(Device.cpu(1)))) {
      final double before = toy.loss();
      toy.steps(optimizer, 1, 1500);
      assertTrue(toy.loss() < 0.1 * before, () -> "loss " + before + " became " + toy.loss());
      assertTrue(optimizer.report().learnedScale() > 1e-4);
    }
  }

  @Test
  void movesTheWordsThatTheDocumentationStates() {
    final int[] shared = {5, 7, 7, 9, 9, 7};
    final int[] meta = {2, 4, 6, 4};
    for (int b = 0; b < shared.length; ++b)
      for (int m = 0; m < meta.length; ++m)
        for (MetaOptimize.Variant variant : MetaOptimize.Variant.values()) {
          final Combination combination = new Combination(variant, bases().get(b), metas().get(m));
          assertEquals(shared[b] + 1, words(combination.builder()));
          if (!combination.packaged()) assertEquals(shared[b] + meta[m] + 1, words(combination.builder().perWeight()));
        }
  }

  private static double words(MetaOptimize builder) {
    final double[] words = new double[1];
    Toy.run(builder, Toy.of(DataType.FLOAT32, 3), Device.cpu(1), 1, o -> words[0] = o.wordsPerElement());
    return words[0];
  }

  @Test
  void refusesWhatItCannotDo() {
    final MetaOptimize builder = MetaOptimize.tuning(AdamW.defaults());
    refused("gamma", () -> builder.gamma(1.1));
    refused("initialStepSize", () -> builder.initialStepSize(0));
    refused("rate", () -> builder.metaStepSize(-1));
    refused("bounds", () -> builder.stepSizeBounds(2, 1));
    refused("largestChange", () -> builder.largestChange(1));
    refused("epsilon", () -> builder.epsilon(0));
    refused("meta rule", () -> builder.meta(AdaGrad.defaults()));
    refused("meta rule", () -> builder.meta(SGD.defaults().momentum(0.9)));
    refused("decay", () -> builder.meta(Adam.defaults().weightDecay(0.1)));
    refusedToBuild("AdaGrad", MetaOptimize.tuning(AdaGrad.defaults()));
    refusedToBuild("Nesterov", MetaOptimize.tuning(SGD.defaults().momentum(0.9).nesterov(true)));
    refusedToBuild("epsilon", MetaOptimize.tuning(AdamW.defaults().epsilon(1e-6)));
    refusedToBuild("epsilon", MetaOptimize.tuning(AdamW.defaults()).meta(RMSProp.defaults().epsilon(1e-6)));
    refusedToBuild("epsilon", MetaOptimize.tuning(AdamW.defaults()).variant(MetaOptimize.Variant.PACKAGE).epsilon(1e-8));
    refusedToBuild("per weight", MetaOptimize.tuning(AdamW.defaults()).variant(MetaOptimize.Variant.PACKAGE).perWeight());
    refusedToBuild("bounds", MetaOptimize.tuning(AdamW.defaults()).stepSizeBounds(1e-3, 1));
    refusedToBuild("group", MetaOptimize.tuning(AdamW.defaults()).scope(Scope.GROUP).group("none", AdamW.defaults()));
  }

  private static void refusedToBuild(String word, MetaOptimize builder) {
    try (Toy toy = Toy.of(DataType.FLOAT32, 3)) {
      refused(word, () -> builder.build(toy.on(Device.cpu(1))).close());
    }
  }

  private static void refused(String word, org.junit.jupiter.api.function.Executable call) {
    final String message = assertThrows(IllegalArgumentException.class, call).getMessage();
    assertTrue(message.contains(word), message);
  }
}
