// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static java.lang.Math.pow;
import static java.lang.Math.sqrt;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.steptuner.Refusal.assertRefused;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.steptuner.DataType;
import org.steptuner.NonFinite;
import org.steptuner.Optimizer;
import org.steptuner.SavedState;
import org.steptuner.Schedule;
import org.steptuner.Scope;
import org.steptuner.TestTensors;
import org.steptuner.rule.Rule;
import org.steptuner.rule.ScheduleFreeAdamW;
import org.steptuner.rule.ScheduleFreeSGD;

/** The Schedule-Free rules: the average that they answer for, its weights, and the tuners that may go over them. */
class ScheduleFreeTest extends TunerContract {
  private static final Schedule WARMUP = Schedule.warmup(4);

  @Override
  Map<String, Supplier<TunerBuilder<?>>> forms() {
    final Map<String, Supplier<TunerBuilder<?>>> forms = new LinkedHashMap<>();
    forms.put("SGD", () -> FixedRate.of(0.3, ScheduleFreeSGD.defaults().weightDecay(0.01)).schedule(WARMUP));
    forms.put("AdamW", () -> FixedRate.of(0.05, ScheduleFreeAdamW.defaults().betas(0.8, 0.95).weightDecay(0.1)).schedule(WARMUP));
    forms.put("AdamW, power of the step", () -> FixedRate.of(0.05, ScheduleFreeAdamW.defaults().stepPower(0.75)));
    forms.put("Mechanic over SGD", () -> Mechanic.tuning(ScheduleFreeSGD.defaults()).initialScale(0.01).schedule(WARMUP));
    forms.put("Mechanic TORCH over AdamW",
        () -> Mechanic.tuning(ScheduleFreeAdamW.defaults()).variant(Mechanic.Variant.TORCH).initialScale(0.01));
    final Rule rule = ScheduleFreeAdamW.defaults().betas(0.8, 0.95).weightDecay(0.05);
    forms.put("Prodigy", () -> Prodigy.tuning(rule).initialRate(0.01));
    forms.put("Prodigy accumulated",
        () -> Prodigy.tuning(rule).initialRate(0.01).displacement(Prodigy.Displacement.ACCUMULATED).schedule(Schedule.of(0, 0.5, 1)));
    forms.put("sliced Prodigy", () -> Prodigy.tuning(rule).initialRate(0.01).slice(3));
    return forms;
  }

  /** x, y and z of one element, kept as they are, with what one group has of its own. */
  private static final class Reference {
    final double beta1;
    final double stepPower;
    final double ratePower;
    final double decay;
    final double factor;
    final boolean adam;
    double weights;
    double largest;
    double c;
    double[] x;
    double[] y;
    double[] z;
    double[] v;

    Reference(Rule rule, double factor, double[] start) {
      adam = rule instanceof ScheduleFreeAdamW;
      beta1 = rule instanceof ScheduleFreeAdamW a ? a.beta1() : ((ScheduleFreeSGD) rule).beta1();
      stepPower = rule instanceof ScheduleFreeAdamW a ? a.stepPower() : ((ScheduleFreeSGD) rule).stepPower();
      ratePower = rule instanceof ScheduleFreeAdamW a ? a.ratePower() : ((ScheduleFreeSGD) rule).ratePower();
      decay = rule instanceof ScheduleFreeAdamW a ? a.weightDecay() : ((ScheduleFreeSGD) rule).weightDecay();
      this.factor = factor;
      x = start.clone();
      y = start.clone();
      z = start.clone();
      v = new double[start.length];
    }

