// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.Refusal.assertRefused;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
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
import org.steptuner.tuner.MetaOptimize.Curvature;

/** MetaOptimize with the Hessian in its trace, and IDBD. */
class MetaCurvatureTest extends TunerContract {
  private static final double DECAY = 0.05;
  private static final double ETA = 0.05;
  private static final double GAMMA = 0.9;
  private static final double ALPHA = 0.1;
  private static final int STEPS = 25;

  private static MetaOptimize over(Rule meta) {
    return MetaOptimize.tuning(SGD.defaults().weightDecay(DECAY)).meta(meta).metaStepSize(ETA).gamma(GAMMA).initialStepSize(ALPHA);
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
    forms.put("product", () -> over(metas()[2]).curvature(Curvature.PRODUCT));
    forms.put("diagonal", () -> over(metas()[1]).curvature(Curvature.DIAGONAL));
    forms.put("rectified", () -> over(metas()[3]).curvature(Curvature.DIAGONAL_RECTIFIED));
    forms.put("by tensor, 2x2", () -> twoByTwo().metaStepSize(1e-5).curvature(Curvature.PRODUCT).scope(Scope.TENSOR));
    forms.put("2x2", () -> twoByTwo().metaStepSize(1e-5).curvature(Curvature.DIAGONAL));
    forms.put("2x2 per weight", () -> twoByTwo().curvature(Curvature.PRODUCT).perWeight());
    for (Rule meta : metas())
      forms.put("per weight by " + meta.kernel(), () -> over(meta).curvature(Curvature.DIAGONAL).perWeight());
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
    for (Curvature curvature : new Curvature[] {Curvature.PRODUCT, Curvature.DIAGONAL, Curvature.DIAGONAL_RECTIFIED})
      for (Rule meta : metas())
        for (Approximation approximation : Approximation.values()) {
          if (approximation == Approximation.TWO_BY_TWO && !(meta instanceof SGD || meta instanceof Lion)) continue;
          final Supplier<MetaOptimize> builder = () -> over(meta).curvature(curvature).approximation(approximation);
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
      if (builder.twoByTwo())
        assertArrayEquals(
            reference.betaTrace, builder.perWeight ? chain.state(optimizer, "betaTrace") : optimizer.scalars().get("betaTrace"), 1e-11,
            what);
      final double[] alpha = Arrays.stream(betas(builder, chain, optimizer)).map(Math::exp).toArray();
      assertEquals(builder.perWeight ? chain.n : scope == Scope.TENSOR ? sizes.length : 1, alpha.length);
      for (int b = 0; b < alpha.length; ++b) assertEquals(Math.exp(reference.beta[b]), alpha[b], 1e-11, what);
    }
  }

  /**
   * With the betas of a run as they were, h is the sum over its steps t of gamma^(T - 1 - t) times the derivative of the last x by the
   * betas of step t.
   */
  @Test
  void theTraceOfTheLApproximationIsADerivative() {
    for (Scope scope : new Scope[] {Scope.ALL, Scope.TENSOR}) isTheDerivative(over(metas()[2]).scope(scope), scope, 0.5, Curvature.PRODUCT);
    isTheDerivative(over(metas()[2]).perWeight(), Scope.ALL, 0.5, Curvature.PRODUCT);
    isTheDerivative(over(metas()[0]).perWeight().stepSizeFirst(), Scope.ALL, 0.5, Curvature.PRODUCT);
    isTheDerivative(over(metas()[1]), Scope.ALL, 0, Curvature.DIAGONAL);
    isTheDerivative(over(metas()[3]).perWeight(), Scope.ALL, 0, Curvature.DIAGONAL);
  }

  /**
   * In the 2x2 approximation a change of beta stays, and moves later betas by way of x. h and B are derivatives of the last x and beta,
   * with the weights (1 - gamma) gamma^(T - 1 - t), and gamma^(T - 1) for the first betas.
   */
  @Test
  void theTracesOfTheTwoByTwoApproximationAreDerivatives() {
    for (Scope scope : new Scope[] {Scope.ALL, Scope.TENSOR}) isTheDerivative(twoByTwo().scope(scope), scope, 0.5, Curvature.PRODUCT);
    isTheDerivative(twoByTwo().perWeight(), Scope.ALL, 0.5, Curvature.PRODUCT);
    isTheDerivative(twoByTwo().perWeight(), Scope.ALL, 0, Curvature.DIAGONAL);
    isTheDerivative(twoByTwo().gamma(1), Scope.ALL, 0, Curvature.DIAGONAL);
  }

