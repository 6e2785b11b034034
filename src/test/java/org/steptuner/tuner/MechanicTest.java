// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.DataType.BFLOAT16;
import static org.steptuner.DataType.FLOAT16;
import static org.steptuner.DataType.FLOAT32;
import static org.steptuner.DataType.FLOAT64;
import static org.steptuner.Refusal.assertRefused;

import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Formats;
import org.steptuner.NonFinite;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.Schedule;
import org.steptuner.Scope;
import org.steptuner.StepReport;
import org.steptuner.TestOptimizers;
import org.steptuner.TestOptimizers.Form;
import org.steptuner.TestTensors;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.rule.SuppliedUpdate;
import org.steptuner.tuner.Mechanic.Delta;
import org.steptuner.tuner.Mechanic.Variant;

/** What Mechanic promises, as properties of whole runs. */
class MechanicTest {
  private static final Device CPU = Device.cpu(2);

  static List<Form> forms() {
    return TestOptimizers.forms();
  }

  static Stream<Arguments> variantsAndRules() {
    return Stream.of(Variant.values())
        .flatMap(v -> TestOptimizers.rules().entrySet().stream().map(r -> Arguments.of(v, r.getKey(), r.getValue())));
  }

  /** A bowl whose curvatures span an order of magnitude, with its minimum away from the start. */
  private static final class Bowl {
    final TestTensors tensors;
    double factor = 1;

    Bowl(TestTensors tensors) {
      this.tensors = tensors;
    }

    static double curvature(int i) {
      return 0.3 * (1 + i % 10);
    }

    static double minimum(int i) {
      return Math.sin(1 + i) * 2;
    }

    double loss() {
      final double[] x = tensors.values();
      double loss = 0;
      for (int i = 0; i < x.length; ++i) loss += factor * curvature(i) * Math.pow(x[i] - minimum(i), 2) / 2;
      return loss;
    }

    void gradients() {
      final double[] x = tensors.values();
      tensors.gradients(i -> factor * curvature(i) * (x[i] - minimum(i)));
    }

    void train(Optimizer optimizer, int steps) {
      for (int step = 0; step < steps; ++step) {
        gradients();
        optimizer.step();
      }
    }
  }

  /** A Java Mechanic over plain descent for float64, from the printed algorithm and the notes on what the releases do. */
  private static double[] plainJava(Form form, Bowl bowl, int steps) {
    final double[] beta = {0.9, 0.99, 0.999, 0.9999, 0.99999, 0.999999};
    final double epsilon = 1e-8;
    final double initial = form.variant() == Variant.OPTAX ? 1e-6 : 1e-8;
    final int d = bowl.tensors.values().length;
    final double[] reference = bowl.tensors.values();
    final double[] x = reference.clone();
    final double[] delta = new double[d];
    final double[] s = new double[6], r = new double[6], v = new double[6], m = new double[6], q = new double[6];
    if (form.variant() == Variant.OPTAX) Arrays.fill(s, initial);
    if (form.variant() == Variant.TORCH) Arrays.fill(m, 1e-6);
    for (int step = 0; step < steps; ++step) {
      final double scale = Math.max(0, Arrays.stream(s).sum());
      final double[] g = new double[d];
      double normG = 0, normY = 0, deltaG = 0, deltaY = 0;
      for (int i = 0; i < d; ++i) {
        g[i] = Bowl.curvature(i) * (x[i] - Bowl.minimum(i));
        if (form.delta() == Delta.RECOMPUTED) delta[i] = (x[i] - reference[i]) / (scale + epsilon);
        if (form.delta() == Delta.DISCOUNTED) delta[i] *= scale / (scale + epsilon);
        final double y = form.variant() == Variant.TORCH ? x[i] - g[i] : x[i];
        normG += g[i] * g[i];
        normY += y * y;
        deltaG += delta[i] * g[i];
        deltaY += delta[i] * y;
      }
      final double h = deltaG + form.decay() * scale * Math.sqrt(normG) / (Math.sqrt(normY) + epsilon) * deltaY;
      for (int i = 0; i < 6; ++i) {
        final double clipped = Math.max(-m[i], Math.min(m[i], h));
        final double used = form.variant() == Variant.TORCH ? h : clipped;
        m[i] = Math.max(beta[i] * m[i], Math.abs(h) + (form.variant() == Variant.OPTAX ? epsilon : 0));
        r[i] = beta[i] * r[i] - s[i] * used;
        if (form.variant() == Variant.THEORETICAL) {
          q[i] = beta[i] * q[i] + clipped;
          v[i] = beta[i] * beta[i] * v[i] + clipped * clipped;
          final double root = Math.sqrt(4 * m[i] * m[i] + v[i]);
          s[i] = root == 0 ? 0 : (initial + r[i]) / (root + epsilon) * Math.min(1, Math.max(0, -q[i] / root));
        } else {
          if (form.variant() == Variant.TORCH) r[i] = Math.max(0, r[i]);
          v[i] = beta[i] * beta[i] * v[i] + h * h;
          s[i] = (initial / 6 * m[i] + Math.max(0, r[i])) / (Math.sqrt(v[i]) + epsilon);
        }
      }
      final double next = Math.max(0, Arrays.stream(s).sum());
      for (int i = 0; i < d; ++i) {
        delta[i] -= g[i];
        x[i] = reference[i] + next * delta[i];
      }
    }
    return x;
  }

