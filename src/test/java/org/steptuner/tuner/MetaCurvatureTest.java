// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.Refusal.assertRefused;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.bytedeco.javacpp.DoublePointer;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.NonFinite;
import org.steptuner.Optimizer;
import org.steptuner.ParameterSet;
import org.steptuner.Scope;
import org.steptuner.StepReport;
import org.steptuner.TestDevices;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.MetaOptimize.Approximation;

/** MetaOptimize with the Hessian in its trace, and IDBD. */
class MetaCurvatureTest extends TunerContract {
  private static final double DECAY = 0.05;
  private static final double ETA = 0.05;
  private static final double GAMMA = 0.9;
  private static final double ALPHA = 0.1;
  private static final int STEPS = 25;
  private static final double NUDGE = 1e-5;

  private static MetaOptimize over(Rule meta) {
    return over(SGD.defaults().weightDecay(DECAY), meta);
  }

  private static MetaOptimize over(Rule base, Rule meta) {
    return MetaOptimize.tuning(base).meta(meta).metaStepSize(ETA).gamma(GAMMA).initialStepSize(ALPHA);
  }

  private static MetaOptimize twoByTwo(Rule base, Rule meta) {
    return over(base, meta).approximation(Approximation.TWO_BY_TWO);
  }

  /** Those whose trace has a Hessian, and Lion. */
  private static Rule[] bases() {
    return new Rule[] {
      SGD.defaults().weightDecay(DECAY), SGD.defaults().momentum(0.6).weightDecay(DECAY),
      RMSProp.defaults().alpha(0.8).weightDecay(DECAY), AdamW.defaults().betas(0.5, 0.9).weightDecay(DECAY),
      Lion.defaults().betas(0.9, 0.8).weightDecay(DECAY)
    };
  }

  private static MetaOptimize twoByTwo() {
    return over(SGD.defaults()).approximation(Approximation.TWO_BY_TWO);
  }

  private static Rule[] metas() {
    return new Rule[] {
      SGD.defaults(), RMSProp.defaults().alpha(0.9), Adam.defaults().betas(0.8, 0.95), Lion.defaults().betas(0.9, 0.97)
    };
  }

  @Override
  Map<String, Supplier<TunerBuilder<?>>> forms() {
    final Map<String, Supplier<TunerBuilder<?>>> forms = new LinkedHashMap<>();
    forms.put("free of Hessians", () -> over(metas()[2]));
    forms.put("free of Hessians, per weight", () -> over(metas()[3]).perWeight());
    forms.put("product", () -> over(metas()[2]).curvature(MetaCurvature.PRODUCT));
    forms.put("diagonal", () -> over(metas()[1]).curvature(MetaCurvature.DIAGONAL));
    forms.put("rectified", () -> over(metas()[3]).curvature(MetaCurvature.DIAGONAL_RECTIFIED));
    forms.put("by tensor, 2x2", () -> twoByTwo().metaStepSize(1e-5).curvature(MetaCurvature.PRODUCT).scope(Scope.TENSOR));
    forms.put("2x2", () -> twoByTwo().metaStepSize(1e-5).curvature(MetaCurvature.DIAGONAL));
    forms.put("2x2 per weight", () -> twoByTwo().curvature(MetaCurvature.PRODUCT).perWeight());
    for (Rule meta : metas())
      forms.put("per weight by " + meta.kernel(), () -> over(meta).curvature(MetaCurvature.DIAGONAL).perWeight());
    for (Rule base : bases()) {
      final String name = base.kernel() + " by ";
      forms.put(name + "Adam per weight, 2x2", () -> twoByTwo(base, metas()[2]).curvature(MetaCurvature.PRODUCT).perWeight());
      forms.put(name + "RMSProp, 2x2", () -> twoByTwo(base, metas()[1]).curvature(MetaCurvature.PRODUCT));
      forms.put(name + "Adam, 2x2", () -> twoByTwo(base, metas()[2]).metaStepSize(1e-5).curvature(MetaCurvature.DIAGONAL));
      if (base.kernel().equals("sgd")) continue;
      forms.put("by tensor, " + name + "SGD, 2x2",
          () -> twoByTwo(base, metas()[0]).metaStepSize(1e-5).curvature(MetaCurvature.DIAGONAL).scope(Scope.TENSOR));
      if (base instanceof Lion) continue;
      forms.put(name + "Adam", () -> over(base, metas()[2]).curvature(MetaCurvature.PRODUCT));
      forms.put(name + "Lion per weight", () -> over(base, metas()[3]).curvature(MetaCurvature.DIAGONAL).perWeight().stepSizeFirst());
    }
    forms.put("IDBD", () -> MetaOptimize.idbd(0.02, 0.05));
    return forms;
  }

