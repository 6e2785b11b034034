// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.steptuner.DataType;
import org.steptuner.NonFinite;
import org.steptuner.Optimizer;
import org.steptuner.Schedule;
import org.steptuner.Scope;
import org.steptuner.TestTensors;
import org.steptuner.rule.SGD;

class DistanceAdaptationTest extends TunerContract {
  private static DistanceAdaptation small(DistanceAdaptation tuner) {
    return tuner.initialRate(1e-3);
  }

  /** One of each, which share nothing. */
  private static Map<String, Supplier<DistanceAdaptation>> algorithms() {
    final Map<String, Supplier<DistanceAdaptation>> all = new LinkedHashMap<>();
    all.put("dual averaging", () -> small(DAdaptation.dualAveraging()));
    all.put("gradient descent", () -> small(DAdaptation.gradientDescent()));
    all.put("Prodigy's gradient descent", () -> small(Prodigy.gradientDescent()));
    all.put("Prodigy's dual averaging", () -> small(Prodigy.dualAveraging()));
    all.put("resetting", () -> small(DAdaptation.dualAveraging()).resetting());
    all.put("Prodigy's dual averaging with a bound", () -> small(Prodigy.dualAveraging()).gradientBound(2));
    return all;
  }

  @Override
  Map<String, Supplier<TunerBuilder<?>>> forms() {
    final Map<String, Supplier<TunerBuilder<?>>> forms = new LinkedHashMap<>();
    algorithms().forEach((name, builder) -> forms.put(name, builder::get));
    forms.put("dual averaging without its average", () -> small(DAdaptation.dualAveraging()).averaging(false));
    forms.put("gradient descent with a bound and limits",
        () -> small(DAdaptation.gradientDescent()).gradientBound(0.5).growthRate(1.5).baseRate(0.9));
    forms.put("by group dual averaging",
        () -> small(DAdaptation.dualAveraging()).scope(Scope.GROUP).group("second", SGD.defaults(), 0.5));
    forms.put("by tensor resetting", () -> small(DAdaptation.dualAveraging()).resetting().scope(Scope.TENSOR));
    forms.put("by tensor Prodigy's gradient descent", () -> small(Prodigy.gradientDescent()).scope(Scope.TENSOR));
    return forms;
  }

  /** A step reads g, then g, s and x0; it writes s and x, reads and writes the average. Where d is needed at once, it reads s twice. */
  @Test
  void words() {
    algorithms().forEach((name, builder) -> {
      final int observe = name.equals("resetting") || name.endsWith("bound") ? 2 : 1;
      for (boolean averaging : new boolean[] {true, false})
        for (NonFinite guard : new NonFinite[] {NonFinite.SKIP, NonFinite.UNCHECKED}) {
          try (Training training = new Training(DataType.FLOAT32, 0, 10);
              Optimizer optimizer =
                  builder.get().averaging(averaging).nonFinite(guard).clipNorm(1).gradientL1(true).build(training.on(device()))) {
            assertEquals(observe + (averaging ? 7 : 5), optimizer.wordsPerElement(), name);
            assertEquals(averaging ? 3 : 2, optimizer.slots().size(), name);
          }
        }
    });
  }

  /** Of the theorems: on a convex f with its solution at the distance D, d is never above D, and becomes a good part of it. */
  @Test
  void dNeverExceedsTheDistance() {
    algorithms().forEach((name, builder) -> {
      for (double[] solution : new double[][] {{7}, {3, -2, 0, 1e-3, -5, 4, 1}, {100, -1}}) {
        try (Absolute problem = new Absolute(solution); Optimizer optimizer = problem.build(builder.get().initialRate(1e-6))) {
          for (int step = 1; step <= 3000; ++step) {
            problem.differentiate();
            final double d = optimizer.step(problem.loss()).learnedScale();
            assertTrue(d <= problem.distance(), name + ": d = " + d + " at step " + step + ", D = " + problem.distance());
          }
          final double d = optimizer.report().learnedScale();
          assertTrue(d >= problem.distance() / 20, name + " ends with d = " + d + ", D = " + problem.distance());
        }
      }
    });
  }

  @Test
  void resetsAreFewAndTheAverageIsBetterThanWithoutThem() {
    final double[] losses = new double[2];
    for (int k = 0; k < 2; ++k) {
      final DistanceAdaptation tuner = DAdaptation.dualAveraging().initialRate(1e-6);
      if (k == 1) tuner.resetting();
      try (Absolute problem = new Absolute(7); Optimizer optimizer = problem.build(tuner)) {
        for (int step = 1; step <= 2000; ++step) {
          problem.differentiate();
          optimizer.step();
        }
        if (k == 1) {
          final double resets = optimizer.scalars().get("resets")[0];
          assertTrue(resets >= 10 && resets <= Math.log(7 / 1e-6) / Math.log(2), "resets " + resets);
        }
        optimizer.evaluating();
        losses[k] = problem.loss();
      }
    }
    assertTrue(losses[1] < losses[0] / 2, losses[0] + " and with resetting " + losses[1]);
  }