    /** @param at the point that the decay is of */
    void step(int t, double rate, double[] g, double[] at) {
      final double own = rate * factor;
      largest = Math.max(largest, own);
      final double w = pow(t, stepPower) * pow(largest, ratePower);
      weights += w;
      c = weights == 0 ? 0 : w / weights;
      for (int i = 0; i < x.length; ++i) {
        v[i] = 0.999 * v[i] + 0.001 * g[i] * g[i];
        final double d = (adam ? g[i] / (sqrt(v[i] / (1 - pow(0.999, t))) + 1e-8) : g[i]) + decay * at[i];
        z[i] -= own * d;
        x[i] = (1 - c) * x[i] + c * z[i];
        y[i] = (1 - beta1) * z[i] + beta1 * x[i];
      }
    }
  }

  private static TestTensors tensors(DataType type) {
    return new TestTensors().add("a", type, 70).group("second").add("b", type, 40).parameters(i -> 1 + Math.sin(i));
  }

  private static double gradient(int i, long t) {
    return Math.sin(1.3 * i + 0.7 * t) + 0.4;
  }

  private static void step(TestTensors tensors, Optimizer optimizer, int t) {
    tensors.gradients(i -> gradient(i, t));
    optimizer.step();
  }

  /** Of every group by its own beta1, factor and largest rate, in all types, after a warm-up and a schedule that falls and rises. */
  @Test
  void whatIsEvaluatedIsTheAverage() {
    final double[] schedule = {0, 0.5, 1, 0.25, 1, 2, 0, 1};
    for (DataType type : new DataType[] {DataType.FLOAT64, DataType.FLOAT32, DataType.BFLOAT16}) {
      final double tolerance = type == DataType.FLOAT64 ? 1e-14 : type == DataType.FLOAT32 ? 2e-6 : 0.05;
      for (boolean adam : new boolean[] {false, true}) {
        final Rule first =
            adam ? ScheduleFreeAdamW.defaults().weightDecay(0.1) : ScheduleFreeSGD.defaults().beta1(0.7).stepPower(1.5).ratePower(1);
        final Rule second =
            adam ? ScheduleFreeAdamW.defaults().betas(0.6, 0.999) : ScheduleFreeSGD.defaults().weightDecay(0.2).ratePower(0);
        try (TestTensors tensors = tensors(type);
            Optimizer optimizer =
                FixedRate.of(0.2, first).group("second", second, 0.5).schedule(Schedule.of(schedule)).build(tensors.on(device()))) {
          final Reference one = new Reference(first, 1, tensors.parameters(0).toDoubles());
          final Reference two = new Reference(second, 0.5, tensors.parameters(1).toDoubles());
          for (int t = 1; t <= 20; ++t) {
            step(tensors, optimizer, t);
            final double rate = 0.2 * schedule[Math.min(t, schedule.length) - 1];
            one.step(t, rate, tensors.gradients(0).toDoubles(), one.y.clone());
            two.step(t, rate, tensors.gradients(1).toDoubles(), two.y.clone());
            final String what = type + (adam ? ", AdamW" : ", SGD") + ", step " + t;
            assertArrayEquals(one.y, tensors.parameters(0).toDoubles(), tolerance, what);
            assertArrayEquals(two.y, tensors.parameters(1).toDoubles(), tolerance, what);
            optimizer.evaluating();
            assertArrayEquals(one.x, tensors.parameters(0).toDoubles(), tolerance, what);
            assertArrayEquals(two.x, tensors.parameters(1).toDoubles(), tolerance, what);
            optimizer.training();
            assertArrayEquals(new double[] {one.c, two.c}, optimizer.scalars().get("c"), 1e-15, what);
            assertArrayEquals(new double[] {one.largest, two.largest}, optimizer.scalars().get("lr_max"), 1e-15, what);
            assertArrayEquals(new double[] {one.weights, two.weights}, optimizer.scalars().get("weight_sum"), 1e-12, what);
          }
        }
      }
    }
  }