  /** Also where sweeps are only enqueued and their sums come late. */
  @TestFactory
  Stream<DynamicTest> sameBitsOnOtherDevices() {
    return TestDevices.all().stream().filter(device -> !device.cpu()).map(
        candidate -> DynamicTest.dynamicTest(
            candidate.name(),
            () -> forms().forEach((name, builder) -> {
              try (Training here = new Training(DataType.FLOAT32, 0.5, 1, 130, 4097);
                  Training there = new Training(DataType.FLOAT32, 0.5, 1, 130, 4097);
                  Optimizer one = builder.get().build(here.on(TestDevices.reference()));
                  Optimizer other = builder.get().build(there.on(candidate.open()))) {
                for (int step = 1; step <= 5; ++step) {
                  one.step(here.backward(step));
                  other.step(there.backward(step));
                }
                assertArrayEquals(here.parameterBytes(), there.parameterBytes(), name);
                for (String slot : one.slots())
                  assertArrayEquals(Memory.bytes(one.state(slot, "t2")), Memory.bytes(other.state(slot, "t2")), name + ": " + slot);
                one.scalars().forEach((key, values) -> assertArrayEquals(values, other.scalars().get(key), name + ": " + key));
              }
            })));
  }

  /** Which weights share a step size. */
  private static int[] blocks(Chain chain, int[] sizes, Scope scope, boolean perWeight) {
    final int[] block = new int[chain.n];
    for (int t = 0, i = 0; t < sizes.length; ++t)
      for (int k = 0; k < sizes[t]; ++k, ++i) block[i] = perWeight ? i : scope == Scope.TENSOR ? t : 0;
    return block;
  }

  @Test
  void agreesWithTheFormulas() {
    for (Rule base : bases())
      for (MetaCurvature curvature : List.of(MetaCurvature.PRODUCT, MetaCurvature.DIAGONAL, MetaCurvature.DIAGONAL_RECTIFIED))
        for (Rule meta : metas())
          for (Approximation approximation : Approximation.values()) {
            if (curvature == MetaCurvature.DIAGONAL_RECTIFIED && !base.kernel().equals("sgd")) continue;
            final Supplier<MetaOptimize> builder = () -> over(base, meta).curvature(curvature).approximation(approximation);
            if (base instanceof Lion && !builder.get().twoByTwo()) continue;
            agreesWithTheFormulas(builder.get(), Scope.ALL);
            agreesWithTheFormulas(builder.get().scope(Scope.TENSOR), Scope.TENSOR);
            agreesWithTheFormulas(builder.get().perWeight(), Scope.ALL);
            if (approximation == Approximation.L) agreesWithTheFormulas(builder.get().perWeight().stepSizeFirst(), Scope.ALL);
          }
  }