  /** A reset is of one step: x is x0 bit for bit, s is 0, d is the estimate, and the average is that of the points since. */
  @Test
  void aResetStartsAgainInOneStep(@TempDir Path folder) {
    try (Training training = new Training(DataType.FLOAT32, 0.1, SIZES);
        Training twin = new Training(DataType.FLOAT32, 0.1, SIZES);
        Optimizer optimizer = small(DAdaptation.dualAveraging()).resetting().build(training.on(device()));
        Optimizer other = small(DAdaptation.dualAveraging()).resetting().build(twin.on(device()))) {
      final byte[] start = training.parameterBytes();
      int resets = 0;
      for (int step = 1; step <= 60; ++step) {
        final double before = optimizer.report().learnedScale();
        final double d = optimizer.step(training.backward(step)).learnedScale();
        if (d == before) continue;
        ++resets;
        assertTrue(d > 2 * before);
        assertEquals(d, optimizer.scalars().get("d_hat")[0]);
        assertEquals(resets, optimizer.scalars().get("resets")[0]);
        assertArrayEquals(start, training.parameterBytes());
        for (int t = 0; t < SIZES.length; ++t)
          for (byte b : Memory.bytes(optimizer.state("sum", "t" + t))) assertEquals(0, b);
        optimizer.evaluating();
        assertArrayEquals(start, training.parameterBytes());
        optimizer.training();
        // What is saved now goes on alike.
        optimizer.save(folder.resolve("reset"));
        other.restore(folder.resolve("reset"));
        for (int k = 1; k <= 3; ++k) other.step(twin.backward(step + k));
        for (int k = 1; k <= 3; ++k) optimizer.step(training.backward(step + k));
        assertArrayEquals(training.parameterBytes(), twin.parameterBytes());
        assertSame(saved(optimizer, folder), saved(other, folder), "after a reset");
        step += 3;
      }
      assertTrue(resets >= 2, "resets " + resets);
    }
  }

  /** After a reset the run is that of a new optimizer whose first d it has. */
  @Test
  void afterAResetItIsAsIfBegunAnew() {
    try (Absolute problem = new Absolute(7, -3, 2);
        Absolute twin = new Absolute(7, -3, 2);
        Optimizer optimizer = problem.build(DAdaptation.dualAveraging().initialRate(1e-2).resetting())) {
      double d = 1e-2;
      while (optimizer.report().learnedScale() == d) {
        problem.differentiate();
        optimizer.step();
      }
      d = optimizer.report().learnedScale();
      try (Optimizer anew = twin.build(DAdaptation.dualAveraging().initialRate(d).resetting())) {
        for (int step = 1; step <= 20; ++step) {
          problem.differentiate();
          optimizer.step();
          twin.differentiate();
          anew.step();
          assertArrayEquals(twin.values(), problem.values(), 1e-12);
        }
        optimizer.evaluating();
        anew.evaluating();
        assertArrayEquals(twin.values(), problem.values(), 1e-12);
        assertEquals(anew.report().learnedScale(), optimizer.report().learnedScale(), 1e-12);
      }
    }
  }

  /** The weights of D-Adaptation's average are the d that the steps were made with; before the first step the average is x. */
  @Test
  void theAverageIsThatOfThePointsWhereGradientsWereTaken() {
    final List<String> names = List.of("dual averaging", "gradient descent");
    algorithms().forEach((name, builder) -> {
      if (!names.contains(name)) return;
      try (Training training = new Training(DataType.FLOAT64, 0.5, 50, 20);
          Optimizer optimizer = builder.get().build(training.on(device()))) {
        final double[] sum = new double[training.count()];
        double weights = 0;
        optimizer.evaluating();
        assertArrayEquals(new Training(DataType.FLOAT64, 0.5, 50, 20).values(), training.values());
        optimizer.training();
        for (int step = 1; step <= 30; ++step) {
          final double d = optimizer.report().learnedScale();
          for (int i = 0; i < sum.length; ++i) sum[i] += d * training.get(i);
          weights += d;
          optimizer.step(training.backward(step));
        }
        assertTrue(optimizer.report().learnedScale() > 2e-3, name);
        optimizer.evaluating();
        for (int i = 0; i < sum.length; ++i) assertEquals(sum[i] / weights, training.get(i), 1e-12, name);
      }
    });
  }

