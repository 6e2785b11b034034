// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.steptuner.DataType;
import org.steptuner.Device;
import org.steptuner.Optimizer;
import org.steptuner.Scope;
import org.steptuner.StepReport;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.AdamW;
import org.steptuner.rule.Lion;
import org.steptuner.rule.MADGRAD;
import org.steptuner.rule.MirrorMADGRAD;
import org.steptuner.rule.RMSProp;
import org.steptuner.rule.Rule;
import org.steptuner.rule.SGD;

class HypergradientTest {
  private static final int[] SIZES = {7, 130, 1, 20};
  private static final String[] GROUPS = {"a", "b", "a", "b"};
  private static final double DECAY = 0.05;

  private static Hypergradient of(Hypergradient.Variant variant, Rule rule) {
    return Hypergradient.tuning(rule, 0.01, variant == Hypergradient.Variant.MULTIPLICATIVE ? 0.1 : 1e-5).variant(variant);
  }

  // Heavy-ball SGD with decay, in Java: the decay is part of the gradient, and u = -buffer.
  @Test
  void agreesWithTheFormulas() {
    for (Hypergradient.Variant variant : Hypergradient.Variant.values())
      for (Scope scope : Scope.values()) {
        try (Toy toy = new Toy(DataType.FLOAT64, SIZES, GROUPS);
            Optimizer optimizer =
                of(variant, SGD.defaults().momentum(0.7).weightDecay(DECAY)).scope(scope).build(toy.on(Device.cpu(2)))) {
          final int[] scopeOf = scopes(scope);
          final int scopes = optimizer.report().scopes();
          final double[] x = toy.values();
          final double[] u = new double[x.length];
          final double[] rate = new double[scopes];
          java.util.Arrays.fill(rate, 0.01);
          for (int step = 1; step <= 30; ++step) {
            toy.backward(step);
            final double[] g = new double[x.length];
            final double[] gu = new double[scopes];
            final double[] gg = new double[scopes];
            final double[] uu = new double[scopes];
            for (int i = 0; i < x.length; ++i) {
              g[i] = Toy.gradient(step, i, x[i]) + DECAY * x[i];
              gu[scopeOf[i]] += g[i] * u[i];
              gg[scopeOf[i]] += g[i] * g[i];
              uu[scopeOf[i]] += u[i] * u[i];
            }
            for (int s = 0; s < scopes; ++s) {
              if (variant != Hypergradient.Variant.MULTIPLICATIVE) rate[s] -= 1e-5 * gu[s];
              else if (step > 1) rate[s] *= 1 - 0.1 * gu[s] / Math.sqrt(gg[s] * uu[s]);
            }
            for (int i = 0; i < x.length; ++i) {
              u[i] = 0.7 * u[i] - g[i];
              x[i] += rate[scopeOf[i]] * u[i];
            }
            optimizer.step();
            for (int s = 0; s < scopes; ++s) assertEquals(rate[s], optimizer.report().learnedScale(s), 1e-12);
          }
          assertArrayEquals(x, toy.values(), 1e-11, () -> variant + " " + scope);
          assertNotEquals(0.01, rate[0], 1e-6);
        }
      }
  }

  /** Every rule that adds a decay to the gradient has it in g here as well: rate - hyperRate (<g, u'> + decay <x, u'>). */
  @Test
  void theDecayOfEveryRuleIsPartOfTheGradient() {
    final List<Rule> rules =
        List.of(
            SGD.defaults().weightDecay(DECAY), RMSProp.defaults().weightDecay(DECAY), AdaGrad.defaults().weightDecay(DECAY),
            Adam.defaults().weightDecay(DECAY), MADGRAD.defaults().weightDecay(DECAY), MirrorMADGRAD.defaults().weightDecay(DECAY));
    for (Rule rule : rules) {
      try (Toy toy = Toy.of(DataType.FLOAT64, 9);
          Optimizer optimizer = Hypergradient.tuning(rule, 0.01, 1e-5).build(toy.on(Device.cpu(1)))) {
        toy.backward(1);
        final double[] before = toy.values();
        optimizer.step();
        final double[] x = toy.values();
        toy.backward(2);
        double product = 0;
        for (int i = 0; i < x.length; ++i) product += (Toy.gradient(2, i, x[i]) + DECAY * x[i]) * (x[i] - before[i]) / 0.01;
        optimizer.step();
        assertEquals(0.01 - 1e-5 * product, optimizer.report().learnedScale(), 1e-12, rule.toString());
      }
    }
  }