  private static void isTheDerivative(MetaOptimize builder, Scope scope, double coupling, Curvature curvature) {
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
      final double[] h = new double[chain.n];
      final double[] b = new double[beta[0].length];
      final double nudge = 1e-5;
      for (int t = 0; t < STEPS; ++t) {
        final double weight = Math.pow(gamma, STEPS - 1 - t) * (builder.twoByTwo() && t > 0 ? 1 - gamma : 1);
        final double[][] up = unroll(builder, chain, start, beta, trace, block, t, nudge);
        final double[][] down = unroll(builder, chain, start, beta, trace, block, t, -nudge);
        for (int i = 0; i < h.length; ++i) h[i] += weight * (up[0][i] - down[0][i]) / (2 * nudge);
        for (int k = 0; k < b.length; ++k) b[k] += weight * (up[1][k] - down[1][k]) / (2 * nudge);
      }
      assertArrayEquals(h, chain.trace(optimizer), 1e-8, builder.description());
      assertTrue(Arrays.stream(h).map(Math::abs).max().orElseThrow() > 0.01, "a trace to speak of");
      if (!builder.twoByTwo()) return;
      assertArrayEquals(b, builder.perWeight ? chain.state(optimizer, "betaTrace") : optimizer.scalars().get("betaTrace"), 1e-8);
      assertTrue(Arrays.stream(b).anyMatch(one -> Math.abs(one - 1) > 0.01), "B must not be what it is in the L-approximation");
    }
  }

  private static double[] betas(MetaOptimize builder, Chain chain, Optimizer optimizer) {
    if (!builder.perWeight) return optimizer.scalars().get("beta");
    return Arrays.stream(chain.state(optimizer, "logRatio")).map(ratio -> Math.log(ALPHA) + ratio).toArray();
  }

  /** The run again, with all betas moved at one step: x, and beta, after the last. */
  private static double[][] unroll(
      MetaOptimize builder, Chain chain, double[] start, double[][] recorded, double[][] trace, int[] block, int at, double nudge) {
    final double[] x = start.clone();
    double[] beta = recorded[0].clone();
    for (int t = 0; t < STEPS; ++t) {
      if (!builder.twoByTwo()) beta = recorded[t].clone();
      if (t == at) for (int k = 0; k < beta.length; ++k) beta[k] += nudge;
      final double[] g = chain.gradient(t + 1, x);
      for (int i = 0; i < x.length; ++i) x[i] -= Math.exp(beta[block[i]]) * (g[i] + DECAY * x[i]);
      if (builder.twoByTwo()) for (int i = 0; i < x.length; ++i) beta[block[i]] -= ETA * trace[t][i] * g[i];
    }
    return new double[][] {x, beta};
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
    for (boolean perWeight : new boolean[] {false, true}) {
      try (Chain plain = new Chain(0.5, 5, 6);
          Chain curved = new Chain(0.5, 5, 6);
          Optimizer without = (perWeight ? over(metas()[2]).perWeight() : over(metas()[2])).build(plain.on(Device.cpu(1)));
          Optimizer with =
              (perWeight ? over(metas()[2]).perWeight() : over(metas()[2])).curvature(Curvature.PRODUCT).build(curved.on(Device.cpu(1)))) {
        for (int step = 1; step <= STEPS; ++step) {
          plain.backward(step, Curvature.DIAGONAL, without);
          curved.backward(step, Curvature.DIAGONAL, with);
          for (int i = 0; i < curved.n; ++i) curved.setCurvature(i, 0);
          without.step();
          with.step();
        }
        assertArrayEquals(plain.values(), curved.values(), 1e-13);
      }
    }
  }

  @Test
  void skipsACurvatureThatIsNotFinite(@TempDir Path folder) {
    for (double bad : new double[] {Double.NaN, Double.NEGATIVE_INFINITY})
      for (boolean perWeight : new boolean[] {false, true}) {
        final MetaOptimize builder = over(metas()[0]).curvature(Curvature.PRODUCT);
        if (perWeight) builder.perWeight();
        try (Chain chain = new Chain(0.5, 5, 6);
            Optimizer optimizer = builder.build(chain.on(Device.cpu(1)))) {
          for (int step = 1; step <= 3; ++step) {
            chain.backward(step, Curvature.PRODUCT, optimizer);
            optimizer.step();
          }
          final Map<String, byte[]> before = saved(optimizer, folder);
          chain.backward(4, Curvature.PRODUCT, optimizer);
          chain.setCurvature(7, bad);
          assertEquals(StepReport.Skip.NON_FINITE_GRADIENT, optimizer.step().skip());
          assertSame(before, saved(optimizer, folder), "skipped");
        }
      }
  }

  /** Where curvature is negative h grows by a factor at every step; it must not become infinite, or not a number. */
  @Test
  void theTraceStaysFinite() {
    for (boolean perWeight : new boolean[] {false, true}) {
      final MetaOptimize builder = twoByTwo().metaStepSize(0).curvature(Curvature.DIAGONAL);
      if (perWeight) builder.perWeight();
      try (Chain chain = new Chain(0, 6);
          Optimizer optimizer = builder.build(chain.on(Device.cpu(1)))) {
        for (int step = 1; step <= 60; ++step) {
          chain.backward(step, Curvature.DIAGONAL, optimizer);
          for (int i = 0; i < chain.n; ++i) chain.setCurvature(i, -1e3);
          optimizer.step();
        }
        for (double h : chain.trace(optimizer)) assertEquals(1e15, Math.abs(h), 1e9);
        for (double x : chain.values()) assertTrue(Math.abs(x) < 10);
      }
    }
  }

  @Test
  void words() {
    assertEquals(6 + 2, words(over(metas()[2]).curvature(Curvature.PRODUCT)));
    assertEquals(6, words(over(metas()[2]).curvature(Curvature.PRODUCT).nonFinite(NonFinite.UNCHECKED)));
    final int[] meta = {0, 2, 4, 2};
    for (int m = 0; m < meta.length; ++m)
      assertEquals(8 + 2 + meta[m], words(over(metas()[m]).curvature(Curvature.DIAGONAL).perWeight()));
    assertEquals(8 + 2 + 2, words(twoByTwo().curvature(Curvature.DIAGONAL).perWeight()));
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
    refused(twoByTwo().curvature(Curvature.PRODUCT).meta(metas()[2]), "TWO_BY_TWO", "Adam");
    refused(over(metas()[0]).curvature(Curvature.PRODUCT).stepSizeFirst(), "per weight");
    refused(twoByTwo().curvature(Curvature.PRODUCT).perWeight().stepSizeFirst(), "approximation L");
    refused(over(metas()[0]).curvature(Curvature.PRODUCT).variant(MetaOptimize.Variant.PACKAGE), "PAPER_CODE");
    refused(MetaOptimize.tuning(AdamW.defaults()).curvature(Curvature.PRODUCT), "SGD without momentum");
    refused(MetaOptimize.tuning(SGD.defaults().momentum(0.9)).curvature(Curvature.PRODUCT), "SGD without momentum");
    try (Toy toy = Toy.of(DataType.FLOAT32, 3)) {
      assertRefused(
          IllegalArgumentException.class, () -> over(metas()[0]).curvature(Curvature.DIAGONAL).build(toy.on(Device.cpu(1))).close(),
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
        Optimizer optimizer = over(metas()[0]).curvature(Curvature.DIAGONAL).build(chain.on(Device.cpu(1)))) {
      assertRefused(IllegalArgumentException.class, () -> optimizer.state("momentum", "t0"), "momentum", "trace");
      assertRefused(IllegalArgumentException.class, () -> optimizer.state("trace", "t1"), "t1");
      assertRefused(NullPointerException.class, () -> optimizer.state(null, "t0"), "slot");
      assertRefused(NullPointerException.class, () -> optimizer.state("trace", null), "tensor");
    }
  }
}