  /** Mechanic multiplies the whole run of the rule, its average included: ref + S (x - ref); the decay is of the true parameters. */
  @Test
  void underMechanicTheScaleMultipliesTheAverageToo() {
    for (Mechanic.Variant variant : Mechanic.Variant.values())
      for (Rule rule : List.of(ScheduleFreeSGD.defaults(), ScheduleFreeAdamW.defaults().weightDecay(0.1)))
        for (Scope scope : Scope.values())
          try (TestTensors tensors = tensors(DataType.FLOAT64);
              Optimizer optimizer =
                  Mechanic.tuning(rule).variant(variant).delta(Mechanic.Delta.STORED).initialScale(0.01).scope(scope).schedule(WARMUP)
                      .group("second", rule, 0.5).boundedDecay(false).build(tensors.on(device()))) {
                        final double[][] start = {tensors.parameters(0).toDoubles(), tensors.parameters(1).toDoubles()};
                        final Reference[] runs = {new Reference(rule, 1, start[0]), new Reference(rule, 0.5, start[1])};
                        for (int t = 1; t <= 25; ++t) {
                          final double[][] at = {tensors.parameters(0).toDoubles(), tensors.parameters(1).toDoubles()};
                          step(tensors, optimizer, t);
                          for (int k = 0; k < 2; ++k) {
                            runs[k].step(t, WARMUP.at(t), tensors.gradients(k).toDoubles(), at[k]);
                            final double s = optimizer.report().learnedScale(scope == Scope.ALL ? 0 : k);
                            final String what = variant + " over " + rule + ", " + scope + ", step " + t;
                            assertArrayEquals(scaled(start[k], runs[k].y, s), tensors.parameters(k).toDoubles(), 1e-12, what);
                            optimizer.evaluating();
                            assertArrayEquals(scaled(start[k], runs[k].x, s), tensors.parameters(k).toDoubles(), 1e-12, what);
                            optimizer.training();
                          }
                        }
                        assertTrue(optimizer.report().learnedScale() != 0.01, "the scale has been learned");
                      }
  }

  private static double[] scaled(double[] reference, double[] run, double scale) {
    final double[] all = new double[run.length];
    for (int i = 0; i < all.length; ++i) all[i] = reference[i] + scale * (run[i] - reference[i]);
    return all;
  }

  /** Prodigy's formulas with z in the place of x, x and y beside it, in two groups; a step without a rate changes nothing. */
  @Test
  void prodigyEvaluatesTheAverageOfItsSteps() {
    final ScheduleFreeAdamW first = new ScheduleFreeAdamW(0.8, 0.95, 1e-6, 0.5, 1, 0.1);
    final ScheduleFreeAdamW second = new ScheduleFreeAdamW(0.6, 0.9, 1e-4, 0, 2, 0);
    for (Prodigy.Displacement displacement : List.of(Prodigy.Displacement.STORED, Prodigy.Displacement.ACCUMULATED))
      for (DataType type : new DataType[] {DataType.FLOAT64, DataType.FLOAT32})
        try (TestTensors tensors = tensors(type);
            Optimizer optimizer =
                Prodigy.tuning(first).group("second", second, 0.5).initialRate(1e-3).growthRate(1.4).displacement(displacement)
                    .schedule(Schedule.of(0.5, 0, 1)).build(tensors.on(device()))) {
                      final ProdigyReference reference = new ProdigyReference(tensors, first, second);
                      for (int t = 1; t <= 15; ++t) {
                        step(tensors, optimizer, t);
                        reference.step(t == 1 ? 0.5 : t == 2 ? 0 : 1, tensors);
                        final double tolerance = type == DataType.FLOAT64 ? 1e-12 : 2e-5;
                        final String what = displacement + ", " + type + ", step " + t;
                        assertEquals(reference.d, optimizer.report().learnedScale(), tolerance * reference.d, what);
                        for (int k = 0; k < 2; ++k) {
                          assertArrayEquals(reference.y[k], tensors.parameters(k).toDoubles(), tolerance, what);
                          optimizer.evaluating();
                          assertArrayEquals(reference.x[k], tensors.parameters(k).toDoubles(), tolerance, what);
                          optimizer.training();
                        }
                        assertArrayEquals(reference.c, optimizer.scalars().get("c"), tolerance, what);
                      }
                      assertTrue(reference.d > 0.02, "the estimate has grown");
                    }
  }