  private static void agreesWithTheFormulas(MetaOptimize builder, Scope scope) {
    final int[] sizes = {4, 1, 0, 8};
    try (Chain chain = new Chain(0.5, sizes);
        Optimizer optimizer = builder.build(chain.on(Device.cpu(2)))) {
      final int[] block = blocks(chain, sizes, scope, builder.perWeight);
      final MetaReference reference =
          new MetaReference(false, builder.rule, DECAY, builder.meta, ETA, GAMMA, ALPHA, block, chain.values())
              .curved(builder.curvature, builder.twoByTwo(), builder.stepSizeFirst);
      for (int step = 1; step <= STEPS; ++step) {
        final double[] g = chain.gradient(step, chain.values());
        final double[] given = chain.backward(step, builder.curvature, optimizer);
        optimizer.step();
        reference.step(g, given);
      }
      final String what = builder.description();
      assertArrayEquals(reference.x, chain.values(), 1e-11, what);
      assertArrayEquals(reference.trace(), chain.trace(optimizer), 1e-11, what);
      assertSlot(chain, optimizer, "momentumTrace", reference.n, 1e-11, what);
      assertSlot(chain, optimizer, "squareTrace", reference.w, 1e-11, what);
      assertMetaTraces(builder, chain, optimizer, reference.betaTrace, reference.metaN, reference.metaW, 1e-11);
      final double[] alpha = Arrays.stream(betas(builder, chain, optimizer)).map(Math::exp).toArray();
      assertEquals(builder.perWeight ? chain.n : scope == Scope.TENSOR ? sizes.length : 1, alpha.length);
      for (int b = 0; b < alpha.length; ++b) assertEquals(Math.exp(reference.beta[b]), alpha[b], 1e-11, what);
    }
  }

  // Relative to the largest, where that is more than 1.
  private static void assertNear(double[] expected, double[] actual, double tolerance, String what) {
    final double largest = Arrays.stream(expected).map(Math::abs).max().orElse(0);
    assertArrayEquals(expected, actual, tolerance * Math.max(1, largest), what);
  }

  // Where there is such a slot.
  private static void assertSlot(Chain chain, Optimizer optimizer, String slot, double[] expected, double tolerance, String what) {
    if (optimizer.slots().contains(slot)) assertNear(expected, chain.state(optimizer, slot), tolerance, what + ": " + slot);
  }

  private static void assertMetaTraces(
      MetaOptimize builder, Chain chain, Optimizer optimizer, double[] b, double[] m, double[] v, double tolerance) {
    if (!builder.twoByTwo()) return;
    final String what = builder.description();
    if (builder.perWeight) {
      assertNear(b, chain.state(optimizer, "betaTrace"), tolerance, what);
      assertSlot(chain, optimizer, "metaMomentumTrace", m, tolerance, what);
      assertSlot(chain, optimizer, "metaSquareTrace", v, tolerance, what);
      return;
    }
    final Map<String, double[]> scalars = optimizer.scalars();
    assertNear(b, scalars.get("betaTrace"), tolerance, what);
    if (scalars.containsKey("mTrace")) assertNear(m, scalars.get("mTrace"), tolerance, what);
    if (scalars.containsKey("vTrace")) assertNear(v, scalars.get("vTrace"), tolerance, what);
  }

  /**
   * With the betas of a run as they were, h is the sum over its steps t of gamma^(T - 1 - t) times the derivative of the last x by the
   * betas of step t; and so are the traces of the base rule's m and v of theirs.
   */
  @Test
  void theTraceOfTheLApproximationIsADerivative() {
    for (Scope scope : new Scope[] {Scope.ALL, Scope.TENSOR})
      isTheDerivative(over(metas()[2]).scope(scope), scope, 0.5, MetaCurvature.PRODUCT);
    isTheDerivative(over(metas()[0]).perWeight().stepSizeFirst(), Scope.ALL, 0.5, MetaCurvature.PRODUCT);
    for (Rule base : bases()) {
      if (base instanceof Lion) continue;
      isTheDerivative(over(base, metas()[2]), Scope.ALL, 0.5, MetaCurvature.PRODUCT);
      isTheDerivative(over(base, metas()[2]).perWeight(), Scope.ALL, 0.5, MetaCurvature.PRODUCT);
      isTheDerivative(over(base, metas()[1]), Scope.ALL, 0, MetaCurvature.DIAGONAL);
      isTheDerivative(over(base, metas()[3]).perWeight(), Scope.ALL, 0, MetaCurvature.DIAGONAL);
    }
  }