  @Test
  void withoutTheAverageTheStepsAreTheSame() {
    algorithms().forEach((name, builder) -> {
      try (Training one = new Training(DataType.FLOAT32, 0.5, SIZES);
          Training two = new Training(DataType.FLOAT32, 0.5, SIZES);
          Optimizer averaged = builder.get().build(one.on(device()));
          Optimizer plain = builder.get().averaging(false).build(two.on(device()))) {
        for (int step = 1; step <= STEPS; ++step) {
          averaged.step(one.backward(step));
          plain.step(two.backward(step));
        }
        assertArrayEquals(one.parameterBytes(), two.parameterBytes(), name);
        averaged.evaluating();
        assertTrue(averaged.isEvaluating());
        plain.evaluating();
        assertFalse(plain.isEvaluating());
      }
    });
  }

  /** The sums by which d is found early are those of the step itself: a bound that is nothing changes nothing but the way. */
  @Test
  void dIsTheSameFoundEarlyOrLate() {
    try (Training one = new Training(DataType.FLOAT64, 0.5, 400, 300);
        Training two = new Training(DataType.FLOAT64, 0.5, 400, 300);
        Optimizer late = small(Prodigy.dualAveraging()).group("second", SGD.defaults(), 0.3).clipNorm(5).build(one.on(device()));
        Optimizer early = small(Prodigy.dualAveraging()).group("second", SGD.defaults(), 0.3).clipNorm(5).gradientBound(1e-100)
            .build(two.on(device()))) {
      for (int step = 1; step <= 40; ++step) {
        late.step(one.backward(step));
        early.step(two.backward(step));
        assertEquals(late.report().learnedScale(), early.report().learnedScale(), 1e-11 * late.report().learnedScale());
      }
      assertTrue(late.report().learnedScale() > 1e-2);
      assertArrayEquals(one.values(), two.values(), 1e-10);
    }
  }

  @Test
  void aRateOfZeroChangesNothing(@TempDir Path folder) {
    algorithms().forEach((name, builder) -> {
      try (Training training = new Training(DataType.FLOAT32, 0.5, SIZES);
          Optimizer optimizer = builder.get().schedule(Schedule.of(0, 1, 1, 0, 1)).build(training.on(device()))) {
        final byte[] start = training.parameterBytes();
        optimizer.step(training.backward(1));
        assertArrayEquals(start, training.parameterBytes(), name);
        for (int step = 2; step <= 3; ++step) optimizer.step(training.backward(step));
        final Map<String, byte[]> before = saved(optimizer, folder);
        before.remove("manifest");
        final Map<String, double[]> scalars = optimizer.scalars();
        training.backward(4);
        optimizer.step();
        assertEquals(4, optimizer.steps());
        final Map<String, byte[]> after = saved(optimizer, folder);
        after.remove("manifest");
        assertSame(before, after, name);
        optimizer.scalars().forEach((key, values) -> assertArrayEquals(scalars.get(key), values, name + ", " + key));
      }
    });
  }

  @Test
  void aGroupWithFactorZeroStaysAndHasNoPartInD() {
    algorithms().forEach((name, builder) -> {
      try (Training both = new Training(DataType.FLOAT64, 0.5, 300, 200);
          Training first = new Training(DataType.FLOAT64, 0.5, 300);
          Optimizer together = builder.get().group("second", SGD.defaults(), 0).build(both.on(device()));
          Optimizer alone = builder.get().build(first.on(device()))) {
        final double[] start = both.values();
        for (int step = 1; step <= STEPS; ++step) {
          together.step(both.backward(step));
          alone.step(first.backward(step));
        }
        assertEquals(alone.report().learnedScale(), together.report().learnedScale(), name);
        for (int i = 0; i < 300; ++i) assertEquals(first.get(i), both.get(i), name);
        for (int i = 300; i < 500; ++i) assertEquals(start[i], both.get(i), name);
      }
    });
  }

  /** The d that is too small for float32 to square is learned all the same. */
  @Test
  void aTinyFirstBoundIsNoTrouble() {
    algorithms().forEach((name, builder) -> {
      final double[] d = new double[2];
      for (int k = 0; k < 2; ++k) {
        try (Training training = new Training(k == 0 ? DataType.FLOAT32 : DataType.FLOAT64, 0.1, 300);
            Optimizer optimizer = builder.get().initialRate(1e-13).build(training.on(device()))) {
          for (int step = 1; step <= 400; ++step) optimizer.step(training.backward(step));
          d[k] = optimizer.report().learnedScale();
        }
      }
      assertTrue(d[1] > 1e-12, name + ": " + d[1]);
      assertEquals(d[1], d[0], 0.01 * d[1], name);
    });
  }