  private static final class ProdigyReference {
    final ScheduleFreeAdamW[] rules;
    final double[][] start = new double[2][];
    final double[][] x = new double[2][];
    final double[][] y = new double[2][];
    final double[][] z = new double[2][];
    final double[][] v = new double[2][];
    final double[][] s = new double[2][];
    final double[] c = new double[2];
    final double[] weights = new double[2];
    final double[] largest = new double[2];
    double d = 1e-3;
    double most = 1e-3;
    double numerator;
    int made;

    ProdigyReference(TestTensors tensors, ScheduleFreeAdamW... rules) {
      this.rules = rules;
      for (int k = 0; k < 2; ++k) {
        start[k] = tensors.parameters(k).toDoubles();
        x[k] = start[k].clone();
        y[k] = start[k].clone();
        z[k] = start[k].clone();
        v[k] = new double[x[k].length];
        s[k] = new double[x[k].length];
      }
    }

    void step(double rate, TestTensors tensors) {
      if (rate == 0) return;
      ++made;
      final double old = d;
      final double beta3 = sqrt(rules[0].beta2());
      double norm = 0;
      numerator *= beta3;
      for (int k = 0; k < 2; ++k)
        for (int i = 0; i < x[k].length; ++i) {
          final double g = tensors.gradients(k).get(i);
          final double r = old * rate * (k == 0 ? 1 : 0.5);
          numerator += old * r * g * (start[k][i] - z[k][i]);
          s[k][i] = beta3 * s[k][i] + old * r * g;
          norm += Math.abs(s[k][i]);
        }
      final double estimate = numerator / norm;
      most = Math.max(most, estimate);
      d = Math.min(most, (old == 1e-3 ? Math.max(old, estimate) : old) * 1.4);
      for (int k = 0; k < 2; ++k) {
        final ScheduleFreeAdamW rule = rules[k];
        final double r = old * rate * (k == 0 ? 1 : 0.5);
        largest[k] = Math.max(largest[k], r);
        final double w = pow(made, rule.stepPower()) * pow(largest[k], rule.ratePower());
        weights[k] += w;
        c[k] = w / weights[k];
        for (int i = 0; i < x[k].length; ++i) {
          final double g = tensors.gradients(k).get(i);
          v[k][i] = rule.beta2() * v[k][i] + (1 - rule.beta2()) * old * old * g * g;
          z[k][i] -= r * (d * g / (sqrt(v[k][i]) + d * rule.epsilon()) + rule.weightDecay() * y[k][i]);
          x[k][i] += c[k] * (z[k][i] - x[k][i]);
          y[k][i] = (1 - rule.beta1()) * z[k][i] + rule.beta1() * x[k][i];
        }
      }
    }
  }

  /** While d is small its steps are less than bfloat16 can tell apart; the estimate grows all the same. */
  @Test
  void prodigyGrowsWithShortParameters() {
    final double[] grown = new double[2];
    for (int k = 0; k < 2; ++k)
      try (TestTensors tensors = tensors(k == 0 ? DataType.FLOAT32 : DataType.BFLOAT16);
          Optimizer optimizer = Prodigy.tuning(ScheduleFreeAdamW.defaults()).initialRate(1e-6).growthRate(2).build(tensors.on(device()))) {
            for (int t = 1; t <= 12; ++t) step(tensors, optimizer, t);
            grown[k] = optimizer.report().learnedScale();
          }
    assertTrue(grown[0] > 1e-4, "d grew to " + grown[0]);
    assertEquals(grown[0], grown[1], 0.02 * grown[0]);
  }