  /**
   * In the 2x2 approximation a change of beta stays, and moves later betas by way of x. h and B are derivatives of the last x and beta,
   * with the weights (1 - gamma) gamma^(T - 1 - t), and gamma^(T - 1) for the first betas; those of m and v likewise, for base and meta
   * rule.
   */
  @Test
  void theTracesOfTheTwoByTwoApproximationAreDerivatives() {
    for (Scope scope : new Scope[] {Scope.ALL, Scope.TENSOR})
      isTheDerivative(twoByTwo().scope(scope), scope, 0.5, MetaCurvature.PRODUCT);
    isTheDerivative(twoByTwo().gamma(1), Scope.ALL, 0, MetaCurvature.DIAGONAL);
    for (Rule base : bases())
      for (int meta = 0; meta < 3; ++meta) {
        isTheDerivative(twoByTwo(base, metas()[meta]), Scope.ALL, 0.5, MetaCurvature.PRODUCT);
        isTheDerivative(twoByTwo(base, metas()[meta]).perWeight(), Scope.ALL, 0.5, MetaCurvature.PRODUCT);
        isTheDerivative(twoByTwo(base, metas()[meta]).perWeight(), Scope.ALL, 0, MetaCurvature.DIAGONAL);
      }
  }

  private static void isTheDerivative(MetaOptimize builder, Scope scope, double coupling, MetaCurvature curvature) {
    builder.curvature(curvature);
    final int[] sizes = {3, 4};
    try (Chain chain = new Chain(coupling, sizes);
        Optimizer optimizer = builder.build(chain.on(Device.cpu(1)))) {
      final int[] block = blocks(chain, sizes, scope, builder.perWeight);
      final double[] start = chain.values();
      final double[][] beta = new double[STEPS][];
      final double[][] trace = new double[STEPS][];
      for (int t = 0; t < STEPS; ++t) {
        beta[t] = betas(builder, chain, optimizer);
        trace[t] = chain.trace(optimizer);
        chain.backward(t + 1, curvature, optimizer);
        optimizer.step();
        if (builder.stepSizeFirst) beta[t] = betas(builder, chain, optimizer);
      }
      final double gamma = builder.gamma();
      final double[][] sum = new double[6][]; // the derivatives of x, m, v, beta, and the meta rule's m and v
      for (int t = 0; t < STEPS; ++t) {
        final double weight = Math.pow(gamma, STEPS - 1 - t) * (builder.twoByTwo() && t > 0 ? 1 - gamma : 1);
        for (int side = -2; side <= 2; ++side) {
          if (side == 0) continue;
          final double[][] there = unroll(builder, chain, start, beta, trace, block, t, side * NUDGE);
          // Central differences of fourth order.
          final double part = (Math.abs(side) == 1 ? 8 : -1) * Math.signum(side) / (12 * NUDGE);
          for (int k = 0; k < sum.length; ++k) {
            if (sum[k] == null) sum[k] = new double[there[k].length];
            for (int i = 0; i < sum[k].length; ++i) sum[k][i] += weight * part * there[k][i];
          }
        }
      }
      final String what = builder.description();
      assertNear(sum[0], chain.trace(optimizer), 1e-7, what);
      assertTrue(Arrays.stream(sum[0]).map(Math::abs).max().orElseThrow() > 0.01, "a trace to speak of");
      assertSlot(chain, optimizer, "momentumTrace", sum[1], 1e-7, what);
      assertSlot(chain, optimizer, "squareTrace", sum[2], 1e-7, what);
      assertMetaTraces(builder, chain, optimizer, sum[3], sum[4], sum[5], 1e-7);
      if (builder.twoByTwo())
        assertTrue(Arrays.stream(sum[3]).anyMatch(one -> Math.abs(one - 1) > 0.01), "B must not be what it is in the L-approximation");
    }
  }

  private static double[] betas(MetaOptimize builder, Chain chain, Optimizer optimizer) {
    if (!builder.perWeight) return optimizer.scalars().get("beta");
    return Arrays.stream(chain.state(optimizer, "logRatio")).map(ratio -> Math.log(ALPHA) + ratio).toArray();
  }