  // Algorithm 2 begins with a wealth of 1e-8 and takes its time.
  private static void assertGrown(Form form, Optimizer optimizer) {
    final double least = form.variant() == Variant.THEORETICAL ? 1e-12 : 1e-3;
    assertTrue(optimizer.report().learnedScale() > least, "the scale has grown: " + optimizer.report());
  }

  @ParameterizedTest
  @MethodSource("forms")
  void agreesWithPlainJava(Form form) {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 23).parameters(i -> Math.cos(i))) {
      final Bowl bowl = new Bowl(tensors);
      final double[] expected = plainJava(form, bowl, 60);
      try (Optimizer optimizer = form.over(SGD.defaults()).build(tensors.on(CPU))) {
        bowl.train(optimizer, 60);
        assertArrayEquals(expected, tensors.values(), 1e-10);
        assertGrown(form, optimizer);
      }
    }
  }

  @Test
  void torchAfterTheFirstStep() {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 1000).parameters(i -> i).gradients(i -> i - 500);
        Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).variant(Variant.TORCH).build(tensors.on(CPU))) {
      assertEquals(0, optimizer.report().learnedScale());
      assertEquals(9.814815e-7, optimizer.step().learnedScale(), 5e-14);
      assertEquals(0, optimizer.scalars().get("h")[0]);
      assertEquals(6, optimizer.scalars().get("s").length);
    }
  }

  @Test
  void optaxStartsAtItsInitialScale() {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 10);
        Optimizer optimizer = Mechanic.tuning(AdamW.defaults()).build(tensors.on(CPU))) {
      assertEquals(6e-6, optimizer.report().learnedScale(), 1e-18);
    }
  }

  /** Nothing tuned, and the loss goes down by orders of magnitude: over every rule, in every variant. */
  @ParameterizedTest(name = "{0} over {1}")
  @MethodSource("variantsAndRules")
  void learnsTheScaleOfEveryRule(Variant variant, String name, Rule rule) {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 40)) {
      final Bowl bowl = new Bowl(tensors);
      final double before = bowl.loss();
      try (Optimizer optimizer = Mechanic.tuning(withoutDecay(rule)).variant(variant).build(tensors.on(CPU))) {
        bowl.train(optimizer, 1500);
        assertTrue(bowl.loss() < 1e-2 * before, name + ": " + before + " -> " + bowl.loss() + ", " + optimizer.report());
      }
    }
  }

  // The minimum of the loss alone is what is measured.
  private static Rule withoutDecay(Rule rule) {
    if (rule instanceof SGD sgd) return sgd.weightDecay(0);
    if (rule instanceof RMSProp rms) return rms.weightDecay(0);
    if (rule instanceof Adam adam) return adam.weightDecay(0);
    if (rule instanceof AdamW adam) return adam.weightDecay(0);
    if (rule instanceof Lion lion) return lion.weightDecay(0);
    if (rule instanceof AdaGrad) return AdaGrad.defaults();
    if (rule instanceof MADGRAD madgrad) return madgrad.weightDecay(0);
    return rule;
  }

  /** Rescaled gradients leave s and x as they are, but for the epsilons, where the base rule does not care for their scale either. */
  @ParameterizedTest
  @EnumSource(
      value = Variant.class,
      names = {"OPTAX", "TORCH"})
  void scaleFree(Variant variant) {
    final double[] scales = new double[2];
    final double[][] x = new double[2][];
    for (int run = 0; run < 2; ++run) {
      try (TestTensors tensors = TestTensors.of(FLOAT64, 40);
          Optimizer optimizer = Mechanic.tuning(Adam.defaults()).variant(variant).build(tensors.on(CPU))) {
        final Bowl bowl = new Bowl(tensors);
        bowl.factor = run == 0 ? 1 : 1000;
        bowl.train(optimizer, 100);
        scales[run] = optimizer.report().learnedScale();
        x[run] = tensors.values();
      }
    }
    // The release begins with m = 1e-6, which is in the units of h.
    assertEquals(scales[0], scales[1], (variant == Variant.TORCH ? 1e-3 : 1e-5) * scales[0]);
    assertArrayEquals(x[0], x[1], variant == Variant.TORCH ? 1e-3 : 1e-5);
    assertTrue(scales[0] > 1e-2);
  }

  /** By a power of two, and with epsilons that no number here is small enough to meet, they leave every bit. */
  @ParameterizedTest
  @EnumSource(Delta.class)
  void scaleFreeToTheBit(Delta delta) {
    final double[] scales = new double[2];
    final double[][] x = new double[2][];
    for (Rule rule : List.of(Lion.defaults(), new AdamW(0.9, 0.99, 0, 0.01)))
      for (DataType type : new DataType[] {FLOAT64, FLOAT32}) {
        if (delta == Delta.RECOMPUTED && type == FLOAT32) continue;
        for (int run = 0; run < 2; ++run) {
          try (TestTensors tensors = TestTensors.of(type, 40);
              Optimizer optimizer = Mechanic.tuning(rule).delta(delta).epsilon(1e-300).build(tensors.on(CPU))) {
            final Bowl bowl = new Bowl(tensors);
            bowl.factor = run == 0 ? 1 : 0x1p12;
            bowl.train(optimizer, 200);
            scales[run] = optimizer.report().learnedScale();
            x[run] = tensors.values();
          }
        }
        assertEquals(scales[0], scales[1], rule + " " + type);
        assertArrayEquals(x[0], x[1], rule + " " + type);
        assertTrue(scales[0] > 1e-3, rule + " " + type + ": " + scales[0]);
      }
  }

  /** One tensor or many: the same training, but for the rounding of sums. */
  @ParameterizedTest
  @MethodSource("forms")
  void splitInvariant(Form form) {
    final int[] parts = {1, 4000, 0, 96, 4096, 777, 30};
    final TestTensors split = new TestTensors();
    for (int part = 0; part < parts.length; ++part) split.add("part" + part, FLOAT64, parts[part]);
    try (split;
        TestTensors whole = TestTensors.of(FLOAT64, 9000);
        Optimizer one = form.over(AdamW.defaults()).build(whole.on(CPU));
        Optimizer many = form.over(AdamW.defaults()).build(split.on(CPU))) {
      new Bowl(whole).train(one, 30);
      new Bowl(split).train(many, 30);
      assertEquals(one.report().learnedScale(), many.report().learnedScale(), 1e-12 * one.report().learnedScale());
      assertArrayEquals(whole.values(), split.values(), 1e-12);
      assertGrown(form, many);
    }
  }

  private static final String[] GROUPS = {"a", "b", "a", "c", "b"};
  private static final int[] COUNTS = {5000, 1, 129, 4097, 600};

  private static TestTensors inGroups(int... which) {
    final TestTensors tensors = new TestTensors();
    for (int t : which) tensors.group(GROUPS[t]).add("t" + t, t == 1 ? FLOAT64 : t == 2 ? BFLOAT16 : FLOAT32, COUNTS[t]);
    return tensors;
  }

  /** A scope is as if it were alone: the same bits as optimizers of their own. */
  @ParameterizedTest
  @MethodSource("forms")
  void scopeOfATensor(Form form) {
    assertScopesAreIndependent(form, Scope.TENSOR, new int[][] {{0}, {1}, {2}, {3}, {4}});
  }

  @ParameterizedTest
  @MethodSource("forms")
  void scopeOfAGroup(Form form) {
    assertScopesAreIndependent(form, Scope.GROUP, new int[][] {{0, 2}, {1, 4}, {3}});
  }

  private static void assertScopesAreIndependent(Form form, Scope scope, int[][] scopes) {
    try (TestTensors together = inGroups(0, 1, 2, 3, 4);
        Optimizer optimizer = form.over(AdamW.defaults()).scope(scope).build(together.on(CPU))) {
      final double[] steepness = {1, 100, 1e-3, 5, 0.1};
      for (int step = 0; step < 12; ++step) {
        slopes(together, steepness, 0, 1, 2, 3, 4);
        optimizer.step();
      }
      assertEquals(scopes.length, optimizer.report().scopes());
      final Map<String, double[]> scalars = optimizer.scalars();
      for (int s = 0; s < scopes.length; ++s) {
        try (TestTensors alone = inGroups(scopes[s]);
            Optimizer own = form.over(AdamW.defaults()).build(alone.on(CPU))) {
          for (int step = 0; step < 12; ++step) {
            slopes(alone, steepness, scopes[s]);
            own.step();
          }
          assertEquals(own.report().learnedScale(), optimizer.report().learnedScale(s), "scope " + s);
          assertArrayEquals(own.scalars().get("s"), Arrays.copyOfRange(scalars.get("s"), 6 * s, 6 * s + 6), "scope " + s);
          for (int t = 0; t < scopes[s].length; ++t)
            TestTensors.assertSameBits(alone.parameters(t), together.parameters(scopes[s][t]), "scope " + s);
        }
      }
      assertNotEquals(optimizer.report().learnedScale(0), optimizer.report().learnedScale(1));
    }
  }

  private static void slopes(TestTensors tensors, double[] steepness, int... which) {
    for (int t = 0; t < which.length; ++t) {
      final double slope = steepness[which[t]];
      tensors.gradients(t).fill(i -> slope * (1 + i % 3));
    }
  }

  /** A step supplied by the caller, u = -g, is what plain descent makes of g: bit for bit. */
  @ParameterizedTest
  @MethodSource("forms")
  void suppliedUpdateEqualsSGD(Form form) {
    for (DataType type : DataType.values()) {
      try (TestTensors one = TestTensors.of(type, 5003).parameters(i -> i % 3);
          TestTensors other = TestTensors.of(type, 5003).parameters(i -> i % 3);
          Optimizer descent = form.over(SGD.defaults()).build(one.on(CPU));
          Optimizer supplied = form.over(new SuppliedUpdate()).build(other.on(CPU))) {
        for (int step = 0; step < 25; ++step) {
          final int t = step;
          one.gradients(i -> Math.cos(0.01 * t * i) + 0.5);
          other.gradients(i -> Math.cos(0.01 * t * i) + 0.5);
          descent.step();
          supplied.step();
          assertEquals(descent.report().learnedScale(), supplied.report().learnedScale(), form + " " + type + ", step " + step);
        }
        other.assertSameParameters(one, form + " " + type);
        assertTrue(descent.report().learnedScale() > 0);
      }
    }
  }

  @Test
  void suppliedUpdateNeedsItsBuffer() {
    try (TestTensors tensors = TestTensors.of(FLOAT32, 4)) {
      final ParameterSet without =
          ParameterSet.on(CPU)
              .add("x", tensors.parameters(0).address(), tensors.gradients(0).address(), 4, FLOAT32)
              .build();
      for (TunerBuilder<?> tuner : List.of(Mechanic.tuning(new SuppliedUpdate()), FixedRate.of(1, new SuppliedUpdate())))
        assertRefused(IllegalArgumentException.class, () -> tuner.build(without), "update", "null");
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = DataType.class,
      names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void recomputedIsRefusedWhereItMayFreeze(DataType type) {
    try (TestTensors tensors = new TestTensors().add("fine", FLOAT64, 3).add("weights", type, 4)) {
      for (Variant variant : List.of(Variant.OPTAX, Variant.TORCH)) {
        final Mechanic mechanic = Mechanic.tuning(SGD.defaults()).variant(variant).delta(Delta.RECOMPUTED);
        assertRefused(
            IllegalArgumentException.class, () -> mechanic.build(tensors.on(CPU)), "RECOMPUTED", "weights", type.name(), "STORED",
            "allowFreezing");
        mechanic.allowFreezing().build(tensors.on(CPU)).close();
      }
    }
  }

  /** What is accepted in float64 without a warning learns: a form that cannot leave the scale 0 must be refused. */
  @ParameterizedTest
  @MethodSource("forms")
  void noAcceptedFormStaysAtZero(Form form) {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 10).gradients(i -> 1)) {
      final Mechanic mechanic = Mechanic.tuning(SGD.defaults()).variant(form.variant()).decay(form.decay()).delta(form.delta());
      try (Optimizer optimizer = mechanic.build(tensors.on(CPU))) {
        for (int step = 0; step < 1000; ++step) optimizer.step();
        assertTrue(optimizer.report().learnedScale() > 0, form + ": accepted, but the scale is still 0 after 1000 steps");
      }
    }
  }

  @Test
  void formsThatStayAtZeroAreRefused() {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 10)) {
      for (Delta delta : List.of(Delta.DISCOUNTED, Delta.RECOMPUTED)) {
        final Mechanic mechanic = Mechanic.tuning(SGD.defaults()).variant(Variant.THEORETICAL).delta(delta).allowFreezing();
        assertRefused(IllegalArgumentException.class, () -> mechanic.build(tensors.on(CPU)), "THEORETICAL", "STORED", delta.name());
      }
    }
  }

  /** The releases' default freezes for ever: x - reference rounds to 0, h is 0 and the scale never grows. A stored Delta trains. */
  @ParameterizedTest
  @CsvSource({"FLOAT32, 100, 0.3", "FLOAT32, 1, 0.01", "BFLOAT16, 1, 0.3"})
  void recomputedFreezesAndStoredDoesNot(DataType type, double x0, double slope) {
    for (Delta delta : Delta.values()) {
      try (TestTensors tensors = TestTensors.of(type, 1).parameters(i -> x0).gradients(i -> slope);
          Optimizer optimizer =
              Mechanic.tuning(SGD.defaults()).variant(Variant.TORCH).delta(delta).allowFreezing().build(tensors.on(CPU))) {
        final double start = tensors.parameters(0).get(0);
        for (int step = 0; step < 3000; ++step) optimizer.step();
        if (delta == Delta.RECOMPUTED) assertEquals(start, tensors.parameters(0).get(0), "frozen");
        else assertTrue(tensors.parameters(0).get(0) < start - 0.1, delta + ": " + tensors.parameters(0).get(0));
      }
    }
  }

  /** 16-bit parameters lose nothing between steps: reference and Delta are float32, and x is rounded from them afresh. */
  @ParameterizedTest
  @EnumSource(
      value = DataType.class,
      names = {"BFLOAT16", "FLOAT16"})
  void sixteenBitParametersHaveAMasterCopy(DataType type) {
    try (TestTensors narrow = new TestTensors().add("x", type, FLOAT32, 100, 0).parameters(i -> 1);
        TestTensors wide = TestTensors.of(FLOAT32, 100).parameters(i -> 1);
        Optimizer one = Mechanic.tuning(AdamW.defaults()).build(narrow.on(CPU));
        Optimizer other = Mechanic.tuning(AdamW.defaults()).build(wide.on(CPU))) {
      for (int step = 0; step < 60; ++step) {
        final int t = step;
        narrow.gradients(i -> Math.sin(i + 0.1 * t) + 0.8);
        wide.gradients(i -> Math.sin(i + 0.1 * t) + 0.8);
        one.step();
        other.step();
        for (int i = 0; i < 100; ++i)
          assertEquals(Formats.encode(type, wide.parameters(0).get(i)), narrow.parameters(0).bits(i), "step " + step);
      }
      assertTrue(narrow.parameters(0).get(0) != 1 && one.report().learnedScale() > 1e-4, one.report().toString());
    }
  }

  @Test
  void theScheduleIsTheBaseRules() {
    final Schedule schedule = Schedule.of(0.5, 0.25, 2, 0);
    try (TestTensors tensors = TestTensors.of(FLOAT64, 3).gradients(i -> i + 1);
        Optimizer optimizer =
            Mechanic.tuning(SGD.defaults()).baseRate(3).schedule(schedule).delta(Delta.STORED).build(tensors.on(CPU))) {
      double sum = 0;
      for (int step = 1; step <= 6; ++step) {
        final StepReport report = optimizer.step();
        assertEquals(3 * schedule.at(step), report.rate());
        sum += report.rate();
        for (int i = 0; i < 3; ++i)
          assertEquals(-report.learnedScale() * sum * (i + 1), tensors.parameters(0).get(i), 1e-15 * (1 + sum));
      }
    }
  }

  /** Scaling the base rate or, over plain descent, a group's share of it, scales Delta. */
  @Test
  void groupsHaveRulesAndRatesOfTheirOwn() {
    final TestTensors three = new TestTensors().add("a", FLOAT64, 2).group("slow").add("b", FLOAT64, 2);
    try (TestTensors tensors = three.group("still").add("c", FLOAT64, 2);
        Optimizer optimizer =
            Mechanic.tuning(SGD.defaults())
                .delta(Delta.STORED)
                .group("slow", SGD.defaults(), 0.25)
                .group("still", SGD.defaults().weightDecay(7), 0)
                .build(tensors.on(CPU))) {
      tensors.parameters(i -> 1).gradients(i -> 2);
      for (int step = 0; step < 30; ++step) optimizer.step();
      final double[] x = tensors.values();
      assertTrue(x[0] < 1 - 1e-4);
      assertEquals(0.25 * (1 - x[0]), 1 - x[2], 1e-12);
      assertEquals(1, x[4]);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "OPTAX, .01, STORED, SKIP, 11", "OPTAX, 0, DISCOUNTED, SKIP, 11", "OPTAX, .01, DISCOUNTED, UNCHECKED, 11",
    "TORCH, .01, STORED, SKIP, 12", "TORCH, .01, STORED, UNCHECKED, 11", "TORCH, 0, STORED, SKIP, 11",
    "THEORETICAL, .01, STORED, THROW, 11", "OPTAX, .01, RECOMPUTED, SKIP, 11", "TORCH, .01, RECOMPUTED, SKIP, 13"
  })
  void wordsPerElement(Variant variant, double decay, Delta delta, NonFinite nonFinite, double words) {
    try (TestTensors tensors = TestTensors.of(FLOAT64, 4);
        Optimizer optimizer =
            Mechanic.tuning(AdamW.defaults()).variant(variant).decay(decay).delta(delta).nonFinite(nonFinite).build(tensors.on(CPU))) {
      assertEquals(words, optimizer.wordsPerElement());
    }
  }

  @Test
  void settingsAreChecked() {
    final Mechanic mechanic = Mechanic.tuning(SGD.defaults());
    for (double bad : new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY}) {
      assertRefused(IllegalArgumentException.class, () -> mechanic.baseRate(bad), "rate", "" + bad);
      assertRefused(IllegalArgumentException.class, () -> mechanic.decay(bad), "decay", "" + bad);
      assertRefused(IllegalArgumentException.class, () -> mechanic.initialScale(bad), "initialScale", "positive", "" + bad);
      assertRefused(IllegalArgumentException.class, () -> mechanic.epsilon(bad), "epsilon", "positive", "" + bad);
      assertRefused(IllegalArgumentException.class, () -> mechanic.betas(0.9, bad), "betas", "[0, 1]", "" + bad);
    }
    assertRefused(IllegalArgumentException.class, () -> mechanic.initialScale(0), "initialScale");
    assertRefused(IllegalArgumentException.class, () -> mechanic.epsilon(0), "epsilon");
    assertRefused(IllegalArgumentException.class, () -> mechanic.betas(), "betas", "empty");
    assertRefused(IllegalArgumentException.class, () -> mechanic.betas(1.0001), "betas", "1.0001");
    assertRefused(NullPointerException.class, () -> mechanic.betas((double[]) null));
    assertRefused(NullPointerException.class, () -> mechanic.variant(null), "variant");
    assertRefused(NullPointerException.class, () -> mechanic.delta(null), "delta");
    assertRefused(NullPointerException.class, () -> mechanic.scope(null), "scope");
    assertRefused(NullPointerException.class, () -> mechanic.build(null), "parameters");
    assertRefused(NullPointerException.class, () -> Mechanic.tuning(null), "rule");
    mechanic.betas(0, 1).decay(0).baseRate(0);
  }

  /** A builder may be used again, and what is done to it later does not reach what it has built. */
  @Test
  void aBuilderCanBeUsedTwice() {
    final Mechanic mechanic = Mechanic.tuning(SGD.defaults()).schedule(Schedule.of(0.5)).group("default", SGD.defaults(), 2);
    try (TestTensors one = TestTensors.of(FLOAT64, 3).gradients(i -> 1);
        TestTensors other = TestTensors.of(FLOAT64, 3).gradients(i -> 1);
        Optimizer first = mechanic.build(one.on(CPU))) {
      mechanic.schedule(Schedule.of(0.25)).group("default", SGD.defaults(), 3);
      try (Optimizer second = mechanic.build(other.on(CPU))) {
        assertEquals(0.5, first.step().rate(), "the schedule of the first");
        assertEquals(0.25, second.step().rate());
      }
    }
  }
}