  @Test
  void prodigyHasNoRecomputedFormOverThem() {
    try (TestTensors tensors = tensors(DataType.FLOAT64)) {
      assertRefused(
          IllegalArgumentException.class,
          () -> Prodigy.tuning(ScheduleFreeAdamW.defaults()).displacement(Prodigy.Displacement.RECOMPUTED).build(tensors.on(device())),
          "RECOMPUTED", "ScheduleFreeAdamW", "STORED");
      assertRefused(
          IllegalArgumentException.class,
          () -> Prodigy.tuning(ScheduleFreeAdamW.defaults()).momentumSchedule(Schedule.constant()).build(tensors.on(device())),
          "momentumSchedule", "Prodigy");
    }
  }

  /** A checkpoint holds both points, and the weights of the average. */
  @Test
  void checkpointsHoldBothPoints(@TempDir Path folder) {
    final Path file = folder.resolve("saved");
    for (Rule rule : List.of(ScheduleFreeSGD.defaults(), ScheduleFreeAdamW.defaults()))
      for (boolean evaluating : new boolean[] {false, true})
        try (TestTensors one = tensors(DataType.BFLOAT16);
            TestTensors two = tensors(DataType.BFLOAT16).parameters(i -> 7);
            Optimizer saved = FixedRate.of(0.1, rule).schedule(WARMUP).build(one.on(device()));
            Optimizer restored = FixedRate.of(0.1, rule).schedule(WARMUP).build(two.on(device()))) {
              for (int t = 1; t <= 6; ++t) step(one, saved, t);
              if (evaluating) saved.evaluating();
              saved.save(file);
              restored.evaluating();
              restored.restore(file);
              if (!evaluating) one.assertSameParameters(two, "training");
              saved.evaluating();
              restored.evaluating();
              one.assertSameParameters(two, "evaluating");
              saved.training();
              restored.training();
              for (int t = 7; t <= 12; ++t) {
                step(one, saved, t);
                step(two, restored, t);
              }
              one.assertSameParameters(two, "resumed");
              SavedState.of(saved).assertSame(SavedState.of(restored), "resumed");
            }
  }

  /** The documented failure: short parameters at a fixed rate do not follow the average, those of float32 do. */
  @Test
  void shortParametersLoseTheAverage() {
    final double[] distance = new double[2];
    for (int k = 0; k < 2; ++k)
      try (TestTensors tensors = tensors(k == 0 ? DataType.FLOAT32 : DataType.BFLOAT16);
          Optimizer optimizer = FixedRate.of(0.1, ScheduleFreeSGD.defaults()).build(tensors.on(device()))) {
            final SplittableRandom random = new SplittableRandom(5);
            for (int t = 1; t <= 3000; ++t) {
              final double[] x = tensors.values();
              tensors.gradients(i -> (x[i] - 3) * (1 + i % 10) / 10 + random.nextDouble(-0.1, 0.1));
              optimizer.step();
            }
            optimizer.evaluating();
            for (double x : tensors.values()) distance[k] += (x - 3) * (x - 3);
          }
    assertTrue(distance[1] > 10 * distance[0], "distances " + distance[0] + " and " + distance[1]);
  }

  /** Until a rate is positive nothing moves and nothing has weight; with a ratePower of 0 such steps count. */
  @Test
  void stepsWithoutARateHaveNoWeight() {
    for (double power : new double[] {0, 2})
      try (TestTensors tensors = tensors(DataType.FLOAT64).gradients(i -> 1);
          Optimizer optimizer =
              FixedRate.of(0.5, ScheduleFreeSGD.defaults().ratePower(power)).schedule(Schedule.of(0, 0, 1)).build(tensors.on(device()))) {
                final double[] start = tensors.values();
                optimizer.step();
                optimizer.step();
                assertArrayEquals(start, tensors.values(), 0);
                assertEquals(power == 0 ? 0.5 : 0, optimizer.scalars().get("c")[0]);
                optimizer.step();
                assertEquals(power == 0 ? 1 / 3.0 : 1, optimizer.scalars().get("c")[0]);
                optimizer.evaluating();
                final double x = start[0] - 0.5 * (power == 0 ? 1 / 3.0 : 1);
                assertEquals(x, tensors.parameters(0).get(0), 1e-15);
              }
  }