  private static int[] scopes(Scope scope) {
    final int[] scopes = new int[158];
    int at = 0;
    for (int t = 0; t < SIZES.length; ++t)
      for (int i = 0; i < SIZES[t]; ++i)
        scopes[at++] = scope == Scope.ALL ? 0 : scope == Scope.TENSOR ? t : GROUPS[t].equals("a") ? 0 : 1;
    return scopes;
  }

  // Tensor by tensor, over tensors that the plan holds in another order; against plain SGD in Java.
  @Test
  void inTensorOrderEachTensorUsesWhatTheOnesBeforeMadeOfTheRate() {
    try (Toy toy = new Toy(DataType.FLOAT64, SIZES, GROUPS);
        Optimizer optimizer =
            of(Hypergradient.Variant.ADDITIVE, SGD.defaults()).inTensorOrder().build(toy.on(Device.cpu(1)))) {
      final double[] x = toy.values();
      final double[] u = new double[x.length];
      double rate = 0.01;
      for (int step = 1; step <= 20; ++step) {
        toy.backward(step);
        int at = 0;
        for (int t = 0; t < SIZES.length; at += SIZES[t++]) {
          final double[] g = new double[SIZES[t]];
          for (int i = 0; i < g.length; ++i) g[i] = Toy.gradient(step, at + i, x[at + i]);
          for (int i = 0; i < g.length; ++i) rate -= 1e-5 * g[i] * u[at + i];
          for (int i = 0; i < g.length; ++i) {
            u[at + i] = -g[i];
            x[at + i] -= rate * g[i];
          }
        }
        optimizer.step();
      }
      assertArrayEquals(x, toy.values(), 1e-12);
      assertEquals(rate, optimizer.report().learnedScale(SIZES.length - 1), 1e-14);
    }
  }

  @Test
  void theReleasedAdamAddsEpsilonToTheUncorrectedRoot() {
    final Rule rule = Adam.defaults().epsilon(0.1);
    final double[] plain = Toy.run(of(Hypergradient.Variant.ADDITIVE, rule), Toy.of(DataType.FLOAT64, 5), 1);
    final double[] released = Toy.run(of(Hypergradient.Variant.ADDITIVE_RELEASED, rule), Toy.of(DataType.FLOAT64, 5), 1);
    try (Toy start = Toy.of(DataType.FLOAT64, 5)) {
      for (int i = 0; i < 5; ++i) {
        final double x = start.values()[i];
        final double g = Toy.gradient(1, i, x);
        assertEquals(x - 0.01 * g / (Math.abs(g) + 0.1), plain[i], 1e-13);
        assertEquals(x - 0.01 * Math.sqrt(0.001) * g / (Math.sqrt(0.001) * Math.abs(g) + 0.1), released[i], 1e-13);
      }
    }
  }

  @Test
  void sameBitsEverywhere() {
    for (DataType type : List.of(DataType.FLOAT32, DataType.FLOAT64, DataType.BFLOAT16))
      for (Rule rule : List.of(SGD.defaults().momentum(0.9).weightDecay(DECAY), AdamW.defaults(), Lion.defaults())) {
        double[] expected = null;
        for (Device device : Toy.devices()) {
          final double[] seen =
              Toy.run(of(Hypergradient.Variant.MULTIPLICATIVE, rule), Toy.of(type, 9001, 6, 515), device, 4, o -> {});
          if (expected == null) expected = seen;
          assertArrayEquals(expected, seen, 0, () -> rule + " " + type + " on " + device);
        }
      }
  }

