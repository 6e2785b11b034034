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
import org.steptuner.Optimizer;
import org.steptuner.Scope;
import org.steptuner.rule.Adam;
import org.steptuner.rule.SGD;
import org.steptuner.tuner.DoG.Displacement;

class DoGTest extends TunerContract {
  private static final SGD PLAIN = SGD.defaults();
  private static final SGD DECAYED = SGD.defaults().weightDecay(0.02);

  private static DoG dog(SGD rule) {
    return DoG.tuning(rule).relativeDistance(1e-3);
  }

  @Override
  Map<String, Supplier<TunerBuilder<?>>> forms() {
    final Map<String, Supplier<TunerBuilder<?>>> forms = new LinkedHashMap<>();
    forms.put("DoG", () -> dog(PLAIN));
    forms.put("DoG recomputed", () -> dog(PLAIN).displacement(Displacement.RECOMPUTED));
    forms.put("DoG with decay", () -> dog(DECAYED).factor(1.5).epsilon(1));
    forms.put("DoG with decay, averaged", () -> dog(DECAYED).averaging(8));
    forms.put("DoG recomputed, averaged", () -> dog(PLAIN).averaging(0).displacement(Displacement.RECOMPUTED));
    forms.put("DoG from a first step", () -> dog(PLAIN).initialStep(1e-3));
    forms.put("DoWG", () -> DoG.weighted(PLAIN).relativeDistance(0.1));
    forms.put("by tensor L-DoG", () -> DoG.layerwise(DECAYED).relativeDistance(1e-2));
    forms.put("by group DoG", () -> dog(PLAIN).scope(Scope.GROUP).group("second", DECAYED, 0.5).displacement(Displacement.RECOMPUTED));
    forms.put("by tensor DoWG", () -> DoG.weighted(DECAYED).relativeDistance(0.1).scope(Scope.TENSOR));
    return forms;
  }

  @Test
  void words() {
    final Map<Supplier<DoG>, int[]> expected = new LinkedHashMap<>(); // words, and those of state
    expected.put(() -> dog(PLAIN), new int[] {6, 1});
    expected.put(() -> dog(PLAIN).displacement(Displacement.RECOMPUTED), new int[] {5, 1});
    expected.put(() -> dog(DECAYED), new int[] {7, 1});
    expected.put(() -> DoG.weighted(PLAIN).averaging(8), new int[] {8, 2});
    expected.put(() -> dog(DECAYED).displacement(Displacement.RECOMPUTED).averaging(8), new int[] {8, 2});
    expected.forEach((builder, wanted) -> {
      try (Training training = new Training(DataType.FLOAT32, 0, 10);
          Optimizer optimizer = builder.get().build(training.on(device()))) {
        assertEquals(wanted[0], optimizer.wordsPerElement(), builder.get().description());
        assertEquals(wanted[1], optimizer.slots().size(), builder.get().description());
      }
    });
  }

