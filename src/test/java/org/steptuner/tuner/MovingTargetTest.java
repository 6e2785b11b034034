// SPDX-License-Identifier: Apache-2.0
package org.steptuner.tuner;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.steptuner.DataType;
import org.steptuner.Optimizer;
import org.steptuner.PartedOptimizer;
import org.steptuner.Schedule;
import org.steptuner.rule.SGD;

class MovingTargetTest extends TunerContract {
  private static MovingTarget heavy() {
    return MovingTarget.tuning(SGD.defaults().momentum(0.9));
  }

  @Override
  Map<String, Supplier<TunerBuilder<?>>> forms() {
    final Map<String, Supplier<TunerBuilder<?>>> forms = new LinkedHashMap<>();
    forms.put("one part", () -> MovingTarget.tuning(SGD.defaults()));
    forms.put("parts", () -> MovingTarget.tuning(SGD.defaults()).parts(5).targetRate(0.4).target(3));
    forms.put("with momentum", () -> heavy().baseRate(0.1).parts(3));
    forms.put("target that stays", () -> heavy().baseRate(0.2).parts(2).target(20).targetRate(0));
    forms.put("given target", () -> MovingTarget.tuning(SGD.defaults()).baseRate(0.2).targets(-3));
    forms.put("given targets", () -> heavy().baseRate(0.05).targets(1, 2, -0.5));
    return forms;
  }

  /** The released code's lines, with its z, over parts in an order that repeats some before a pass is over. */
  @ParameterizedTest
  @ValueSource(doubles = {0, 0.7})
  void stepsAreThoseOfTheRelease(double momentum) {
    final int n = 3;
    final int[] order = {0, 2, 2, 1, 0, 1, 2, 1, 1, 0, 0, 2, 1, 2, 0};
    final double gamma = 0.6;
    final double lambda = 0.3;
    try (Training training = new Training(DataType.FLOAT64, 0.5, 40, 60);
        PartedOptimizer optimizer =
            MovingTarget.tuning(SGD.defaults().momentum(momentum)).parts(n).baseRate(gamma).target(2).targetRate(lambda)
                .schedule(Schedule.linear(0, 40)).build(training.on(device()))) {
      final double[] x = training.values();
      final double[] z = x.clone();
      final double[] alpha = new double[n];
      double tau = 2;
      for (int step = 0; step < order.length; ++step) {
        final double loss = training.backward(step) / (order[step] + 1);
        final double r = gamma * Schedule.linear(0, 40).at(step + 1) / (1 - momentum);
        double square = 0;
        for (int k = 0; k < x.length; ++k) square += training.gradient(k) * training.gradient(k);
        final double c = r * (loss - alpha[order[step]]) / (square + 1);
        alpha[order[step]] += c;
        for (int k = 0; k < x.length; ++k) {
          z[k] -= c * training.gradient(k);
          x[k] = momentum * x[k] + (1 - momentum) * z[k];
        }
        if ((step + 1) % n == 0) {
          final double mean = (alpha[0] + alpha[1] + alpha[2]) / n;
          tau = (1 - lambda) * tau + lambda * n / (1.0 + n) * mean;
          for (int i = 0; i < n; ++i) alpha[i] += r * (tau - mean);
        }
        assertEquals(c, optimizer.step(loss, order[step]).learnedScale(), 1e-12 * Math.abs(c));
        assertArrayEquals(x, training.values(), 1e-11, "step " + step);
      }
      assertArrayEquals(alpha, optimizer.scalars().get("alpha"), 1e-11);
      assertEquals(tau, optimizer.scalars().get("tau")[0], 1e-12);
    }
  }

  /** SP: the targets are the given ones and stay, and no 1 is added to |g|^2. */
  @ParameterizedTest
  @ValueSource(doubles = {0, 0.7})
  void givenTargetsStay(double momentum) {
    final double[] targets = {2, -1, 0.5};
    final int[] order = {0, 2, 2, 1, 0, 1};
    final MovingTarget builder = MovingTarget.tuning(SGD.defaults().momentum(momentum)).baseRate(0.3).targets(targets);
    targets[0] = 99; // copied
    try (Training training = new Training(DataType.FLOAT64, 0.5, 40, 60);
        PartedOptimizer optimizer = builder.build(training.on(device()))) {
      assertEquals(3, optimizer.parts());
      final double[] given = {2, -1, 0.5};
      final double[] x = training.values();
      final double[] z = x.clone();
      for (int step = 0; step < order.length; ++step) {
        final double loss = training.backward(step);
        double square = 0;
        for (int k = 0; k < x.length; ++k) square += training.gradient(k) * training.gradient(k);
        final double c = 0.3 / (1 - momentum) * (loss - given[order[step]]) / square;
        for (int k = 0; k < x.length; ++k) {
          z[k] -= c * training.gradient(k);
          x[k] = momentum * x[k] + (1 - momentum) * z[k];
        }
        assertEquals(c, optimizer.step(loss, order[step]).learnedScale(), 1e-12 * Math.abs(c));
        assertArrayEquals(x, training.values(), 1e-11, "step " + step);
      }
      assertArrayEquals(given, optimizer.scalars().get("alpha"));
      for (int k = 0; k < x.length; ++k) training.setGradient(k, 0);
      assertEquals(0, optimizer.step(5, 0).learnedScale(), "without a gradient");
    }
  }

