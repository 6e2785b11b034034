// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.steptuner.DataType;
import org.steptuner.NonFinite;
import org.steptuner.Optimizer;
import org.steptuner.Schedule;
import org.steptuner.Scope;
import org.steptuner.rule.AdaGrad;
import org.steptuner.rule.Adam;
import org.steptuner.rule.SGD;

class GradaGradTest extends TunerContract {
  private static final SGD PLAIN = SGD.defaults();
  private static final SGD DECAYED = SGD.defaults().weightDecay(0.02);
  private static final SGD AVERAGED = SGD.defaults().momentum(0.9);

  private static GradaGrad diagonal(SGD rule) {
    return GradaGrad.tuning(rule, 0.01).form(GradaGrad.Form.DIAGONAL);
  }

  @Override
  Map<String, Supplier<TunerBuilder<?>>> forms() {
    final Map<String, Supplier<TunerBuilder<?>>> forms = new LinkedHashMap<>();
    forms.put("scalar", () -> GradaGrad.tuning(PLAIN, 1));
    forms.put("scalar with decay", () -> GradaGrad.tuning(DECAYED, 1).rho(1).r(0.3).maxGrowth(2));
    forms.put("scalar with momentum", () -> GradaGrad.tuning(AVERAGED.weightDecay(0.01), 1).initialAccumulator(100));
    forms.put("AdaGrad-Norm", () -> GradaGrad.adaGradNorm(PLAIN, 30));
    forms.put("AdaGrad-Norm with decay", () -> GradaGrad.adaGradNorm(DECAYED, 30));
    forms.put("AdaGrad-Norm with momentum", () -> GradaGrad.adaGradNorm(AVERAGED, 30));
    forms.put("diagonal", () -> diagonal(DECAYED));
    forms.put("diagonal with momentum", () -> diagonal(AVERAGED).r(0.5).initialAccumulator(0.1));
    forms.put("by tensor scalar", () -> GradaGrad.tuning(DECAYED, 0.1).scope(Scope.TENSOR));
    forms.put("by group scalar", () -> GradaGrad.tuning(AVERAGED, 0.5).scope(Scope.GROUP).group("second", AVERAGED.momentum(0.5), 0.3));
    forms.put("by group AdaGrad-Norm", () -> GradaGrad.adaGradNorm(PLAIN, 9).scope(Scope.GROUP).group("second", DECAYED));
    forms.put("by tensor diagonal", () -> diagonal(PLAIN).scope(Scope.TENSOR));
    return forms;
  }

  @Test
  void words() {
    final Map<Supplier<GradaGrad>, Integer> expected = new LinkedHashMap<>();
    expected.put(() -> GradaGrad.tuning(PLAIN, 1), 6);
    expected.put(() -> GradaGrad.tuning(DECAYED, 1), 7);
    expected.put(() -> GradaGrad.tuning(AVERAGED, 1), 8);
    expected.put(() -> GradaGrad.tuning(AVERAGED.weightDecay(0.1), 1), 9);
    expected.put(() -> GradaGrad.adaGradNorm(PLAIN, 1), 4);
    expected.put(() -> GradaGrad.adaGradNorm(DECAYED, 1), 5);
    expected.put(() -> GradaGrad.adaGradNorm(AVERAGED, 1), 6);
    expected.put(() -> GradaGrad.adaGradNorm(AVERAGED.weightDecay(0.1), 1), 7);
    expected.put(() -> diagonal(PLAIN), 10);
    expected.put(() -> diagonal(DECAYED), 10);
    expected.put(() -> diagonal(AVERAGED), 12);
    expected.put(() -> diagonal(AVERAGED).nonFinite(NonFinite.UNCHECKED), 11);
    final int[] state = {1, 1, 2, 2, 0, 0, 1, 1, 3, 3, 4, 4};
    int i = 0;
    for (Map.Entry<Supplier<GradaGrad>, Integer> entry : expected.entrySet())
      try (Training training = new Training(DataType.FLOAT32, 0, 10);
          Optimizer optimizer = entry.getKey().get().build(training.on(device()))) {
            assertEquals(entry.getValue().doubleValue(), optimizer.wordsPerElement(), entry.getKey().get().description());
            assertEquals(state[i++], optimizer.slots().size(), entry.getKey().get().description());
          }
  }