  @Test
  void skipsNonFiniteGradientsForFree() {
    final Hypergradient builder = of(Hypergradient.Variant.ADDITIVE, AdamW.defaults());
    final double[] expected = Toy.run(builder, Toy.of(DataType.FLOAT32, 300), 10);
    try (Toy toy = Toy.of(DataType.FLOAT32, 300);
        Optimizer optimizer = builder.build(toy.on(Device.cpu(1)))) {
      assertEquals(10, optimizer.wordsPerElement());
      toy.steps(optimizer, 1, 6);
      final double[] before = toy.values();
      toy.backward(7);
      toy.setGradient(299, Double.NaN);
      assertEquals(StepReport.Skip.NON_FINITE_GRADIENT, optimizer.step().skip());
      assertArrayEquals(before, toy.values(), 0);
      toy.steps(optimizer, 7, 10);
      assertArrayEquals(expected, toy.values(), 0);
    }
  }

  // The decay is put together with the clipped gradient, not with the one in memory.
  @Test
  void clippingAndTheMultiplierActOnTheGradientWithoutItsDecay() {
    final Rule rule = SGD.defaults().weightDecay(DECAY);
    final double[] once =
        Toy.run(of(Hypergradient.Variant.MULTIPLICATIVE, rule).clipNorm(2), Toy.of(DataType.FLOAT64, 100), 20);
    try (Toy toy = Toy.of(DataType.FLOAT64, 100);
        Optimizer optimizer = of(Hypergradient.Variant.MULTIPLICATIVE, rule).build(toy.on(Device.cpu(1)))) {
      for (int step = 1; step <= 20; ++step) {
        toy.backward(step);
        final double[] x = toy.values();
        double square = 0;
        for (int i = 0; i < 100; ++i) square += Math.pow(Toy.gradient(step, i, x[i]), 2);
        final double factor = Math.min(1, 2 / (Math.sqrt(square) + 1e-6));
        for (int i = 0; i < 100; ++i) toy.setGradient(i, factor * Toy.gradient(step, i, x[i]));
        optimizer.step();
      }
      assertArrayEquals(once, toy.values(), 1e-12);
    }
  }

  @Test
  void resumesBitForBit(@TempDir Path folder) {
    final Hypergradient builder = of(Hypergradient.Variant.ADDITIVE, AdamW.defaults()).scope(Scope.GROUP);
    final double[] expected = Toy.run(builder, new Toy(DataType.FLOAT32, SIZES, GROUPS), 20);
    final Path file = folder.resolve("saved");
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

  @Test
  void boundsHold() {
    final Hypergradient builder = Hypergradient.tuning(SGD.defaults(), 0.01, 1).rateBounds(0.001, 0.02);
    for (int steps = 2; steps < 12; ++steps)
      Toy.run(
          builder, Toy.of(DataType.FLOAT64, 50), Device.cpu(1), steps,
          o -> assertTrue(o.report().learnedScale() == 0.02 || o.report().learnedScale() == 0.001));
  }

  @Test
  void refusesWhatItCannotDo() {
    refused("initialRate", () -> Hypergradient.tuning(SGD.defaults(), -1, 0));
    refused("hyperRate", () -> Hypergradient.tuning(SGD.defaults(), 1, Double.NaN));
    refused("bounds", () -> Hypergradient.tuning(SGD.defaults(), 1, 0).rateBounds(2, 1));
    refusedToBuild("ADDITIVE_RELEASED", of(Hypergradient.Variant.ADDITIVE_RELEASED, AdamW.defaults()));
    refusedToBuild("bounds", of(Hypergradient.Variant.ADDITIVE, SGD.defaults()).rateBounds(1, 2));
    refusedToBuild("inTensorOrder", of(Hypergradient.Variant.ADDITIVE, SGD.defaults()).scope(Scope.TENSOR).inTensorOrder());
  }

  private static void refusedToBuild(String word, Hypergradient builder) {
    try (Toy toy = Toy.of(DataType.FLOAT32, 3)) {
      refused(word, () -> builder.build(toy.on(Device.cpu(1))).close());
    }
  }

  private static void refused(String word, org.junit.jupiter.api.function.Executable call) {
    final String message = assertThrows(IllegalArgumentException.class, call).getMessage();
    assertTrue(message.contains(word), message);
  }
}