  /** Runs with other given targets are other runs, also where there are many. */
  @Test
  void givenTargetsArePartOfTheDescription() {
    final double[] many = new double[1000];
    final String before = MovingTarget.tuning(SGD.defaults()).targets(many).description();
    assertEquals(before, MovingTarget.tuning(SGD.defaults()).targets(many).description());
    many[999] = 1e-9;
    assertNotEquals(before, MovingTarget.tuning(SGD.defaults()).targets(many).description());
    assertTrue(before.length() < 500, before);
  }

  /** On a loss whose least value is not 0 the plain Polyak step, whose bound is 0, cannot come to rest; a target at it can. */
  @Test
  void findsTheMinimumThatItsTargetIsAt() {
    final double least = 30;
    final double[] ends = new double[2]; // the mean of the last losses, above the least one
    for (int k = 0; k < 2; ++k) {
      try (Training training = new Training(DataType.FLOAT64, 0, 50);
          PartedOptimizer optimizer =
              MovingTarget.tuning(SGD.defaults()).target(k * least).targetRate(0).build(training.on(device()))) {
        for (int step = 1; step <= 300; ++step) {
          final double above = training.backward(step);
          optimizer.step(least + above, 0);
          if (step > 200) ends[k] += above / 100;
        }
      }
    }
    assertTrue(ends[1] < 0.005, "with the right target " + ends[1]);
    assertTrue(ends[0] > 1, "with 0 " + ends[0]);
  }

  @Test
  void withoutAPartTheyComeInOrder() {
    try (Training one = new Training(DataType.FLOAT32, 0.5, 100);
        Training two = new Training(DataType.FLOAT32, 0.5, 100);
        PartedOptimizer named = MovingTarget.tuning(SGD.defaults()).parts(3).build(one.on(device()));
        Optimizer inOrder = MovingTarget.tuning(SGD.defaults()).parts(3).build(two.on(device()))) {
      for (int step = 0; step < 7; ++step) {
        named.step(one.backward(step), step % 3);
        inOrder.step(two.backward(step));
      }
      assertArrayEquals(one.parameterBytes(), two.parameterBytes());
      assertArrayEquals(named.scalars().get("alpha"), inOrder.scalars().get("alpha"));
    }
  }

  @Test
  void words() {
    for (double momentum : new double[] {0, 0.9}) {
      try (Training training = new Training(DataType.FLOAT32, 0, 10);
          Optimizer optimizer = MovingTarget.tuning(SGD.defaults().momentum(momentum)).build(training.on(device()))) {
        assertEquals(momentum == 0 ? 4 : 6, optimizer.wordsPerElement());
      }
    }
  }

  @Test
  void badInput() {
    final MovingTarget builder = MovingTarget.tuning(SGD.defaults());
    refused("parts", () -> builder.parts(0));
    refused("target", () -> builder.target(Double.NaN));
    refused("targetRate", () -> builder.targetRate(1.5));
    refused("rate", () -> builder.baseRate(-1));
    refused("penalty", () -> MovingTarget.tuning(SGD.defaults().weightDecay(0.1)));
    refused("Nesterov", () -> MovingTarget.tuning(SGD.defaults().momentum(0.9).nesterov(true)));
    refused("targets[1]", () -> builder.targets(0, Double.POSITIVE_INFINITY));
    refused("parts", () -> builder.targets());
    refused("targets", () -> builder.targets());
    assertThrows(NullPointerException.class, () -> builder.targets((double[]) null));
    try (Training training = new Training(DataType.FLOAT32, 0.5, 10)) {
      refused("2 parts", () -> MovingTarget.tuning(SGD.defaults()).targets(1, 2, 3).parts(2).build(training.on(device())));
      refused("targetRate", () -> MovingTarget.tuning(SGD.defaults()).targets(1, 2).targetRate(0).build(training.on(device())));
    }
    try (Training training = new Training(DataType.FLOAT32, 0.5, 10, 20);
        PartedOptimizer optimizer = MovingTarget.tuning(SGD.defaults()).parts(2).build(training.on(device()))) {
      refused("group 'second'", () -> builder.group("second", SGD.defaults(), 2).build(training.on(device())));
      final byte[] before = training.parameterBytes();
      final double loss = training.backward(1);
      refused("part", () -> optimizer.step(loss, 2));
      refused("part", () -> optimizer.step(loss, -1));
      assertThrows(IllegalStateException.class, optimizer::step);
      assertArrayEquals(before, training.parameterBytes());
      assertEquals(2, optimizer.parts());
    }
  }

  private static void refused(String what, org.junit.jupiter.api.function.Executable call) {
    final String message = assertThrows(IllegalArgumentException.class, call).getMessage();
    assertTrue(message.contains(what), message);
  }
}