  /** Against the papers' formulas in Java, over every scope, with groups that differ in decay and rate. */
  @Test
  void agreesWithTheFormulas() {
    final int[] sizes = {7, 130, 1, 20};
    for (boolean weighted : new boolean[] {false, true})
      for (Scope scope : Scope.values())
        for (Displacement displacement : Displacement.values()) {
          final DoG builder =
              (weighted ? DoG.weighted(PLAIN) : DoG.tuning(PLAIN)).relativeDistance(1e-2).scope(scope).displacement(displacement)
                  .group("b", SGD.defaults().weightDecay(0.1), 0.7).averaging(8);
          try (Toy toy = new Toy(DataType.FLOAT64, sizes, new String[] {"a", "b", "a", "b"});
              Optimizer optimizer = builder.build(toy.on(device()))) {
            final int scopes = scope == Scope.ALL ? 1 : scope == Scope.GROUP ? 2 : 4;
            final double[] x = toy.values();
            final double[] start = x.clone();
            final double[] average = new double[x.length];
            final double[] r = new double[scopes];
            final double[] gradients = new double[scopes];
            for (int step = 1; step <= 40; ++step) {
              final double[] g = new double[x.length];
              final double[] distance = new double[scopes];
              final double[] norm = new double[scopes];
              final double[] square = new double[scopes];
              for (int i = 0; i < x.length; ++i) {
                final int s = scope(scope, sizes, i);
                g[i] = Toy.gradient(step, i, x[i]) + (second(sizes, i) ? 0.1 * x[i] : 0);
                distance[s] += (x[i] - start[i]) * (x[i] - start[i]);
                norm[s] += start[i] * start[i];
                square[s] += g[i] * g[i];
              }
              for (int s = 0; s < scopes; ++s) {
                r[s] = Math.max(step == 1 ? 1e-2 * (1 + Math.sqrt(norm[s])) : r[s], Math.sqrt(distance[s]));
                gradients[s] += weighted ? r[s] * r[s] * square[s] : square[s];
              }
              for (int i = 0; i < x.length; ++i) {
                final int s = scope(scope, sizes, i);
                final double eta = (weighted ? r[s] * r[s] : r[s]) / Math.sqrt(gradients[s] + 1e-8);
                x[i] -= (second(sizes, i) ? 0.7 : 1) * eta * g[i];
                average[i] += 9 / (step + 8.0) * (x[i] - average[i]);
              }
              toy.backward(step);
              optimizer.step();
              assertArrayEquals(r, optimizer.scalars().get("r"), 1e-10);
              assertArrayEquals(gradients, optimizer.scalars().get("G"), 1e-10 * gradients[0]);
            }
            assertArrayEquals(x, toy.values(), 1e-10, builder.description());
            int at = 0;
            for (int t = 0; t < sizes.length; at += sizes[t++])
              assertArrayEquals(
                  Arrays.copyOfRange(average, at, at + sizes[t]), Memory.values(optimizer.state("average", "tensor " + t)), 1e-10);
          }
        }
  }

  private static int tensor(int[] sizes, int i) {
    int t = 0;
    for (int end = sizes[0]; i >= end; end += sizes[++t]) continue;
    return t;
  }

  private static boolean second(int[] sizes, int i) {
    return tensor(sizes, i) % 2 == 1;
  }

  private static int scope(Scope scope, int[] sizes, int i) {
    return scope == Scope.ALL ? 0 : scope == Scope.GROUP ? tensor(sizes, i) % 2 : tensor(sizes, i);
  }

  /** The average takes the place of x, and x comes back bit for bit. */
  @Test
  void theAverageIsWhatIsEvaluated() {
    for (DataType type : new DataType[] {DataType.FLOAT32, DataType.FLOAT64}) {
      try (Training training = new Training(type, 0.5, 100);
          Optimizer optimizer = dog(PLAIN).averaging(8).build(training.on(device()))) {
        final byte[] start = training.parameterBytes();
        optimizer.evaluating();
        assertArrayEquals(start, training.parameterBytes(), "before the first step there is no average");
        optimizer.training();
        for (int step = 1; step <= STEPS; ++step) optimizer.step(training.backward(step));
        final byte[] before = training.parameterBytes();
        optimizer.evaluating();
        assertArrayEquals(Memory.values(optimizer.state("average", "t0")), training.values());
        assertTrue(!Arrays.equals(before, training.parameterBytes()));
        optimizer.training();
        assertArrayEquals(before, training.parameterBytes());
      }
    }
  }

  /** Where gradients are noisy, the average of iterates is nearer to the solution than the last one. */
  @Test
  void theAverageIsBetterThanTheLastIterate() {
    try (Training training = new Training(DataType.FLOAT32, 3, 300);
        Optimizer optimizer = dog(PLAIN).averaging(8).build(training.on(device()))) {
      for (int step = 1; step <= 300; ++step) optimizer.step(training.backward(step));
      final double last = training.loss();
      optimizer.evaluating();
      assertTrue(training.loss() < 0.5 * last, training.loss() + ", the last iterate " + last);
    }
  }