  /** The run again, with all betas moved at one step: x and the base rule's m and v, beta and the meta rule's, after the last. */
  private static double[][] unroll(
      MetaOptimize builder, Chain chain, double[] start, double[][] recorded, double[][] trace, int[] block, int at, double nudge) {
    final double[] x = start.clone();
    double[] beta = recorded[0].clone();
    final MetaReference rules = new MetaReference(false, builder.rule, DECAY, builder.meta, ETA, GAMMA, ALPHA, block, start);
    for (int t = 0; t < STEPS; ++t) {
      if (!builder.twoByTwo()) beta = recorded[t].clone();
      if (t == at) for (int k = 0; k < beta.length; ++k) beta[k] += nudge;
      final double[] g = chain.gradient(t + 1, x);
      rules.next();
      Arrays.fill(rules.z, 0);
      for (int i = 0; i < x.length; ++i) {
        x[i] -= Math.exp(beta[block[i]]) * (rules.direction(i, g[i]) + DECAY * x[i]);
        rules.z[block[i]] += trace[t][i] * g[i];
      }
      if (builder.twoByTwo()) for (int b = 0; b < beta.length; ++b) beta[b] -= ETA * rules.metaPaper(b);
    }
    return new double[][] {x, rules.m, rules.v, beta, rules.metaM, rules.metaV};
  }

  /** Sutton's formulas, on his problem: 20 inputs, of which 5 matter and change sign now and then. */
  @Test
  void idbdIsSuttons() {
    final int n = 20;
    final double theta = 0.001;
    final double[] w = new double[n];
    final double[] beta = new double[n];
    final double[] h = new double[n];
    Arrays.fill(beta, Math.log(0.05));
    final double[] sign = new double[n];
    Arrays.fill(sign, 0, 5, 1);
    final SplittableRandom random = new SplittableRandom(1992);
    try (DoublePointer memory = new DoublePointer(3 * n)) {
      memory.put(new double[3 * n]);
      final ParameterSet parameters =
          ParameterSet.on(Device.cpu(1))
              .add("w", memory.address(), DataType.FLOAT64, memory.address() + 8 * n, DataType.FLOAT64, memory.address() + 16 * n, n)
              .build();
      try (Optimizer optimizer = MetaOptimize.idbd(theta, 0.05).build(parameters)) {
        final double[] x = new double[n];
        for (int t = 0; t < 20_000; ++t) {
          if (t % 20 == 0) sign[random.nextInt(5)] *= -1;
          double target = 0;
          double prediction = 0;
          double theirs = 0;
          for (int i = 0; i < n; ++i) {
            x[i] = random.nextGaussian();
            target += sign[i] * x[i];
            prediction += w[i] * x[i];
            theirs += memory.get(i) * x[i];
          }
          final double error = target - prediction;
          for (int i = 0; i < n; ++i) {
            beta[i] += theta * error * x[i] * h[i];
            final double alpha = Math.exp(beta[i]);
            w[i] += alpha * error * x[i];
            h[i] = h[i] * Math.max(0, 1 - alpha * x[i] * x[i]) + alpha * error * x[i];
            memory.put(n + i, -(target - theirs) * x[i]);
            memory.put(2 * n + i, x[i] * x[i]);
          }
          optimizer.step();
          if (t < 500) {
            final double[] ours = new double[n];
            memory.get(ours);
            assertArrayEquals(w, ours, 1e-10, "step " + t);
            assertArrayEquals(h, Memory.values(optimizer.state("trace", "w")), 1e-10);
          }
        }
        final double[] ratio = Memory.values(optimizer.state("logRatio", "w"));
        for (int i = 0; i < n; ++i) {
          final double alpha = 0.05 * Math.exp(ratio[i]);
          assertTrue(i < 5 ? alpha > 0.08 : alpha < 0.04, "step size of input " + i + ": " + alpha);
        }
      }
    }
  }