  /** A sum of weights that overflows is said, before anything has changed. */
  @Test
  void weightsThatOverflowAreRefused() {
    try (TestTensors tensors = tensors(DataType.FLOAT64).gradients(i -> 1);
        Optimizer optimizer =
            FixedRate.of(1e200, ScheduleFreeSGD.defaults()).schedule(Schedule.of(1e-200, 1, 1e-200)).build(tensors.on(device()))) {
      optimizer.step(3);
      final SavedState before = SavedState.of(optimizer);
      assertRefused(IllegalStateException.class, () -> optimizer.step(4), "weights", "step 2", "ScheduleFreeSGD");
      before.assertSame(SavedState.of(optimizer), "refused");
      assertEquals(3, optimizer.report().loss());
    }
  }

  /** Those whose steps would leave x, y and z at odds say so when they are built. */
  @Test
  void otherTunersRefuseThem() {
    final Rule sgd = ScheduleFreeSGD.defaults();
    final Rule adam = ScheduleFreeAdamW.defaults();
    final Map<String, Supplier<TunerBuilder<?>>> refusing = new LinkedHashMap<>();
    refusing.put("Hypergradient", () -> Hypergradient.tuning(adam, 0.1, 0.1));
    refusing.put("NewtonRate", () -> NewtonRate.tuning(sgd, 0.1).interval(3));
    refusing.put("CDAT", () -> CDAT.tuning(sgd).curvature(u -> 1));
    refusing.put("Polyak", () -> Polyak.tuning(adam));
    refusing.put("Armijo", () -> Armijo.tuning(sgd, () -> 0));
    refusing.put("ExactSharpness", () -> ExactSharpness.tuning(sgd, (v, hv) -> {}));
    refusing.put("MetaOptimize", () -> MetaOptimize.tuning(adam));
    refusing.put("DAdaptation", () -> DAdaptation.tuning(adam));
    refusing.put("MoMo", () -> MoMo.tuning(sgd));
    refusing.put("Prodigy", () -> Prodigy.tuning(sgd));
    try (TestTensors tensors = tensors(DataType.FLOAT64)) {
      refusing.forEach(
          (name, builder) -> assertRefused(
              IllegalArgumentException.class, () -> builder.get().build(tensors.on(device())), "ScheduleFree"));
    }
  }

  /** 5 words as SGD with momentum, 7 as AdamW; Mechanic adds 4 to either, as over any rule; Prodigy moves 14. */
  @Test
  void words() {
    final Map<TunerBuilder<?>, Double> words = new LinkedHashMap<>();
    words.put(FixedRate.of(1, ScheduleFreeSGD.defaults()).nonFinite(NonFinite.UNCHECKED), 5.0);
    words.put(FixedRate.of(1, ScheduleFreeAdamW.defaults()).nonFinite(NonFinite.UNCHECKED), 7.0);
    words.put(Mechanic.tuning(ScheduleFreeSGD.defaults()), 9.0);
    words.put(Mechanic.tuning(ScheduleFreeAdamW.defaults()), 11.0);
    words.put(Prodigy.tuning(ScheduleFreeAdamW.defaults()), 14.0);
    words.put(Prodigy.tuning(ScheduleFreeAdamW.defaults()).displacement(Prodigy.Displacement.ACCUMULATED), 14.0);
    try (TestTensors tensors = tensors(DataType.FLOAT32)) {
      words.forEach((builder, count) -> {
        try (Optimizer optimizer = builder.build(tensors.on(device()))) {
          assertEquals(count, optimizer.wordsPerElement(), builder.description());
        }
      });
    }
  }
}