  @Test
  void itWaitsForAGradient() {
    algorithms().forEach((name, builder) -> {
      try (Training training = new Training(DataType.FLOAT32, 0.5, 300);
          Training twin = new Training(DataType.FLOAT32, 0.5, 300);
          Optimizer optimizer = builder.get().build(training.on(device()));
          Optimizer other = builder.get().build(twin.on(device()))) {
        final byte[] before = training.parameterBytes();
        optimizer.step();
        assertArrayEquals(before, training.parameterBytes(), name);
        for (int step = 1; step <= 5; ++step) {
          optimizer.step(training.backward(step));
          other.step(twin.backward(step));
        }
        assertArrayEquals(twin.parameterBytes(), training.parameterBytes(), name);
      }
    });
  }

  /** A network that fails once in a step: made again, the step is as if it had not failed. */
  @Test
  void aReducerThatThrowsCostsNothing() {
    algorithms().forEach((name, builder) -> {
      final int[] calls = {0};
      try (Training lossy = new Training(DataType.FLOAT64, 0.5, 300);
          Training safe = new Training(DataType.FLOAT64, 0.5, 300);
          Optimizer one = builder.get().sumReducer((sums, count) -> {
            if (++calls[0] == 5) throw new UnsupportedOperationException("connection lost");
          }).build(lossy.on(device()));
          Optimizer other = builder.get().sumReducer((sums, count) -> {}).build(safe.on(device()))) {
        for (int step = 1; step <= 6; ++step) {
          final double loss = lossy.backward(step);
          if (step == 4) assertThrows(UnsupportedOperationException.class, () -> one.step(loss), name);
          one.step(loss);
          other.step(safe.backward(step));
        }
        assertEquals(8, calls[0], name + ": in the first call the processes agree");
        assertEquals(other.report().learnedScale(), one.report().learnedScale(), name);
        assertArrayEquals(safe.parameterBytes(), lossy.parameterBytes(), name);
      }
    });
  }

  @Test
  void limitsHold() {
    algorithms().forEach((name, builder) -> {
      try (Training training = new Training(DataType.FLOAT32, 0.1, 500);
          Optimizer optimizer = builder.get().maxRate(0.0031).growthRate(2.5).build(training.on(device()))) {
        double before = 1e-3;
        for (int step = 1; step <= 60; ++step) {
          final double d = optimizer.step(training.backward(step)).learnedScale();
          assertTrue(d >= before && d <= 0.0031 && d <= 2.5 * before, name + ": " + d);
          before = d;
        }
        assertNotEquals(1e-3, before, name);
      }
    });
  }

  @Test
  void refusesWhatItCannotDo() {
    final DistanceAdaptation plain = DAdaptation.dualAveraging();
    for (double bad : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY})
      assertThrows(IllegalArgumentException.class, () -> plain.initialRate(bad));
    for (double bad : new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY})
      assertThrows(IllegalArgumentException.class, () -> plain.gradientBound(bad));
    assertThrows(IllegalArgumentException.class, () -> plain.growthRate(0.99));
    assertThrows(IllegalArgumentException.class, () -> plain.maxRate(Double.NaN));
    assertThrows(IllegalArgumentException.class, () -> plain.baseRate(-1));
    assertThrows(IllegalArgumentException.class, () -> plain.group("second", SGD.defaults().weightDecay(0.1)));
    assertThrows(IllegalArgumentException.class, () -> plain.group("second", SGD.defaults().momentum(0.1)));
    for (DistanceAdaptation other : List.of(DAdaptation.gradientDescent(), Prodigy.gradientDescent(), Prodigy.dualAveraging()))
      assertThrows(IllegalArgumentException.class, other::resetting);
    try (Training training = new Training(DataType.FLOAT32, 0.5, 10)) {
      assertThrows(IllegalArgumentException.class, () -> DAdaptation.dualAveraging().maxRate(1e-8).build(training.on(device())));
      assertThrows(
          IllegalArgumentException.class, () -> DAdaptation.dualAveraging().resetting().growthRate(2).build(training.on(device())));
    }
  }

  /** f = |x - x*|_1 from x = 0, in float64. */
  private static final class Absolute implements AutoCloseable {
    private final TestTensors tensors;
    private final double[] solution;

    Absolute(double... solution) {
      this.solution = solution;
      tensors = TestTensors.of(DataType.FLOAT64, solution.length).parameters(i -> 0);
    }

    Optimizer build(DistanceAdaptation tuner) {
      return tuner.build(tensors.on(device()));
    }

    void differentiate() {
      final double[] x = values();
      tensors.gradients(i -> Math.signum(x[i] - solution[i]));
    }

    double[] values() {
      return tensors.values();
    }

    double loss() {
      final double[] x = values();
      double sum = 0;
      for (int i = 0; i < x.length; ++i) sum += Math.abs(x[i] - solution[i]);
      return sum;
    }

    double distance() {
      double sum = 0;
      for (double s : solution) sum += s * s;
      return Math.sqrt(sum);
    }

    @Override
    public void close() {
      tensors.close();
    }
  }
}