  @Test
  void aZeroHessianIsNone() {
    for (Rule base : bases())
      for (boolean perWeight : new boolean[] {false, true}) {
        if (base instanceof Lion) continue;
        try (Chain plain = new Chain(0.5, 5, 6);
            Chain curved = new Chain(0.5, 5, 6);
            Optimizer without = weighted(over(base, metas()[2]), perWeight).build(plain.on(Device.cpu(1)));
            Optimizer with =
                weighted(over(base, metas()[2]), perWeight).curvature(MetaCurvature.PRODUCT).build(curved.on(Device.cpu(1)))) {
          for (int step = 1; step <= STEPS; ++step) {
            plain.backward(step, MetaCurvature.DIAGONAL, without);
            curved.backward(step, MetaCurvature.DIAGONAL, with);
            for (int i = 0; i < curved.n; ++i) curved.setCurvature(i, 0);
            without.step();
            with.step();
          }
          assertArrayEquals(plain.values(), curved.values(), 1e-13);
        }
      }
  }

  private static MetaOptimize weighted(MetaOptimize builder, boolean perWeight) {
    return perWeight ? builder.perWeight() : builder;
  }

  @Test
  void skipsACurvatureThatIsNotFinite(@TempDir Path folder) {
    for (double bad : new double[] {Double.NaN, Double.NEGATIVE_INFINITY})
      for (boolean perWeight : new boolean[] {false, true}) {
        final MetaOptimize builder = over(metas()[0]).curvature(MetaCurvature.PRODUCT);
        if (perWeight) builder.perWeight();
        try (Chain chain = new Chain(0.5, 5, 6);
            Optimizer optimizer = builder.build(chain.on(Device.cpu(1)))) {
          for (int step = 1; step <= 3; ++step) {
            chain.backward(step, MetaCurvature.PRODUCT, optimizer);
            optimizer.step();
          }
          final Map<String, byte[]> before = saved(optimizer, folder);
          chain.backward(4, MetaCurvature.PRODUCT, optimizer);
          chain.setCurvature(7, bad);
          assertEquals(StepReport.Skip.NON_FINITE_GRADIENT, optimizer.step().skip());
          assertSame(before, saved(optimizer, folder), "skipped");
        }
      }
  }

  /** Where curvature is negative h grows by a factor at every step; it must not become infinite, or not a number. */
  @Test
  void theTraceStaysFinite() {
    for (Rule base : bases())
      for (Rule meta : new Rule[] {metas()[0], metas()[1], metas()[2]})
        for (boolean perWeight : new boolean[] {false, true}) {
          final MetaOptimize builder = twoByTwo(base, meta).metaStepSize(0).curvature(MetaCurvature.DIAGONAL);
          try (Chain chain = new Chain(0, 6);
              Optimizer optimizer = weighted(builder, perWeight).build(chain.on(Device.cpu(1)))) {
            for (int step = 1; step <= 60; ++step) {
              chain.backward(step, MetaCurvature.DIAGONAL, optimizer);
              for (int i = 0; i < chain.n; ++i) chain.setCurvature(i, -1e3);
              optimizer.step();
            }
            for (double h : chain.trace(optimizer)) {
              if (base.kernel().equals("sgd")) assertEquals(1e15, Math.abs(h), 1e9);
              assertTrue(Math.abs(h) <= 1e15, () -> builder.description() + ": h is " + h);
            }
            for (String slot : optimizer.slots())
              for (double value : chain.state(optimizer, slot))
                assertTrue(Math.abs(value) < 1e32, () -> builder.description() + ": " + slot);
            optimizer.scalars().forEach((name, values) -> assertTrue(Double.isFinite(values[0]) || name.equals("z"), name));
            for (double x : chain.values()) assertTrue(Math.abs(x) < 20, () -> builder.description() + ": x is " + x);
          }
        }
  }