  // v, both branches, the clamp, and their order: alpha and gamma first, then the rate.
  @Test
  void scalarsFollowTheFormulas() {
    final GradaGradScalars scalars = new GradaGradScalars(GradaGrad.tuning(PLAIN, 3).r(0.5));
    assertEquals(0, scalars.rate());
    scalars.update(0, 0);
    assertEquals(0, scalars.rate());
    scalars.update(4, 0); // v = 4
    assertEquals(4, scalars.alpha);
    assertEquals(1.5, scalars.rate());
    scalars.update(5, 3); // v = -1
    assertEquals(4, scalars.alpha);
    assertEquals(3 * Math.sqrt(1.25), scalars.gamma, 1e-15);
    scalars.update(5, 50); // v = -95, held at -2
    assertEquals(3 * Math.sqrt(1.25 * 1.5), scalars.gamma, 1e-15);
    scalars.update(5, -2); // v = 9
    assertEquals(13, scalars.alpha);
    assertEquals(3 * Math.sqrt(1.25 * 1.5 / 13), scalars.rate(), 1e-15);
  }

  /** On a parabola: the rate grows below the inverse of the curvature and falls above it; with rho below 1 also below 1 - rho. */
  @Test
  void theRateGrowsBelowTheInverseCurvatureAndFallsAboveIt() {
    for (double rho : new double[] {0.5, 1, 2, 3})
      for (double rate : new double[] {0.3, 0.6, 0.9, 1.1, 1.7})
        try (Training training = new Training(DataType.FLOAT64, 0, 100)) { // |x - target|^2 / 2, of the curvature 1
          final double loss = training.backward(1); // half of |g|^2
          try (Optimizer optimizer = GradaGrad.tuning(PLAIN, rate * Math.sqrt(2 * loss)).rho(rho).build(training.on(device()))) {
            assertEquals(rate, optimizer.step(loss).learnedScale(), 1e-12);
            final double next = optimizer.step(training.backward(2)).learnedScale();
            final boolean grows = rate < 1 && rate > 1 - rho;
            assertTrue(grows ? next > rate : next < rate, "rho " + rho + ": " + rate + " then " + next);
          }
        }
  }

  /** What the method is for: from rates that are far too small it gets where AdaGrad-Norm does not, in any form. */
  @Test
  void recoversFromRatesThatAreTooSmall() {
    final int steps = 150;
    final double start;
    try (Toy toy = Toy.of(DataType.FLOAT64, 100)) {
      start = toy.loss();
    }
    for (double rate : new double[] {1e-6, 1e-3}) {
      final double norm = lossAfter(GradaGrad.adaGradNorm(PLAIN, rate), steps);
      assertTrue(norm > 0.99 * start, norm + " of " + start);
      final double best = lossAfter(GradaGrad.tuning(PLAIN, 1), steps);
      for (GradaGrad form : List.of(
          GradaGrad.tuning(PLAIN, rate), GradaGrad.tuning(PLAIN, rate).scope(Scope.TENSOR), GradaGrad.tuning(AVERAGED, rate),
          GradaGrad.tuning(PLAIN, rate).form(GradaGrad.Form.DIAGONAL), GradaGrad.tuning(AVERAGED, rate).form(GradaGrad.Form.DIAGONAL))) {
        final double loss = lossAfter(form, steps);
        assertTrue(loss < best + 0.1 * (start - best), form.description() + ": " + loss + ", from " + start + ", best " + best);
      }
    }
  }