  /** Layer by layer is as if each layer were trained alone. */
  @Test
  void aTensorByItselfLearnsAsIfAlone() {
    for (Displacement displacement : Displacement.values()) {
      try (Training both = new Training(DataType.FLOAT64, 0.5, 300, 200);
          Training first = new Training(DataType.FLOAT64, 0.5, 300);
          Optimizer together = DoG.layerwise(PLAIN).displacement(displacement).build(both.on(device()));
          Optimizer alone = DoG.tuning(PLAIN).displacement(displacement).build(first.on(device()))) {
        for (int step = 1; step <= 40; ++step) {
          together.step(both.backward(step));
          alone.step(first.backward(step));
        }
        assertEquals(alone.report().learnedScale(), together.report().learnedScale(0));
        for (int i = 0; i < 300; ++i) assertEquals(first.get(i), both.get(i));
      }
    }
  }

  /** Nothing is tuned, and the start may be any: the loss falls to the noise. */
  @Test
  void findsItsRate() {
    for (DoG builder : List.of(DoG.tuning(PLAIN), DoG.layerwise(PLAIN), DoG.weighted(PLAIN).relativeDistance(1e-4))) {
      try (Training training = new Training(DataType.FLOAT32, 0.1, 300, 200);
          Optimizer optimizer = builder.build(training.on(device()))) {
        final double before = training.loss();
        for (int step = 1; step <= 400; ++step) optimizer.step(training.backward(step));
        assertTrue(training.loss() < 0.01 * before, builder.description() + ": " + training.loss() + " of " + before);
      }
    }
  }

  @Test
  void theFirstStepMayBeGiven() {
    for (Displacement displacement : Displacement.values()) {
      try (Training training = new Training(DataType.FLOAT64, 0.5, 50);
          Optimizer optimizer = DoG.tuning(PLAIN).initialStep(0.125).displacement(displacement).build(training.on(device()))) {
        final byte[] before = training.parameterBytes();
        assertEquals(0.125, optimizer.step(1).learnedScale()); // its memory is zero: x has not moved
        assertArrayEquals(before, training.parameterBytes());
        final double[] x = training.values();
        assertEquals(0.125, optimizer.step(training.backward(2)).learnedScale());
        double first = 0;
        double moved = 0;
        for (int i = 0; i < 50; ++i) {
          first += training.gradient(i) * training.gradient(i);
          moved += Math.pow(training.get(i) - x[i], 2);
          assertEquals(x[i] - 0.125 * training.gradient(i), training.get(i), 1e-15);
        }
        double second = 0;
        final double loss = training.backward(3);
        for (int i = 0; i < 50; ++i) second += training.gradient(i) * training.gradient(i);
        assertEquals(Math.sqrt(moved) / Math.sqrt(first + second + 1e-8), optimizer.step(loss).learnedScale(), 1e-12);
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
        optimizer.step(1);
        assertArrayEquals(before, training.parameterBytes(), form.get().description());
      }
    }
    try (Training training = new Training(DataType.FLOAT32, 0.5, 300);
        Optimizer optimizer = DoG.tuning(PLAIN).epsilon(0).build(training.on(device()))) {
      assertEquals(0, optimizer.step(1).learnedScale());
      assertTrue(optimizer.step(training.backward(2)).learnedScale() > 0);
    }
  }

  @Test
  void refusesWhatItCannotDo() {
    refused("SGD", () -> DoG.tuning(Adam.defaults()));
    refused("momentum", () -> DoG.tuning(PLAIN.momentum(0.9)));
    final DoG good = DoG.tuning(PLAIN);
    for (double bad : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY}) {
      refused("factor", () -> good.factor(bad));
      refused("relativeDistance", () -> good.relativeDistance(bad));
      refused("initialStep", () -> good.initialStep(bad));
    }
    for (double bad : new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY}) {
      refused("epsilon", () -> good.epsilon(bad));
      refused("power", () -> good.averaging(bad));
    }
    try (Toy toy = Toy.of(DataType.BFLOAT16, 3)) {
      refused("ACCUMULATED", () -> DoG.tuning(PLAIN).displacement(Displacement.RECOMPUTED).build(toy.on(device())).close());
    }
  }

  private static void refused(String word, Executable call) {
    final String message = assertThrows(IllegalArgumentException.class, call).getMessage();
    assertTrue(message.contains(word), message);
  }
}