  @Test
  void words() {
    assertEquals(6 + 2, words(over(metas()[2]).curvature(MetaCurvature.PRODUCT)));
    assertEquals(6, words(over(metas()[2]).curvature(MetaCurvature.PRODUCT).nonFinite(NonFinite.UNCHECKED)));
    final int[] base = {6, 10, 10, 14, 8};
    final int[] meta = {0, 2, 4, 2};
    for (int b = 0; b < base.length; ++b)
      for (int m = 0; m < meta.length; ++m) {
        final int perWeight = base[b] + 2 + 2 + meta[m];
        if (b < 4) assertEquals(perWeight, words(over(bases()[b], metas()[m]).curvature(MetaCurvature.DIAGONAL).perWeight()));
        if (m == 3) continue;
        assertEquals(base[b] + 2, words(twoByTwo(bases()[b], metas()[m]).curvature(MetaCurvature.DIAGONAL)));
        // B, and a tangent for every slot of the meta rule.
        final MetaOptimize twoByTwo = twoByTwo(bases()[b], metas()[m]).curvature(MetaCurvature.DIAGONAL).perWeight();
        assertEquals(perWeight + 2 + meta[m], words(twoByTwo));
      }
  }

  private static double words(MetaOptimize builder) {
    try (Chain chain = new Chain(0, 3);
        Optimizer optimizer = builder.build(chain.on(Device.cpu(1)))) {
      return optimizer.wordsPerElement();
    }
  }

  @Test
  void refusesWhatItCannotDo() {
    assertRefused(NullPointerException.class, () -> over(metas()[0]).curvature(null), "curvature");
    assertRefused(NullPointerException.class, () -> over(metas()[0]).approximation(null), "approximation");
    refused(twoByTwo(), "needs a curvature");
    refused(over(metas()[0]).perWeight().stepSizeFirst(), "needs a curvature");
    for (Rule meta : metas()) refused(over(Lion.defaults(), meta).curvature(MetaCurvature.PRODUCT), "Lion", "TWO_BY_TWO");
    refused(twoByTwo(Lion.defaults(), metas()[3]).curvature(MetaCurvature.DIAGONAL), "Lion", "by the meta rules");
    refused(over(metas()[0]).curvature(MetaCurvature.PRODUCT).stepSizeFirst(), "per weight");
    refused(twoByTwo().curvature(MetaCurvature.PRODUCT).perWeight().stepSizeFirst(), "approximation L");
    refused(over(metas()[0]).curvature(MetaCurvature.PRODUCT).variant(MetaOptimize.Variant.PACKAGE), "PAPER_CODE");
    refused(MetaOptimize.tuning(AdamW.defaults()).curvature(MetaCurvature.DIAGONAL_RECTIFIED), "IDBD", "AdamW");
    refused(MetaOptimize.tuning(SGD.defaults().momentum(0.9)).curvature(MetaCurvature.DIAGONAL_RECTIFIED), "SGD without momentum");
    try (Toy toy = Toy.of(DataType.FLOAT32, 3)) {
      assertRefused(
          IllegalArgumentException.class, () -> over(metas()[0]).curvature(MetaCurvature.DIAGONAL).build(toy.on(Device.cpu(1))).close(),
          "updateAddress", "tensor 0");
    }
  }

  private static void refused(MetaOptimize builder, String... words) {
    try (Chain chain = new Chain(0, 3)) {
      assertRefused(IllegalArgumentException.class, () -> builder.build(chain.on(Device.cpu(1))).close(), words);
    }
  }

  @Test
  void stateIsRefusedWhereThereIsNone() {
    try (Chain chain = new Chain(0, 3);
        Optimizer optimizer = over(metas()[0]).curvature(MetaCurvature.DIAGONAL).build(chain.on(Device.cpu(1)))) {
      assertRefused(IllegalArgumentException.class, () -> optimizer.state("momentum", "t0"), "momentum", "trace");
      assertRefused(IllegalArgumentException.class, () -> optimizer.state("trace", "t1"), "t1");
      assertRefused(NullPointerException.class, () -> optimizer.state(null, "t0"), "slot");
      assertRefused(NullPointerException.class, () -> optimizer.state("trace", null), "tensor");
    }
  }
}