  private static double lossAfter(GradaGrad builder, int steps) {
    try (Toy toy = Toy.of(DataType.FLOAT64, 100);
        Optimizer optimizer = builder.build(toy.on(device()))) {
      toy.steps(optimizer, 1, steps);
      return toy.loss();
    }
  }

  @Test
  void adaGradNormIsTheFormulaOfItsPaper() {
    try (Training training = new Training(DataType.FLOAT64, 0.5, 60);
        Optimizer optimizer = GradaGrad.adaGradNorm(DECAYED, 2).initialAccumulator(9).build(training.on(device()))) {
      final double[] x = training.values();
      double square = 9;
      for (int step = 1; step <= 20; ++step) {
        final double loss = training.backward(step);
        final double[] g = new double[60];
        for (int i = 0; i < 60; ++i) {
          g[i] = training.gradient(i) + 0.02 * x[i];
          square += g[i] * g[i];
        }
        for (int i = 0; i < 60; ++i) x[i] -= 2 / Math.sqrt(square) * g[i];
        optimizer.step(loss);
      }
      assertArrayEquals(x, training.values(), 1e-12);
    }
  }

  @Test
  void diagonalWithRhoZeroIsAdaGrad() {
    final double[] expected = Toy.run(FixedRate.of(0.1, AdaGrad.defaults().epsilon(0).weightDecay(0.02)), Toy.of(DataType.FLOAT64, 50), 30);
    final GradaGrad gradaGrad = GradaGrad.tuning(DECAYED, 0.1).rho(0).form(GradaGrad.Form.DIAGONAL);
    assertArrayEquals(expected, Toy.run(gradaGrad, Toy.of(DataType.FLOAT64, 50), 30), 1e-12);
  }

  /** One element each by itself is the scalar form with a scope per tensor of one element. */
  @Test
  void diagonalIsTheScalarFormOfEachElement() {
    for (SGD rule : List.of(DECAYED, AVERAGED)) {
      final double[] scalar =
          Toy.run(GradaGrad.tuning(rule, 0.01).scope(Scope.TENSOR).r(0.4), Toy.inTensorsOfOne(DataType.FLOAT64, 40), 50);
      final GradaGrad diagonal = GradaGrad.tuning(rule, 0.01).form(GradaGrad.Form.DIAGONAL).r(0.4);
      assertArrayEquals(scalar, Toy.run(diagonal, Toy.of(DataType.FLOAT64, 40), 50), 1e-11);
    }
  }

  /** Gradients that do not depend on x make gamma grow by sqrt(2) a step, up to the bound; no number leaves its range. */
  @Test
  void growthStopsAtItsBound() {
    for (GradaGrad builder : List.of(GradaGrad.tuning(PLAIN, 1e-3), diagonal(PLAIN)))
      for (double bound : new double[] {100, 1e15}) {
        try (Training training = new Training(DataType.FLOAT32, 0, 300);
            Optimizer optimizer = builder.maxGrowth(bound).build(training.on(device()))) {
          final double first = builder.form == GradaGrad.Form.SCALAR ? 1e-3 : 0.01;
          for (int step = 1; step <= 150; ++step) {
            training.backward(step);
            for (int i = 0; i < 300; ++i) training.setGradient(i, 2);
            optimizer.step();
            final double gamma = optimizer.scalars().get("gamma")[0];
            final double wanted = first * Math.min(bound, Math.pow(2, (step - 1) / 2.0));
            assertEquals(wanted, gamma, 1e-4 * wanted, "step " + step);
          }
          for (double x : training.values()) assertTrue(Double.isFinite(x));
        }
      }
  }

  @Test
  void withoutAGradientNothingMoves() {
    for (Supplier<TunerBuilder<?>> form : forms().values()) {
      if (form.get().rule.coupledDecay() > 0 || form.get().groups.containsKey("second")) continue;
      try (Training training = new Training(DataType.FLOAT32, 0.5, 300);
          Optimizer optimizer = form.get().build(training.on(device()))) {
        final byte[] before = training.parameterBytes();
        for (int step = 1; step <= 2; ++step) optimizer.step(1); // its memory is zero
        assertArrayEquals(before, training.parameterBytes(), form.get().description());
        optimizer.step(training.backward(3));
        assertTrue(training.get(0) != 0 && !Arrays.equals(before, training.parameterBytes()));
      }
    }
  }

  /** Elements whose gradients are 0, so small that their squares are 0, or so large that they would be infinite. */
  @Test
  void diagonalTakesGradientsOfAnySize() {
    for (SGD rule : List.of(PLAIN, AVERAGED)) {
      try (Training training = new Training(DataType.FLOAT32, 0, 4);
          Optimizer optimizer = diagonal(rule).nonFinite(NonFinite.UNCHECKED).build(training.on(device()))) {
        final double[] before = training.values();
        for (int step = 1; step <= 8; ++step) {
          training.backward(step);
          training.setGradient(0, 0);
          training.setGradient(1, 1e-30);
          training.setGradient(2, step % 2 == 0 ? 1e30 : -1e30);
          optimizer.step();
        }
        final double[] after = training.values();
        assertEquals(before[0], after[0]);
        assertEquals(before[1], after[1]);
        assertTrue(Double.isFinite(after[2]) && after[2] != before[2] && after[3] != before[3]);
      }
    }
  }

  @Test
  void aGroupWithFactorZeroStays() {
    for (SGD rule : List.of(PLAIN, AVERAGED))
      for (GradaGrad.Form form : GradaGrad.Form.values()) {
        try (Training training = new Training(DataType.FLOAT32, 0.5, 100, 50);
            Optimizer optimizer = GradaGrad.tuning(rule, 0.1).form(form).group("second", rule, 0).build(training.on(device()))) {
          final double[] before = training.values();
          for (int step = 1; step <= STEPS; ++step) optimizer.step(training.backward(step));
          for (int i = 0; i < 150; ++i) assertEquals(i >= 100, before[i] == training.get(i));
        }
      }
  }

  @Test
  void aScheduleMultipliesTheRate() {
    try (Training training = new Training(DataType.FLOAT64, 0.5, 50);
        Optimizer optimizer = GradaGrad.tuning(PLAIN, 3).schedule(Schedule.of(0.5, 0)).build(training.on(device()))) {
      final double[] x = training.values();
      training.backward(1);
      double square = 0;
      for (int i = 0; i < 50; ++i) square += training.gradient(i) * training.gradient(i);
      for (int i = 0; i < 50; ++i) x[i] -= 1.5 / Math.sqrt(square) * training.gradient(i);
      optimizer.step();
      assertArrayEquals(x, training.values(), 1e-13);
      training.backward(2);
      optimizer.step();
      assertArrayEquals(x, training.values(), 1e-13);
    }
  }

  @Test
  void refusesWhatItCannotDo() {
    refused("SGD", () -> GradaGrad.tuning(Adam.defaults(), 1));
    refused("Nesterov", () -> GradaGrad.tuning(AVERAGED.nesterov(true), 1));
    refused("Nesterov", () -> GradaGrad.tuning(AVERAGED, 1).group("second", AVERAGED.nesterov(true)));
    for (double bad : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY})
      refused("initialRate", () -> GradaGrad.tuning(PLAIN, bad));
    final GradaGrad good = GradaGrad.tuning(PLAIN, 1);
    for (double bad : new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY}) {
      refused("rho", () -> good.rho(bad));
      refused("initialAccumulator", () -> good.initialAccumulator(bad));
    }
    for (double bad : new double[] {-0.1, 1.1, Double.NaN}) refused("r must", () -> good.r(bad));
    for (double bad : new double[] {0.9, 1e31, Double.NaN}) refused("maxGrowth", () -> good.maxGrowth(bad));
  }

  private static void refused(String word, Executable call) {
    final String message = assertThrows(IllegalArgumentException.class, call).getMessage();
    assertTrue(message.contains(word), message);
  }
}
